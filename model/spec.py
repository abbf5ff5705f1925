"""The specification of a unit: what numbers a block dot product computes, by which name, in which widths.

For one block of N elements with scales sa and sb the exact value is ``V = sa * sb * sum(a_i * b_i)``.
A group is the `blocks` blocks a unit takes at once; its V are added exactly, and the sum is rounded
once, to binary32 with ties to even. What becomes of the groups is the accumulation's matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_bool, require_int
from . import formats
from .accumulate import ACCUMULATIONS, GroupSums, StartedSums
from .aligned_sum import RESULTS, UNIT, ZERO_EXPONENT, ResultFormat
from .block_terms import BlockTerms
from .dot_product import compute
from .fixed_point import SumRounding, canonical, nearest_binary32, round_sum
from .formats import Format
from .spec_names import FRACTION, GUARD, arguments_of, name_of

__all__ = ["Accumulate", "DotSpec"]

Accumulate = str
"""The name of an accumulation: one of `ACCUMULATIONS`."""


def _pair(value: object, name: str) -> tuple[Format, Format]:
    if isinstance(value, tuple | list) and len(value) != 2:
        raise ValueError(f"{name} must be one name or a pair of names, not {len(value)} names")
    a, b = value if isinstance(value, tuple | list) else (value, value)
    signed = name == "element"
    return formats.require_format(name, a, signed=signed), formats.require_format(name, b, signed=signed)


@dataclass(frozen=True, init=False)
class DotSpec:
    """What numbers a block dot-product unit computes: nothing else, and nothing less.

    Args:
        element: Element format, by name or as a `Format`, which is registered then; a pair where a and b
            differ. What is kept is the name. ``fp16``, ``bf16`` and ``tf32`` go with a `term_size` of 1.
        scale: Scale format, likewise; ``none`` for blocks without scales, which ``aligned`` alone takes.
        block_size: Elements under one scale: a power of two from 2 to 128.
        blocks: Blocks taken at once, added exactly before the one rounding: 1, 2, 4 or 8.
        accumulate: ``none`` (each group gives a result), ``fp32`` (binary32 addition of the rounded
            groups, in order), ``exact`` (a fixed-point sum of all blocks, rounded at the end), ``aligned``
            (each group and the sum so far shifted to the largest exponent and cut off: see `aligned`) or
            ``chain`` (as ``fp32``, with one block a group, whose value is a chain of binary32 operations).
        guard: ``exact`` holds the sum of at most ``2**guard`` blocks: from 0 to 30, and one group at least.
            Without effect on the others, where it reads 16.
        fraction: ``aligned`` keeps so many bits after the point of the largest exponent: from 0 (at least
            the largest term's integer bits) to 52 (up to there a group of any formats adds up exactly in
            pairs of float64). Without effect on the others, where it reads 35.
        term_size: The most elements that ``aligned`` sums exactly into one term: 16, or 1, where each product
            is a term whose exponent is that of its elements too. Without effect on the others, where it
            reads 16.
        zero_exponent: The exponent that ``aligned`` reads for what is exactly zero: from -255 to -15. Without
            effect on the others, where it reads -139.
        result: What results are: ``binary32``; or ``e8m13`` (binary32 with 13 fraction bits), ``binary16``
            or ``bfloat16``. ``aligned`` rounds each of its sums to ``binary32`` or ``e8m13`` toward zero, or
            to ``binary16``, to nearest even. To ``bfloat16`` it rounds at the end of a sum alone, to nearest
            even, as ``fp32`` does to ``binary16`` and ``bfloat16``. ``none`` and ``exact`` round exact values
            to these, once.
        takes_c: Whether a sum starts at a number C of its own instead of at zero: the C of the matrix
            instructions, whose result is A times B plus C. Not for ``none``, which has no sums.
        tensor_scale: Whether each result is multiplied by a number g, the second level of scales: that of
            two NVFP4 tensors, or one for each slice of K, where a sum is a slice. A result of binary32, as it
            is without that, times g is rounded once more, to nearest even: what `matmul` does with the tensor
            scales of `BlockTensor`. Not where `result` is another, nor where a sum starts at C, which would
            be multiplied as well.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    element: str | tuple[str, str]
    scale: str | tuple[str, str]
    block_size: int
    blocks: int
    accumulate: Accumulate
    guard: int
    fraction: int
    term_size: int
    zero_exponent: int
    result: str
    takes_c: bool
    tensor_scale: bool

    def __init__(
        self,
        *,
        element: str | Format | tuple[str | Format, str | Format] = "e2m1",
        scale: str | Format | tuple[str | Format, str | Format] = "ue5m3",
        block_size: int = 16,
        blocks: int = 1,
        accumulate: Accumulate = "none",
        guard: int = GUARD,
        fraction: int = FRACTION,
        term_size: int = UNIT,
        zero_exponent: int = ZERO_EXPONENT,
        result: str = "binary32",
        takes_c: bool = False,
        tensor_scale: bool = False,
    ) -> None:
        for name, value in (("element", element), ("scale", scale)):
            pair = _pair(value, name)
            a, b = (fmt.name for fmt in pair)
            object.__setattr__(self, name, a if a == b else (a, b))
            # The formats themselves are kept as well: they go along to another process.
            object.__setattr__(self, f"{name}s", pair)
        for name, value in (
            ("block_size", block_size),
            ("blocks", blocks),
            ("guard", guard),
            ("fraction", fraction),
            ("term_size", term_size),
            ("zero_exponent", zero_exponent),
        ):
            object.__setattr__(self, name, require_int(name, value))
        object.__setattr__(self, "accumulate", accumulate)
        object.__setattr__(self, "result", result)
        object.__setattr__(self, "takes_c", require_bool("takes_c", takes_c))
        object.__setattr__(self, "tensor_scale", require_bool("tensor_scale", tensor_scale))
        if self.block_size not in (2, 4, 8, 16, 32, 64, 128):
            raise ValueError(f"block_size must be a power of two from 2 to 128, not {self.block_size}")
        if self.blocks not in (1, 2, 4, 8):
            raise ValueError(f"blocks must be 1, 2, 4 or 8, not {self.blocks}")
        accumulation = ACCUMULATIONS[self.accumulate]
        if accumulation.most_blocks is not None and self.blocks > accumulation.most_blocks:
            raise ValueError(
                f"blocks must be at most {accumulation.most_blocks} for accumulate={self.accumulate!r}, "
                f"not {self.blocks}"
            )
        if not 0 <= self.guard <= 30:
            raise ValueError(f"guard must be from 0 to 30, not {self.guard}")
        if accumulation.guard and self.blocks > 1 << self.guard:
            least = (self.blocks - 1).bit_length()
            raise ValueError(
                f"guard must be at least {least} to hold a group of blocks={self.blocks}, not {self.guard}"
            )
        if self.takes_c and not accumulation.starts_at_c:
            raise ValueError(f"takes_c must be False for accumulate={self.accumulate!r}, not True")
        if not 0 <= self.fraction <= 52:
            raise ValueError(f"fraction must be from 0 to 52, not {self.fraction}")
        # One name, one specification: what has no effect must not tell two apart.
        if not accumulation.guard:
            object.__setattr__(self, "guard", GUARD)
        if not accumulation.fraction:
            object.__setattr__(self, "fraction", FRACTION)
            object.__setattr__(self, "term_size", UNIT)
            object.__setattr__(self, "zero_exponent", ZERO_EXPONENT)
        self._check_terms()
        self._check_tensor_scale()

    def _check_tensor_scale(self) -> None:
        """Check what does not go together with a tensor scale."""
        if not self.tensor_scale:
            return
        if self.takes_c:
            raise ValueError("tensor_scale must be False where takes_c is True, not True")
        if self.result != "binary32":
            raise ValueError(f"tensor_scale must be False for result={self.result!r}, not True")

    def _check_terms(self) -> None:
        """Check what ``aligned`` alone has, and what goes with it alone."""
        if self.term_size not in (1, UNIT):
            raise ValueError(f"term_size must be 1 or {UNIT}, not {self.term_size}")
        if not -255 <= self.zero_exponent <= -15:
            raise ValueError(f"zero_exponent must be from -255 to -15, not {self.zero_exponent}")
        results = ACCUMULATIONS[self.accumulate].results
        if self.result not in results:
            rule = f"{'one of ' if len(results) > 1 else ''}{', '.join(results)}"
            raise ValueError(f"result must be {rule} for accumulate={self.accumulate!r}, not {self.result!r}")
        scales = [fmt.name for fmt in self.scales]
        if formats.NO_SCALE.name in scales:
            if len(set(scales)) > 1:
                raise ValueError(
                    f"scale must be none for both of a and b or for neither, not {' and '.join(scales)}"
                )
            if not ACCUMULATIONS[self.accumulate].fraction:
                raise ValueError(f"scale must be a format for accumulate={self.accumulate!r}, not 'none'")
        for fmt in self.elements:
            if fmt.name in formats.WIDE_ELEMENTS and self.term_size != 1:
                raise ValueError(f"term_size must be 1 for {fmt.name}, not {self.term_size}")
            if self.term_size == 1 and not fmt.exponent_bits:
                raise ValueError(f"element must have an exponent for a term_size of 1, not {fmt.name}")

    # Names.

    @property
    def name(self) -> str:
        """The stable short name, such as ``e2m1_ue5m3_n16_fp32``.

        ``AxB`` where the formats of a and b differ; ``_b4`` after the block size where `blocks` is not
        1; ``_g20`` at the end where `accumulate` is ``exact`` and `guard` is not 16; where it is
        ``aligned``, what is not as by default: ``_f30``, ``_t1`` for a `term_size` of 1 and ``_z133`` for a
        `zero_exponent` of -133; then `result` where it is not ``binary32``, ``_c`` where sums start at C, and
        ``_tensor`` where there is a tensor scale.
        """
        return name_of(self)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the specification of that `name`.

        Raises:
            ValueError: If `name` is not a specification's name, or a part of it is not allowed.
        """
        return cls(**arguments_of(name))

    @classmethod
    def preset(cls, name: str) -> "DotSpec":
        """Return what one step of a published tensor core computes, such as ``hopper-e4m3``.

        Raises:
            ValueError: If `blockdot.model.presets.PRESETS` has none of that name.
        """
        from .presets import preset  # which makes specifications

        return preset(name)

    # The formats, and the widths they lead to. All widths are those of one block of N elements.

    @cached_property
    def elements(self) -> tuple[Format, Format]:
        """The element formats of a and b."""
        return _pair(self.element, "element")

    @property
    def element_is_wide(self) -> bool:
        """Whether an element is one of `blockdot.model.formats.WIDE_ELEMENTS`."""
        return any(fmt.name in formats.WIDE_ELEMENTS for fmt in self.elements)

    @cached_property
    def scales(self) -> tuple[Format, Format]:
        """The scale formats of a and b."""
        return _pair(self.scale, "scale")

    @property
    def has_scales(self) -> bool:
        """Whether blocks have scales: not under ``scale="none"``, where nothing takes codes of scales."""
        return self.scale != formats.NO_SCALE.name

    @property
    def result_format(self) -> ResultFormat:
        """What `result` names: the format in which a unit gives results."""
        return RESULTS[self.result]

    @property
    def rounds_at_end(self) -> bool:
        """Whether sums, or values where there are none, are rounded to `result` at their end alone."""
        return self.result in ACCUMULATIONS[self.accumulate].end_formats

    @property
    def rounds_to_odd(self) -> bool:
        """Whether hardware rounds exact values to odd first, so that rounding to `result` is the only one."""
        return self.rounds_at_end and ACCUMULATIONS[self.accumulate].exact

    @property
    def sum_format(self) -> ResultFormat:
        """What sums are kept in between two groups; those of ``exact`` are no numbers of a format."""
        return RESULTS["binary32" if self.rounds_at_end else self.result]

    @property
    def c_format(self) -> ResultFormat:
        """The format of C: binary32, or that of ``aligned`` sums that are kept in binary16."""
        return RESULTS["binary16" if self.sum_format is RESULTS["binary16"] else "binary32"]

    @property
    def accumulates(self) -> bool:
        """Whether groups are summed into one result."""
        return ACCUMULATIONS[self.accumulate].sums is not None

    @property
    def most_groups(self) -> int | None:
        """The most groups that a sum may have; None for any number."""
        return (1 << self.guard) // self.blocks if ACCUMULATIONS[self.accumulate].guard else None

    @cached_property
    def largest_sum(self) -> int:
        """The largest ``|sum(a_i * b_i)|``, as an integer of the products' quantum."""
        largest = 1
        for fmt in self.elements:
            # The largest magnitude is at the top positive code, or at the least two's-complement one.
            magnitude = np.nanmax(np.abs(np.where(np.isinf(fmt.values), 0.0, fmt.values)))
            largest *= int(Fraction(float(magnitude)) / Fraction(2) ** fmt.quantum_exponent)
        return largest * self.block_size

    @property
    def sum_bits(self) -> int:
        """Width of the sum of products, signed: 13 for 16 elements of e2m1."""
        return self.largest_sum.bit_length() + 1

    @cached_property
    def largest_scale_significand(self) -> int:
        """The largest product of the two scales' integer significands."""
        a, b = (int(fmt.split(fmt.codes)[0].max()) for fmt in self.scales)
        return a * b

    @property
    def scale_significand_bits(self) -> int:
        """Width of the product of the scales' significands, unsigned: 8 for ue4m3 and ue5m3."""
        return self.largest_scale_significand.bit_length()

    @property
    def term_bits(self) -> int:
        """Width of a block's signed integer significand: the sum times both scale significands."""
        return (self.largest_sum * self.largest_scale_significand).bit_length() + 1

    @property
    def quantum_exponent(self) -> int:
        """Every V is an integer times two to this power: -20 for e2m1 with ue4m3."""
        return sum(fmt.quantum_exponent for fmt in self.elements + self.scales)

    @property
    def scale_shift(self) -> int:
        """The most places that the scales' exponents shift a block's significand up from the quantum."""
        return sum(int(fmt.split(fmt.codes)[1].max()) - fmt.quantum_exponent for fmt in self.scales)

    @cached_property
    def window_bits(self) -> int:
        """Width that holds every V exactly, signed: 48 for ue4m3 and 80 for ue5m3 at 16 elements of e2m1.

        Any significand of `term_bits` shifted by any of the `scale_shift` places fits, so that the width
        holds as well where the largest significand and the largest exponent are not those of one code.
        """
        return self.term_bits + self.scale_shift

    @property
    def accumulator_bits(self) -> int:
        """Width of the exact accumulator: the window and the guard bits."""
        return self.window_bits + self.guard

    # The numbers.

    def compute(
        self,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        a_scale: npt.ArrayLike | None = None,
        b_scale: npt.ArrayLike | None = None,
        c: npt.ArrayLike | None = None,
        g: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.float32]:
        """Compute what the unit computes, bit for bit.

        Args:
            a: Element codes, shape (..., groups, blocks, N).
            b: Element codes of the same shape.
            a_scale: Scale codes, shape (..., groups, blocks); none where `scale` is ``none``.
            b_scale: Likewise.
            c: What each sum starts at, shape (...): float32, of which `c_format` has every number. None
                unless `takes_c`.
            g: What each result is multiplied by, shaped as the results: any float32. None unless there is a
                `tensor_scale`.

        Returns:
            binary32 results: shape (..., groups) for ``none``, else (...): groups are accumulated in
            ascending order. Every NaN is 0x7FC00000. Those of ``e8m13``, ``binary16`` and ``bfloat16`` are
            binary32 numbers that these formats have.

        Raises:
            TypeError: If codes are not integers, or `c` or `g` is not float32.
            ValueError: If shapes do not fit, a code has a bit above its format, `c` is given without
                `takes_c`, or is missing, or `g` without `tensor_scale`, there is no group to accumulate, or
                there are more blocks than ``exact`` has guard bits for.
        """
        return compute(self, a, b, a_scale, b_scale, c, g)

    def rounded_at_end(self, sums: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what results are made of sums: these, or what they are rounded to at their end."""
        if not self.rounds_at_end:
            return sums
        return canonical(self.result_format.rounded(sums.astype(np.float64)))

    def multiplied(
        self, results: npt.NDArray[np.float32], g: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32]:
        """Return results times what `result_factors` gives: rounded to binary32, to nearest even."""
        if g is None:
            return results
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return canonical(np.multiply(results, g, dtype=np.float32))

    def result_bits(self, *codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint32]:
        """Compute what the unit computes, as the bits that it gives.

        Args:
            codes: Those of `compute`; of scales that there are none of, anything. Behind them the bits of C,
                where sums start at that, or those of g, where results are multiplied by that.

        Returns:
            As of `compute`.
        """
        more = codes[4].astype(np.uint32) if self.takes_c or self.tensor_scale else None
        c = None if more is None or self.tensor_scale else self.c_format.decode(more)
        g = None if more is None or self.takes_c else more.view(np.float32)
        return self.result_format.encode(self.compute(*codes[: 4 if self.has_scales else 2], c=c, g=g))

    def check_groups(self, groups: int) -> None:
        """Raise ValueError unless that many groups can be accumulated."""
        if groups < 1:
            raise ValueError(f"groups must be at least 1 for accumulate={self.accumulate!r}, not {groups}")
        if self.most_groups is not None and groups > self.most_groups:
            raise ValueError(
                f"groups * blocks must be at most 2**guard = {1 << self.guard}, not {groups * self.blocks}"
            )

    @cached_property
    def exact_terms(self) -> BlockTerms:
        """What turns codes into exact terms, before anything is rounded."""
        return BlockTerms(self.elements, self.scales, self.block_size)

    def block_terms(self, *codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float64]:
        """Return exact terms that add up to the V of groups: see `BlockTerms.compute`."""
        return self.exact_terms.compute(*codes)

    @property
    def end_rounding(self) -> SumRounding:
        """What rounds exact values to results, once."""
        return self.result_format.rounded if self.rounds_at_end else nearest_binary32

    def rounded(self, terms: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Round the sum of the last axis of `terms` once: to a result, or to binary32 for a sum of groups."""
        if terms.shape[-1] == 1:
            rounding = nearest_binary32 if self.accumulates else self.end_rounding
            with np.errstate(over="ignore", under="ignore"):
                return canonical(rounding(terms[..., 0].astype(np.float64, copy=False)))
        return self.round_terms([terms[..., t] for t in range(terms.shape[-1])])

    def round_terms(self, terms: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float32]:
        """Add the exact terms of a group, arrays of one shape, and round the sums once as `rounded` does."""
        bits = self.window_bits + (self.blocks - 1).bit_length()
        rounding = nearest_binary32 if self.accumulates else self.end_rounding
        return round_sum(terms, quantum_exponent=self.quantum_exponent, bits=bits, rounding=rounding)

    # The accumulation of `aligned`.

    @property
    def unit_size(self) -> int:
        """Elements under one term of ``aligned``: a longer block gives several."""
        return min(self.block_size, self.term_size)

    def accumulator(self, shape: tuple[int, ...], c: npt.NDArray[np.float32] | None = None) -> GroupSums:
        """Return an accumulator for an array of `shape` sums, which takes groups in ascending order.

        Args:
            shape: The shape.
            c: What `sum_starts` gives: where the sums start.

        Raises:
            ValueError: If each group gives a result.
        """
        sums = ACCUMULATIONS[self.accumulate].sums
        if sums is None:
            raise ValueError(f"accumulate must be one that sums groups, not {self.accumulate!r}")
        made = sums(self, shape)
        if c is not None:
            assert isinstance(made, StartedSums)  # or there would be no C
            made.start(c)
        return made
