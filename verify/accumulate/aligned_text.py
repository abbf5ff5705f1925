"""What descriptions of ``aligned`` have in common, whatever a term is."""

from collections.abc import Sequence

from ...model import DotSpec
from ...model.aligned_sum import ResultFormat
from ..proofs.description_text import DescriptionModule, binary32, kept_c

__all__ = ["add_terms", "before_reading", "keep_sum"]


def before_reading(m: DescriptionModule, spec: DotSpec, zero: int) -> ResultFormat:
    """Add the sum so far, and the exponent that it reads, biased as its format's; return the format."""
    result = spec.sum_format
    bits, room = result.fields.bits, result.fields.fraction_bits
    m.add(f"reg [{bits - 1}:0] accumulator;")
    start = kept_c(spec.c_format.fields, result.fields) if "c" in m.inputs else f"{bits}'d0"
    m.wire("before", bits, f"i_first ? {start} : accumulator")
    field = f"before[{bits - 2}:{room}]"
    own = f"before[{bits - 2}:0] == 0 ? {zero} : {field} == 0 ? 14'sd1 : {{6'b0, {field}}}"
    m.wire("before_exponent", 14, own, signed=True)
    return result


def add_terms(
    m: DescriptionModule,
    spec: DotSpec,
    terms: Sequence[tuple[str, str, int, str, str]],
    largest: str,
    *,
    bits: int,
    whole: int,
) -> None:
    """Add terms to the sum so far, all cut off at the largest exponent, and what becomes of it.

    Args:
        m: The module.
        spec: What is computed.
        terms: For each a name, its magnitude, the bits of that behind its point, its exponent and its sign.
        largest: The largest exponent.
        bits: Width of the widest term, shifted up.
        whole: Width of the sum, signed.
    """
    result, kept = spec.sum_format, spec.fraction
    room, width = result.fields.fraction_bits, result.fields.bits
    field = f"before[{width - 2}:{room}]"
    own = ("own", f"{{{field} != 0, before[{room - 1}:0]}}", room, "before_exponent", f"before[{width - 1}]")
    addends: list[str] = []
    for name, magnitude, places, exponent, negative in [*terms, own]:
        distance = f"{name}_distance"
        m.wire(distance, 14, f"{largest} - {exponent} + {places}")
        placed = f"({{{bits}'b0, {magnitude}}} << {kept}) >> {distance}"
        m.wire(f"{name}_cut", whole, placed)
        addends.append(m.wire(f"{name}_signed", whole, f"{negative} ? -{name}_cut : {name}_cut", signed=True))
    m.wire("total", whole, " + ".join(addends), signed=True)
    m.wire("total_size", whole, "total < 0 ? -total : total")
    unit = f"{largest} - {result.fields.bias + kept}"
    size = binary32(m, "total_size", whole, unit, nearest=result.nearest, fields=result.fields)
    infinity = f"{width - 1}'h{result.fields.infinity_field << room:x}"
    m.wire("own_nan", 1, f"before[{width - 2}:0] > {infinity}")
    m.wire("own_infinite", 1, f"before[{width - 2}:0] == {infinity}")
    up, down = ("i_infinite[0]", "i_infinite[1]") if "infinite" in m.inputs else ("1'b0", "1'b0")
    m.wire("up_any", 1, f"{up} | (own_infinite & ~before[{width - 1}])")
    m.wire("down_any", 1, f"{down} | (own_infinite & before[{width - 1}])")
    plain = f"up_any ? {{1'b0, {infinity}}} : down_any ? {{1'b1, {infinity}}} : {{total < 0, {size}}}"
    nan = f"{width}'h{(2 * result.fields.infinity_field + 1) << room - 1:x}"
    m.wire("following", width, f"i_nan | own_nan | (up_any & down_any) ? {nan} : {plain}")


def keep_sum(m: DescriptionModule, spec: DotSpec, *, highest: int, lowest: int = 0) -> None:
    """Keep what becomes of the sum; no finite one has an exponent field outside these, zero apart.

    That is so of sums that start at zero.
    """
    result = spec.sum_format
    width, room = result.fields.bits, result.fields.fraction_bits
    top = result.fields.infinity_field
    for which in () if spec.takes_c else ("before", "following"):
        magnitude, field = f"{which}[{width - 2}:0]", f"{which}[{width - 2}:{room}]"
        infinity, nan = f"{width - 1}'h{top << room:x}", f"{width - 1}'h{(2 * top + 1) << room - 1:x}"
        inside: list[str] = []
        if highest < top:
            infinite = f" | {magnitude} == {infinity}" if "infinite" in m.inputs else ""
            inside.append(f"({field} <= {highest} | {magnitude} == {nan}{infinite})")
        if lowest > 1:
            inside.append(f"({field} >= {lowest} | {magnitude} == 0)")
        bounded = " & ".join(inside)
        if bounded and which == "before":
            m.assume(f"({bounded})")
        elif bounded:
            m.claim("accumulator", bounded)
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    zeros = result.bits - width
    m.give("result", f"{{accumulator, {zeros}'b0}}" if zeros else "accumulator")
