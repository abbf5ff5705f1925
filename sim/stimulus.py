"""Stimulus of dot products: what is put on a unit's inputs, in which cycles, and the results it must give."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_codes
from ..hw.config import require_hardware
from ..model import DotSpec, Format
from ..model.aligned_sum import RESULTS, ResultFormat
from ..model.dot_product import check_shapes, result_factors, sum_starts
from .unit_stimulus import Bools, Codes, StimulusSource, UnitStimulus, codes_text, draw_patterns, freeze, pack

__all__ = [
    "Stimulus",
    "from_blocks",
    "negated",
]


def negated(fmt: Format) -> Codes:
    """Return a table from code to the code of the negated value, saturating in two's complement."""
    code = np.arange(1 << fmt.bits, dtype=np.int64)
    if not fmt.twos_complement:
        return (code ^ (1 << fmt.magnitude_bits)).astype(fmt.dtype)
    least = 1 << fmt.magnitude_bits  # has no negation
    return np.where(code == least, least - 1, -code % (1 << fmt.bits)).astype(fmt.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stimulus(UnitStimulus):
    """The inputs of a run in order, and when they are offered and results accepted.

    Arrays are checked, converted to the narrowest type and made read-only.

    Args:
        spec: What the unit computes.
        a: Element codes, shape (vectors, blocks, N).
        b: Element codes of the same shape.
        a_scale: Scale codes, shape (vectors, blocks).
        b_scale: Scale codes of the same shape.
        first: Which vectors start a sum, shape (vectors,); all of them where nothing is accumulated.
        last: Which vectors ask for a result, shape (vectors,); likewise.
        c: Where sums start at C: its bits, shape (vectors,); they count with `first` alone. Else None.
        g: Where results are multiplied by a tensor scale: its bits, shape (vectors,); they count with `last`
            alone. Else None.
        offer: In which cycles an input may be offered, shape (cycles,), repeated without end.
        accept: In which cycles a result is accepted, shape (cycles,), repeated without end.
        source: What gives the same vectors and patterns again, if anything does.

    Raises:
        TypeError: If codes are not integers.
        ValueError: If shapes do not fit, a code has a bit above its format, there is no vector, a pattern
            is never true, or `first` and `last` are not all true where nothing is accumulated.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("a", "b", "a_scale", "b_scale", "first", "last", "c", "g")

    spec: DotSpec
    a: Codes
    b: Codes
    a_scale: Codes
    b_scale: Codes
    first: Bools
    last: Bools
    c: npt.NDArray[np.uint32] | None = None
    g: npt.NDArray[np.uint32] | None = None

    def __post_init__(self) -> None:
        spec = self.spec
        require_hardware(spec)
        vectors = len(np.atleast_1d(self.a))
        shapes = {
            "a": (vectors, spec.blocks, spec.block_size),
            "b": (vectors, spec.blocks, spec.block_size),
            "a_scale": (vectors, spec.blocks),
            "b_scale": (vectors, spec.blocks),
            "first": (vectors,),
            "last": (vectors,),
        }
        formats = dict(zip(("a", "b", "a_scale", "b_scale"), spec.elements + spec.scales, strict=True))
        for name, shape in shapes.items():
            array = getattr(self, name)
            if name in formats:
                array = formats[name].check(array, name)
            else:
                array = np.asarray(array)
                if array.dtype != np.bool_:
                    raise TypeError(f"{name} must be bool, not {array.dtype}")
            if array.shape != shape:
                raise ValueError(f"{name} must be shaped {shape} for {spec.name}, not {array.shape}")
            freeze(self, name, array)
        self._check_number("c", spec.c_format, given=spec.takes_c)
        self._check_number("g", RESULTS["binary32"], given=spec.tensor_scale)
        self._check_patterns()
        if not spec.accumulates and not (self.first.all() and self.last.all()):
            raise ValueError(f"first and last must all be true for {spec.name}, not some false")

    def _check_number(self, name: str, form: ResultFormat, *, given: bool) -> None:
        """Check and freeze the bits of a number that comes with each vector, where one does."""
        number = getattr(self, name)
        if given != (number is not None):
            raise ValueError(f"{name} must {'' if given else 'not '}be given for {self.spec.name}")
        if number is None:
            return
        bits = require_codes(name, number, form.bits, f"the bits of {form.name}")
        if bits.shape != (self.vectors,):
            raise ValueError(
                f"{name} must be shaped {(self.vectors,)} for {self.spec.name}, not {bits.shape}"
            )
        freeze(self, name, bits.astype(np.uint32))

    @property
    def vectors(self) -> int:
        """How many inputs there are."""
        return len(self.a)

    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result, as the model computes them; 0 for those that are undefined."""
        spec = self.spec
        codes = (self.a, self.b, self.a_scale, self.b_scale)
        if not spec.accumulates:
            return spec.result_bits(*codes, *(() if self.g is None else (self.g,)))
        starts, ends = self.sums
        lengths = np.where(starts < 0, 0, ends - starts + 1)
        results = np.zeros(len(starts), np.uint32)
        # Sums of one length at a time: filling them up with zeros would turn a sum of -0 into +0.
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            groups = starts[rows, np.newaxis] + np.arange(length)
            more = () if self.c is None else (self.c[starts[rows]],)
            more += () if self.g is None else (self.g[ends[rows]],)
            results[rows] = spec.result_bits(*(array[groups] for array in codes), *more)
        return results

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port.

        Returns:
            By port name, shape (vectors, words): 32-bit words, least significant first. Element k is at
            bits [wk+w-1 : wk], block j above block j-1; scales likewise, with their format's width.
        """
        formats = self.spec.elements + self.spec.scales
        arrays = (self.a, self.b, self.a_scale, self.b_scale)
        numbers = (("i_c", self.c, self.spec.c_format.bits), ("i_g", self.g, 32))
        more = {port: pack(bits[:, np.newaxis], width) for port, bits, width in numbers if bits is not None}
        codes = {
            name: pack(array.reshape(self.vectors, -1), fmt.bits)
            for name, array, fmt in zip(
                ("i_a", "i_b", "i_a_scale", "i_b_scale"), arrays, formats, strict=True
            )
            if fmt.bits
        }
        return codes | more

    def result_text(self, bits: int) -> str:
        """Return a result in hex and as a number, shortest that reads back the same."""
        return _number_text(self.spec.result_format, bits)

    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds."""
        a_format, b_format = self.spec.elements
        a_scale_format, b_scale_format = self.spec.scales
        lines = []
        if self.c is not None and self.first[vector]:
            lines.append(f"  vector {vector}: c {_number_text(self.spec.c_format, int(self.c[vector]))}")
        if self.g is not None and self.last[vector]:
            lines.append(f"  vector {vector}: g {_number_text(RESULTS['binary32'], int(self.g[vector]))}")
        for block in range(self.spec.blocks):
            at = f"vector {vector}" + (f" block {block}" if self.spec.blocks > 1 else "")
            place = (vector, block)
            lines += [
                f"  {at}: a_scale {codes_text(a_scale_format, self.a_scale[place])}, "
                f"b_scale {codes_text(b_scale_format, self.b_scale[place])}",
                f"    a {codes_text(a_format, self.a[place])}",
                f"    b {codes_text(b_format, self.b[place])}",
            ]
        return lines


def _number_text(fmt: ResultFormat, bits: int) -> str:
    number = fmt.decode(np.array([bits], np.uint32))[0]
    return f"{bits:#0{2 + fmt.bits // 4}x} ({number!s})"


def from_blocks(
    spec: DotSpec,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    a_scale: npt.ArrayLike,
    b_scale: npt.ArrayLike,
    c: npt.ArrayLike | None = None,
    g: npt.ArrayLike | None = None,
    *,
    stalls: int | None = None,
    tensors: tuple[str, ...] = (),
) -> Stimulus:
    """Return the stimulus of given codes, such as a tensor's blocks.

    Args:
        spec: What the unit computes.
        a: Element codes, shaped as for `DotSpec.compute`: (..., groups, blocks, N). The groups of one
            leading index are one sum. Results come in the order of the leading indices, or of the
            groups where nothing is accumulated.
        b: Element codes of the same shape.
        a_scale: Scale codes, shape (..., groups, blocks).
        b_scale: Scale codes of the same shape.
        c: What each sum starts at, as for `DotSpec.compute`: float32, shape (...). Where sums start at C and
            it is None, at zero.
        g: What each result is multiplied by, as for `DotSpec.compute`: float32, shaped as the results. Where
            there is a tensor scale and it is None, by 1.
        stalls: Seed of gaps between inputs and of back-pressure; None for neither.
        tensors: Where the codes were read: a's tensor, or a's and b's; empty if they came from no file.

    Returns:
        The stimulus.

    Raises:
        TypeError: If codes are not integers, or `c` or `g` is not float32.
        ValueError: If shapes do not fit the specification or each other, there is no group, or `c` or `g` is
            given to a specification that takes none.
    """
    arrays = [np.asarray(array) for array in (a, b, a_scale, b_scale)]
    shape = check_shapes(spec, arrays)
    groups = shape[-3]
    starts = sum_starts(
        spec, np.zeros(shape[:-3], np.float32) if c is None and spec.takes_c else c, shape[:-3]
    )
    results = shape[:-3] if spec.accumulates else shape[:-2]
    factors = result_factors(
        spec, np.ones(results, np.float32) if g is None and spec.tensor_scale else g, results
    )
    flat = [array.reshape(-1, *array.shape[len(shape) - 2 :]) for array in arrays]
    group = np.arange(len(flat[0])) % max(groups, 1)
    patterns = {} if stalls is None else draw_patterns(np.random.default_rng(stalls))
    return Stimulus(
        spec=spec,
        a=flat[0],
        b=flat[1],
        a_scale=flat[2],
        b_scale=flat[3],
        first=(group == 0) | (not spec.accumulates),
        last=(group == groups - 1) | (not spec.accumulates),
        c=None if starts is None else np.repeat(spec.c_format.encode(starts.reshape(-1)), groups),
        # Each input of a sum has the factor of its result; it counts with the last one.
        g=None
        if factors is None
        else np.repeat(factors.reshape(-1).view(np.uint32), groups if spec.accumulates else 1),
        source=StimulusSource(kind="tensor", seed=stalls, stalls=stalls is not None, tensors=tensors)
        if tensors
        else None,
        **patterns,
    )
