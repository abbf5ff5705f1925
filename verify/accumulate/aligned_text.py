"""What descriptions of ``aligned`` have in common, whatever a term is."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...model import DotSpec
from ...model.aligned_sum import ResultFormat
from ..proofs.description_text import DescriptionModule, binary32, kept_c_text

__all__ = [
    "PlacedTerm",
    "TermLimits",
    "add_following",
    "add_terms",
    "before_reading",
    "bound_sums",
    "cut_term",
    "keep_sum",
    "largest_exponent",
    "own_term",
    "signed_term",
]

PlacedTerm = tuple[str, str, int, str, str]
"""A term's name, its magnitude, the bits of that behind its point, its exponent and its sign."""


@dataclass(frozen=True)
class TermLimits:
    """What is known of the terms of a group, and of the sums that they make.

    Attributes:
        spec: What is computed.
        count: How many terms there are.
        width: Width of a magnitude.
        most: The largest magnitude.
        point: Bits of a magnitude behind its point.
        least: The least exponent of a term that is not zero, biased as the result's.
        greatest: The greatest.
        zero: That of what is exactly zero.
    """

    spec: DotSpec
    count: int
    width: int
    most: int
    point: int
    least: int
    greatest: int
    zero: int

    @property
    def zero_counts(self) -> bool:
        """Whether a zero can have a larger exponent than a number, or a number one that no sum has."""
        return not self.least >= 1 >= self.zero

    @property
    def floor(self) -> int:
        """The least exponent of a sum so far; what is below that of every number is as good as the least."""
        return min(max(self.zero, min(self.least, 1)), 1) if self.zero_counts else 1

    @property
    def largest_own(self) -> int:
        """The largest magnitude of a sum so far, likewise in units of the last place kept."""
        room = self.spec.sum_format.fields.fraction_bits
        return ((2 << room) - 1) << self.spec.fraction >> room

    @property
    def term_bits(self) -> int:
        """Places from the last one that is kept of a term of the largest exponent to its topmost one."""
        return max(self.width - self.point + self.spec.fraction, 1)

    @property
    def largest_group(self) -> int:
        """The largest sum of the terms of a group, in units of the last place kept."""
        places = self.spec.fraction - self.point
        return self.count * (self.most << max(places, 0) >> max(-places, 0))

    @property
    def highest(self) -> int:
        """The greatest exponent field of a finite sum.

        A sum above every bit of every term no longer grows, and one below is no longer than its bits: where
        that is below infinity, none comes there.
        """
        kept = self.spec.fraction
        sum_bits = (self.largest_group + (2 << kept) - 1).bit_length()
        return self.greatest + self.term_bits - 1 + sum_bits - 1 - kept + self.spec.sum_format.nearest

    @property
    def lowest(self) -> int:
        """The least exponent field of a sum that is not zero, or 0.

        What is kept of any term is a multiple of the last place kept of the least one: so is every sum.
        """
        return 0 if self.zero_counts else self.least - self.spec.fraction


def before_reading(m: DescriptionModule, spec: DotSpec, zero: int) -> ResultFormat:
    """Add the sum so far, and the exponent that it reads, biased as its format's; return the format.

    What a register holds is an input where the module has none.
    """
    result = spec.sum_format
    bits = result.fields.bits
    if m.clocked:
        m.add(f"reg [{bits - 1}:0] accumulator;")
    else:
        m.wire("accumulator", bits, "i_accumulator")
    start = kept_c_text(spec.c_format.fields, result.fields) if "c" in m.inputs else f"{bits}'d0"
    m.wire("before", bits, f"i_first ? {start} : accumulator")
    room = result.fields.fraction_bits
    field = f"before[{bits - 2}:{room}]"
    own = f"before[{bits - 2}:0] == 0 ? {zero} : {field} == 0 ? 14'sd1 : {{6'b0, {field}}}"
    m.wire("before_exponent", 14, own, signed=True)
    infinity = f"{bits - 1}'h{result.fields.infinity_field << room:x}"
    m.wire("own_nan", 1, f"before[{bits - 2}:0] > {infinity}")
    m.wire("own_infinite", 1, f"before[{bits - 2}:0] == {infinity}")
    return result


def largest_exponent(m: DescriptionModule, exponents: Sequence[str], limits: TermLimits) -> str:
    """Add the largest exponent of terms and of the sum so far; return the wire's name.

    It is no less than the least that a sum can have: below that there are zeros alone, whose sum is zero at
    any exponent.
    """
    largest = "before_exponent"
    for k, one in enumerate(exponents):
        largest = m.wire(f"largest_{k}", 14, f"{one} > {largest} ? {one} : {largest}", signed=True)
    floor = f"14'sd{limits.floor}" if limits.floor >= 0 else f"-14'sd{-limits.floor}"
    return m.wire("largest", 14, f"{largest} < {floor} ? {floor} : {largest}", signed=True)


def own_term(spec: DotSpec) -> PlacedTerm:
    """Return the sum so far as a term."""
    fields = spec.sum_format.fields
    room, width = fields.fraction_bits, fields.bits
    normal = f"before[{width - 2}:{room}] != 0"
    magnitude = f"{{{normal}, before[{room - 1}:0]}}"
    return "own", magnitude, room, "before_exponent", f"before[{width - 1}]"


def add_terms(
    m: DescriptionModule,
    spec: DotSpec,
    terms: Sequence[PlacedTerm],
    largest: str,
    *,
    bits: int,
    whole: int,
) -> None:
    """Add terms to the sum so far, all cut off at the largest exponent, and what becomes of it.

    Args:
        m: The module.
        spec: What is computed.
        terms: The terms.
        largest: The largest exponent.
        bits: Width of the widest term, shifted up.
        whole: Width of the sum, signed.
    """
    every = (*terms, own_term(spec))
    addends = [signed_term(m, spec, term, largest, bits=bits, whole=whole) for term in every]
    m.wire("total", whole, " + ".join(addends), signed=True)
    m.wire("total_negative", 1, "total < 0")
    m.wire("total_size", whole, "total < 0 ? -total : total")
    add_following(m, spec, largest, whole)


def add_following(m: DescriptionModule, spec: DotSpec, largest: str, width: int) -> None:
    """Add the number that becomes of a sum, out of its sign and its magnitude.

    Args:
        m: The module, with wires ``total_negative`` and ``total_size``.
        spec: What is computed.
        largest: The largest exponent.
        width: Width of the magnitude.
    """
    result, kept = spec.sum_format, spec.fraction
    room, bits = result.fields.fraction_bits, result.fields.bits
    unit = f"{largest} - {result.fields.bias + kept}"
    size = binary32(m, "total_size", width, unit, nearest=result.nearest, fields=result.fields)
    infinity = f"{bits - 1}'h{result.fields.infinity_field << room:x}"
    up, down = ("i_infinite[0]", "i_infinite[1]") if "infinite" in m.inputs else ("1'b0", "1'b0")
    m.wire("up_any", 1, f"{up} | (own_infinite & ~before[{bits - 1}])")
    m.wire("down_any", 1, f"{down} | (own_infinite & before[{bits - 1}])")
    plain = f"up_any ? {{1'b0, {infinity}}} : down_any ? {{1'b1, {infinity}}} : {{total_negative, {size}}}"
    nan = f"{bits}'h{(2 * result.fields.infinity_field + 1) << room - 1:x}"
    m.wire("following", bits, f"i_nan | own_nan | (up_any & down_any) ? {nan} : {plain}")


def cut_term(
    m: DescriptionModule, spec: DotSpec, term: PlacedTerm, largest: str, *, bits: int, whole: int
) -> str:
    """Add a term cut off at the largest exponent, without its sign; return the wire's name.

    See `add_terms`.
    """
    name, magnitude, places, exponent, _ = term
    distance = m.wire(f"{name}_distance", 14, f"{largest} - {exponent} + {places}")
    return m.wire(f"{name}_cut", whole, f"({{{bits}'b0, {magnitude}}} << {spec.fraction}) >> {distance}")


def signed_term(
    m: DescriptionModule, spec: DotSpec, term: PlacedTerm, largest: str, *, bits: int, whole: int
) -> str:
    """Add a term cut off at the largest exponent, with its sign; return the wire's name. See `add_terms`."""
    cut = cut_term(m, spec, term, largest, bits=bits, whole=whole)
    return m.wire(f"{term[0]}_signed", whole, f"{term[4]} ? -{cut} : {cut}", signed=True)


def keep_sum(m: DescriptionModule, limits: TermLimits) -> None:
    """Keep what becomes of the sum; no finite one has an exponent field outside these, zero apart.

    That is so of sums that start at zero.
    """
    result = limits.spec.sum_format
    held = bound_sums(m, limits, ("before", "following"))
    if held:
        m.assume(held[0])
        m.claim("accumulator", held[1])
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    zeros = result.bits - result.fields.bits
    m.give("result", f"{{accumulator, {zeros}'b0}}" if zeros else "accumulator")


def bound_sums(m: DescriptionModule, limits: TermLimits, sums: Sequence[str]) -> list[str]:
    """Return what holds of each wire with a sum of the result's format; nothing where sums start anywhere.

    Args:
        m: The module.
        limits: What is known of terms and sums.
        sums: The wires.
    """
    spec, highest, lowest = limits.spec, limits.highest, limits.lowest
    result = spec.sum_format
    width, room = result.fields.bits, result.fields.fraction_bits
    top = result.fields.infinity_field
    found: list[str] = []
    for which in () if spec.takes_c else sums:
        magnitude, field = f"{which}[{width - 2}:0]", f"{which}[{width - 2}:{room}]"
        infinity, nan = f"{width - 1}'h{top << room:x}", f"{width - 1}'h{(2 * top + 1) << room - 1:x}"
        inside: list[str] = []
        if highest < top:
            infinite = f" | {magnitude} == {infinity}" if "infinite" in m.inputs else ""
            inside.append(f"({field} <= {highest} | {magnitude} == {nan}{infinite})")
        if lowest > 1:
            inside.append(f"({field} >= {lowest} | {magnitude} == 0)")
        if inside:
            found.append(f"({' & '.join(inside)})")
    return found
