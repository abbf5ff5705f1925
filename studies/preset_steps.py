"""Steps of each published tensor core: the model against exact integers, over a million steps each.

``python -m studies.preset_steps NAME...`` runs those presets, or all, and keeps what came of each in
``studies/preset_steps.jsonl``. What is kept of the same sources, steps and seed is not run again: a run that
was broken off goes on where it was. The other side, `studies.integer_steps`, uses nothing of blockdot.

A case is four steps, one after the other. Half of the cases start at +0, the others at another sum. Each step
of the model starts at the sum that the integers gave before it: a difference in one step is seen even where a
later step would hide it. All four together are compared as well.
"""

import argparse
import functools
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blockdot.base.source_digest import source_digest
from blockdot.lab.cost.jobs import Progress
from blockdot.model import DotSpec
from blockdot.sim import zero_exponents
from blockdot.sim.zero_exponents import draw_small_steps, zero_exponent_counts

from blockdot import model

from . import integer_steps
from .commands import exit_code_of, progress_bars
from .integer_steps import CORES, CodeFormat, IntegerSteps
from .records import read_stored, write_stored

__all__ = ["KEPT", "compare_steps", "drawn_steps", "main"]

KEPT: Final = Path(__file__).resolve().with_name("preset_steps.jsonl")
"""Where what came of each preset is kept."""

STEPS: Final = 1_000_000
"""Steps of each preset, unless another number is asked for."""

IN_A_CASE: Final = 4
"""Steps that follow one another."""

_CASES: Final = 1000
"""Cases in a batch, each of which is drawn from the seed and its own number."""

# How many cases have which kind of elements.
_SHARES: Final = (0.25, 0.35, 0.1, 0.1, 0.2)

_KINDS: Final[tuple[str, ...]] = ("zero", "subnormal", "normal", "infinite", "NaN")
_COUNTED: Final[tuple[str, ...]] = ("empty", "cancelled", "cut", "special", "overflowed", *_KINDS)

# Of cases where the exponent of a zero can decide a bit, those in which it is likely to.
_SMALL: Final = 1 / 8

_Codes = npt.NDArray[np.int64]


def _with_signs(sizes: _Codes, fmt: CodeFormat, rng: np.random.Generator) -> _Codes:
    return sizes | rng.integers(0, 2, sizes.shape) << fmt.magnitude_bits


def _sizes(step: IntegerSteps, kind: int, shape: tuple[int, ...], rng: np.random.Generator) -> _Codes:
    """Draw codes without signs: any finite ones, some around 1, the least, the greatest, or a mixture.

    The mixture has powers of two whose products are near the least sum above zero, and codes of all sizes.
    """
    fmt, total = step.element, step.total
    highest = fmt.largest >> fmt.fraction_bits
    if kind == 0:
        return rng.integers(0, fmt.largest + 1, shape)
    if kind == 1:
        field = np.clip(fmt.bias + rng.integers(-3, 4, shape), 0, highest)
        fraction = rng.integers(0, 1 << fmt.fraction_bits, shape)
        return np.minimum(field << fmt.fraction_bits | fraction, fmt.largest)
    if kind == 2:
        return rng.integers(0, 4, shape)
    if kind == 3:
        return fmt.largest - rng.integers(0, 2, shape)
    edge = fmt.bias - (total.bias + total.fraction_bits) // 2 + rng.integers(-2, 3, shape)
    power = np.clip(edge, 0, highest) << fmt.fraction_bits
    any_size = rng.integers(0, fmt.largest + 1, shape) >> rng.integers(0, fmt.magnitude_bits, shape)
    return np.where(rng.random(shape) < 0.5, power, any_size)


def _elements(step: IntegerSteps, kinds: _Codes, shape: tuple[int, ...], rng: np.random.Generator) -> _Codes:
    """Draw codes, each case's by its kind."""
    sizes = np.empty(shape, np.int64)
    for kind in range(len(_SHARES)):
        here = kinds == kind
        sizes[here] = _sizes(step, kind, (int(here.sum()), *shape[1:]), rng)
    return _with_signs(sizes, step.element, rng)


def _starts(fmt: CodeFormat, count: int, rng: np.random.Generator) -> _Codes:
    """Draw sums to start at: +0 for half of them; else any code, the least, the greatest, or one around 1.

    One of fifty is no number: an infinity, or a NaN.
    """
    any_code = rng.integers(0, 1 << fmt.magnitude_bits, count)
    least = any_code >> rng.integers(fmt.exponent_bits - 1, fmt.magnitude_bits, count)
    greatest = fmt.largest - (least >> 1)
    field = np.clip(fmt.bias + rng.integers(-24, 24, count), 0, (1 << fmt.exponent_bits) - 2)
    near = field << fmt.fraction_bits | any_code & (1 << fmt.fraction_bits) - 1
    infinite = rng.random(count) < 0.5
    special = fmt.largest + 1 + np.where(infinite, 0, rng.integers(0, 1 << fmt.fraction_bits, count))
    kind = rng.choice(5, count, p=[0.26, 0.2, 0.2, 0.3, 0.04])
    drawn = _with_signs(np.choose(kind, [any_code, least, greatest, near, special]), fmt, rng)
    return np.where(rng.random(count) < 0.5, 0, drawn)


@functools.cache
def _special_codes(fmt: CodeFormat) -> _Codes:
    """Return the codes of what is no finite number."""
    codes = np.arange(1 << fmt.bits)
    return codes[(codes & (1 << fmt.magnitude_bits) - 1) > fmt.largest]


def drawn_steps(
    step: IntegerSteps, spec: DotSpec, cases: int, rng: np.random.Generator
) -> tuple[_Codes, list[_Codes]]:
    """Draw steps in which zeros, cancellation, what is no number, and steps that undo others come often.

    Where the exponent that a zero reads can decide a bit, an eighth of the cases has steps in which it may.

    Args:
        step: The tensor core.
        spec: Its specification.
        cases: How many times `IN_A_CASE` steps.
        rng: What is drawn from.

    Returns:
        The bits of the sum that each case starts at; and the codes of a, b and of their scales, if there are
        any, shaped (cases, steps, products or pairs of scales).
    """
    core, fmt = step.core, step.element
    shape = (cases, IN_A_CASE, core.products)
    # A block is what a pair of scales belongs to, or the whole step.
    block = core.scaled or core.products
    blocks = (cases, IN_A_CASE, core.products // block)

    def spread(of_blocks: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.repeat(of_blocks, block, axis=2)

    kinds = rng.choice(len(_SHARES), cases, p=_SHARES)
    a, b = (_elements(step, kinds, shape, rng) for _ in "ab")
    # Of several blocks all should be zero now and then; of one not nearly always.
    of_zeros = 5 if blocks[2] > 1 else 10
    zeros, half = spread(rng.integers(0, of_zeros, blocks)), rng.random(shape) < 0.5
    a[(zeros == 0) | ((zeros == 1) & half)] = 0
    b[(zeros == 1) & ~half] = 0
    sign = 1 << fmt.magnitude_bits
    pairs = spread(rng.random(blocks) < 0.2)[..., ::2]
    a[..., 1::2] = np.where(pairs, a[..., ::2] ^ sign, a[..., 1::2])
    b[..., 1::2] = np.where(pairs, b[..., ::2], b[..., 1::2])
    undone = rng.random(cases) < 0.2
    a[undone, 1], b[undone, 1] = a[undone, 0] ^ sign, b[undone, 0]
    special = _special_codes(fmt)
    for array in (a, b) if len(special) else ():
        here = rng.random(shape) < 0.02 / core.products
        array[here] = rng.choice(special, here.sum())
    codes = [a, b]
    for _ in "ab" if step.scale else "":
        assert step.scale is not None
        top = 1 << step.scale.bits
        middle = rng.integers(0, top, (cases, 1, 1))
        near = np.clip(middle + rng.integers(-3, 4, blocks), 0, step.scale.largest)
        scales = np.where(rng.random((cases, 1, 1)) < 0.6, near, rng.integers(0, top, blocks))
        scales[undone, 1] = scales[undone, 0]
        codes.append(scales)
    starts = _starts(step.total, cases, rng)
    if zero_exponent_counts(spec):
        small = rng.random(cases) < _SMALL
        steps = draw_small_steps(spec, int(small.sum()) * IN_A_CASE, rng)
        for array, drawn in zip(codes, steps, strict=False):
            array[small] = drawn.reshape(-1, *array.shape[1:])
        starts[small] = rng.integers(0, 2, int(small.sum())) << step.total.magnitude_bits
    return starts, codes


def _numbers(step: IntegerSteps, bits: _Codes) -> npt.NDArray[np.float32]:
    """Return binary32 numbers of a sum's bits."""
    if step.narrow:
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return bits.astype(np.uint32).view(np.float32)


def _differ(seen: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> int:
    return int((seen.view(np.uint32) != wanted.view(np.uint32)).sum())


def _batch(
    step: IntegerSteps, own: DotSpec, spec: DotSpec, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], int, dict[str, int]]:
    """Return the sums that the integers give, how many results differ from them, and counts of kinds."""
    cases = _CASES
    starts, codes = drawn_steps(step, own, cases, rng)
    sums = np.empty((cases, IN_A_CASE + 1), np.int64)
    sums[:, 0] = starts
    counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
    fields = step.total
    normal = 1 << fields.fraction_bits
    infinity = (1 << fields.exponent_bits) - 1 << fields.fraction_bits
    for k in range(IN_A_CASE):
        done = step.step(sums[:, k], *(array[:, k] for array in codes))
        sums[:, k + 1] = done.bits
        size = done.bits & (1 << fields.magnitude_bits) - 1
        found = {
            "empty": done.empty,
            "cancelled": (size == 0) & ~done.empty,
            "cut": done.cut,
            "special": done.special,
            "overflowed": (size == infinity) & ~done.special,
            "zero": size == 0,
            "subnormal": (size > 0) & (size < normal),
            "normal": (size >= normal) & (size < infinity),
            "infinite": size == infinity,
            "NaN": size > infinity,
        }
        counts = {what: counts[what] + int(found[what].sum()) for what in counts}
    numbers = _numbers(step, sums)
    started = replace(spec, takes_c=True)
    shaped = [array.reshape(cases, IN_A_CASE, spec.blocks, -1) for array in codes[:2]]
    shaped += [array.reshape(cases, IN_A_CASE, spec.blocks) for array in codes[2:]]
    scales = spec.scales if codes[2:] else ()
    formats = (*spec.elements, *scales)
    given = [array.astype(fmt.dtype) for array, fmt in zip(shaped, formats, strict=True)]
    differ = 0
    for k in range(IN_A_CASE):
        seen = started.compute(*(array[:, k : k + 1] for array in given), c=numbers[:, k])
        differ += _differ(seen, numbers[:, k + 1])
    differ += _differ(started.compute(*given, c=numbers[:, 0]), numbers[:, -1])
    zero = starts == 0
    differ += _differ(spec.compute(*(array[zero] for array in given)), numbers[zero, -1])
    return numbers[:, 1:], differ, counts


def compare_steps(
    name: str, spec: DotSpec, steps: int, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Hold a specification against the integers of a preset.

    Args:
        name: The preset.
        spec: What is held against it: its own specification, unless a difference is looked for.
        steps: How many steps; they are drawn in whole batches.
        seed: Seed of everything random.
        progress: Called with how many steps are done, and of how many.

    Returns:
        ``steps``, ``differ``: how many results differ, ``digest``: the SHA-256 of all sums' bits as the
        integers give them, and how often each kind of step and of result came.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in CORES:
        raise ValueError(f"preset must be one of {', '.join(CORES)}, not {name!r}")
    step = IntegerSteps(CORES[name])
    counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
    digest = hashlib.sha256()
    batches = -(-steps // (_CASES * IN_A_CASE))
    differ = 0
    for k in range(batches):
        rng = np.random.default_rng([seed, list(CORES).index(name), k])
        numbers, more, found = _batch(step, DotSpec.preset(name), spec, rng)
        digest.update(numbers.astype("<f4").tobytes())
        differ += more
        counts = {what: counts[what] + found[what] for what in counts}
        if progress is not None:
            progress(k + 1, batches, name)
    done = batches * _CASES * IN_A_CASE
    return {"steps": done, "differ": differ, "digest": digest.hexdigest(), **counts}


def _run(names: Sequence[str], steps: int, seed: int, path: Path) -> int:
    chosen = list(names) or list(CORES)
    for name in chosen:
        if name not in CORES:
            raise ValueError(f"preset must be one of {', '.join(CORES)}, not {name!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    print(f"seed {seed}", flush=True)
    sources = source_digest(model, integer_steps, zero_exponents, sys.modules[__name__])
    differ = 0
    with progress_bars() as bar:
        for name in chosen:
            stored = read_stored(path)["presets"] if path.exists() else []
            kept = {record["preset"]: record for record in stored}
            spec = DotSpec.preset(name)
            asked = {"preset": name, "spec": spec.name, "seed": seed, "sources": sources}
            old = kept.get(name, {})
            if asked.items() <= old.items() and old["steps"] >= steps and not old["differ"]:
                continue
            found = compare_steps(name, spec, steps, seed, bar(name))
            differ += found["differ"]
            if found["differ"]:
                print(f"{name}: {found['differ']} results differ", flush=True)
            kept[name] = asked | found
            table = [kept[one] for one in CORES if one in kept]
            write_stored(path, "python -m studies.preset_steps", {"presets": table})
    print(f"{len(chosen)} presets, {steps} steps each: {differ} results differ from the model")
    return int(differ > 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run presets; return the exit code: 1 if a result differs."""
    parser = argparse.ArgumentParser(prog="python -m studies.preset_steps", description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="NAME", help="presets; or all")
    parser.add_argument("--steps", type=float, default=STEPS, metavar="N", help="steps of each preset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=KEPT, metavar="FILE", help="where results are kept")
    chosen = parser.parse_args(arguments)

    def work() -> int:
        return _run(chosen.presets, int(chosen.steps), chosen.seed, chosen.keep)

    return exit_code_of("preset_steps", work, "what was run is kept")


if __name__ == "__main__":
    sys.exit(main())
