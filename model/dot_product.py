"""The results of block dot products, from their codes: what `DotSpec.compute` does."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..base.chunks import CHUNK
from .fixed_point import canonical

if TYPE_CHECKING:  # a specification computes by this
    from .spec import DotSpec

__all__ = ["check_shapes", "compute", "result_factors", "sum_starts"]


def compute(
    spec: "DotSpec",
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    a_scale: npt.ArrayLike | None,
    b_scale: npt.ArrayLike | None,
    c: npt.ArrayLike | None,
    g: npt.ArrayLike | None,
) -> npt.NDArray[np.float32]:
    """Return what `DotSpec.compute` does."""
    codes = [
        fmt.check(array, name)
        for fmt, array, name in zip(
            spec.elements + spec.scales,
            (a, b, _scale_codes(spec, "a_scale", a_scale, a), _scale_codes(spec, "b_scale", b_scale, a)),
            ("a", "b", "a_scale", "b_scale"),
            strict=True,
        )
    ]
    shape = check_shapes(spec, codes)
    *lead, groups, _, _ = shape
    if spec.accumulates:
        spec.check_groups(groups)
    starts = sum_starts(spec, c, tuple(lead))
    factors = result_factors(spec, g, tuple(lead) if spec.accumulates else (*lead, groups))
    rows = int(np.prod(lead, dtype=np.int64))
    flat = [array.reshape(rows, groups, *array.shape[len(lead) + 1 :]) for array in codes]
    if not spec.accumulates:
        # Groups are independent: one long axis of them.
        flat = [array.reshape(1, rows * groups, *array.shape[2:]) for array in flat]
        results = np.concatenate(
            [spec.rounded(spec.block_terms(*part)) for part in _group_chunks(spec, flat)]
            or [np.empty((1, 0), np.float32)],
            axis=1,
        )
        return spec.multiplied(results.reshape(*lead, groups), factors)
    # As many sums at once as one group of each fills a chunk: groups are added one after the other anyway.
    step = max(1, CHUNK // (spec.blocks * spec.block_size))
    results = np.empty(rows, np.float32)
    for start in range(0, rows, step):
        part = [array[start : start + step] for array in flat]
        accumulator = spec.accumulator(
            (len(part[0]),), None if starts is None else starts.reshape(rows)[start : start + step]
        )
        for chunk in _group_chunks(spec, part):
            accumulator.add(*chunk)
        results[start : start + step] = accumulator.result()
    return spec.multiplied(spec.rounded_at_end(results.reshape(lead)), factors)


def check_shapes(spec: "DotSpec", codes: Sequence[npt.NDArray[Any]]) -> tuple[int, ...]:
    """Return the shape of the codes of a, once those of b and of both scales fit it.

    Raises:
        ValueError: If they do not, or it is not (..., groups, blocks, N).
    """
    shape = codes[0].shape
    if len(shape) < 3 or shape[-2:] != (spec.blocks, spec.block_size):
        raise ValueError(
            f"a must be shaped (..., groups, {spec.blocks}, {spec.block_size}) for {spec.name}, not {shape}"
        )
    for array, name, wanted in zip(
        codes[1:], ("b", "a_scale", "b_scale"), (shape, shape[:-1], shape[:-1]), strict=True
    ):
        if array.shape != wanted:
            raise ValueError(f"{name} must be shaped {wanted} to fit a, not {array.shape}")
    return shape


def sum_starts(
    spec: "DotSpec", c: npt.ArrayLike | None, shape: tuple[int, ...], name: str = "c"
) -> npt.NDArray[np.float32] | None:
    """Return what sums of that shape start at, None for zero; messages call it by that name.

    Raises:
        TypeError: As `compute` does.
        ValueError: As `compute` does.
    """
    starts = _numbers_beside(spec, name, c, shape, given=spec.takes_c)
    if starts is None:
        return None
    form = spec.c_format
    same = (form.decode(form.encode(starts)) == starts) | np.isnan(starts)
    if not same.all():
        raise ValueError(
            f"{name} must have numbers of {form.name} for {spec.name}, not {float(starts[~same].flat[0])!r}"
        )
    return canonical(starts.copy())


def result_factors(
    spec: "DotSpec", g: npt.ArrayLike | None, shape: tuple[int, ...]
) -> npt.NDArray[np.float32] | None:
    """Return what results of that shape are multiplied by, None for nothing.

    Raises:
        TypeError: As `compute` does.
        ValueError: As `compute` does.
    """
    return _numbers_beside(spec, "g", g, shape, given=spec.tensor_scale)


def _numbers_beside(
    spec: "DotSpec", name: str, numbers: npt.ArrayLike | None, shape: tuple[int, ...], *, given: bool
) -> npt.NDArray[np.float32] | None:
    """Return the binary32 numbers that come beside the codes, None where none do."""
    if given != (numbers is not None):
        raise ValueError(f"{name} must {'' if given else 'not '}be given for {spec.name}")
    if numbers is None:
        return None
    found = np.asarray(numbers)
    if found.dtype != np.float32:
        raise TypeError(f"{name} must be float32, not {found.dtype}")
    if found.shape != shape:
        raise ValueError(f"{name} must be shaped {shape} for {spec.name}, not {found.shape}")
    return found


def _scale_codes(spec: "DotSpec", name: str, codes: npt.ArrayLike | None, a: npt.ArrayLike) -> npt.ArrayLike:
    """Return the codes of scales: those that are given, or those that stand for none."""
    if spec.has_scales == (codes is not None):
        return np.zeros(np.shape(a)[:-1], np.uint8) if codes is None else codes
    raise ValueError(f"{name} must {'' if spec.has_scales else 'not '}be given for {spec.name}")


def _group_chunks(
    spec: "DotSpec", codes: list[npt.NDArray[np.unsignedinteger]]
) -> Iterator[list[npt.NDArray[np.unsignedinteger]]]:
    rows, groups = codes[0].shape[:2]
    step = max(1, CHUNK // max(1, rows * spec.blocks * spec.block_size))
    for start in range(0, groups, step):
        yield [array[:, start : start + step] for array in codes]
