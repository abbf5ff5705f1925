"""How the steps of ``aligned`` in several stages are described: the largest exponent, the loop, the result.

The sum so far is an integer beside the exponent that it was made at. It is worth what is left of it after its
leading digits, as many as the result's format has.
"""

from collections.abc import Mapping
from typing import Final

from ...model import DotSpec
from ..proofs.description_text import DescriptionModule, binary32, kept_c_text, leading
from ..proofs.steps import StepNetlist
from .aligned_blocks import block_limits, read_blocks
from .aligned_products import odd_group, product_limits, read_products
from .aligned_text import PlacedTerm, TermLimits, signed_term

__all__ = [
    "SUM_OUTPUTS",
    "add_in_loop",
    "bounded_field",
    "bounded_sum",
    "describe_aligned",
    "describe_counts",
    "describe_result",
    "describe_search",
    "follow",
    "follow_specials",
    "held_sum",
    "loop_limits",
    "own_placed",
    "read_sum",
    "shifted_row",
]

_BELOW_ALL = -8191
"""An exponent below every other."""


def _terms(m: DescriptionModule, spec: DotSpec) -> tuple[TermLimits, list[PlacedTerm], list[str]]:
    """Add the terms that come in; return what is known of them, them, and the exponents that they read."""
    if spec.term_size == 1:
        limits = product_limits(spec)
        placed = read_products(m, limits)
        return limits, placed, [exponent for _, _, _, exponent, _ in placed]
    limits = block_limits(spec, m.inputs["magnitude_0"])
    placed = read_blocks(m, limits)
    return limits, placed, [f"exponent_{t}" for t in range(limits.count)]


def describe_search(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe the largest exponent of a group's terms, no less than that of any sum so far."""
    del step, segment
    limits, _, exponents = _terms(m, spec)
    largest = f"14'sd{limits.floor}" if limits.floor >= 0 else f"-14'sd{-limits.floor}"
    for k, one in enumerate(exponents):
        largest = m.wire(f"largest_{k}", 14, f"{one} > {largest} ? {one} : {largest}", signed=True)
    m.give("largest", largest)
    m.care("largest", f"~{odd_group(m)}")


def describe_aligned(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe terms that are cut off below the largest exponent."""
    del step, segment
    limits, placed, _ = _terms(m, spec)
    odd = odd_group(m)
    m.wire("largest", 14, "$signed(i_largest)" if _signed(limits) else "i_largest", signed=True)
    m.assume(f"({odd} | (largest >= {limits.floor} & largest <= {max(limits.greatest, limits.floor)}))")
    for k, (name, magnitude, point, exponent, _) in enumerate(placed):
        m.assume(f"({odd} | {magnitude} == 0 | largest >= {exponent})")
        distance = m.wire(f"{name}_distance", 14, f"largest - {exponent} + {point}")
        m.give(f"aligned_{k}", f"({{{spec.fraction}'b0, {magnitude}}} << {spec.fraction}) >> {distance}")
        m.care(f"aligned_{k}", f"~{odd}")


def _signed(limits: TermLimits) -> bool:
    """Return whether the largest exponent of a group's terms can be below zero."""
    return limits.zero_counts and min(limits.least, limits.floor) < 0


def describe_counts(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe the counts of ones in each column of terms, inverted where these are negative."""
    del spec, step, segment
    count = sum(name.startswith("aligned_") for name in m.inputs)
    width, digits = m.inputs["aligned_0"], m.outputs["negatives"]
    for i in range(width):
        bits = (f"{{{digits}'b0, i_aligned_{k}[{i}] ^ i_negative_{k}}}" for k in range(count))
        m.wire(f"column_{i}", digits, " + ".join(bits))
    for j in range(digits):
        m.give(f"row_{j}", "{" + ", ".join(f"column_{i}[{j}]" for i in reversed(range(width))) + "}")
    m.give("negatives", " + ".join(f"{{{digits}'b0, i_negative_{k}}}" for k in range(count)))


def _number(m: DescriptionModule, limits: TermLimits, part: dict[str, str], width: int) -> None:
    """Add the number that a kept sum is worth, as ``number``.

    Args:
        m: The module.
        limits: What is known of terms and sums.
        part: The wires of the sum's parts.
        width: Width of the sum's magnitude.
    """
    spec = limits.spec
    fields = spec.sum_format.fields
    room, bits = fields.fraction_bits, fields.bits
    exponent = part["exponent"]
    made_at = f"$signed({exponent})" if min(limits.floor, 0) < 0 else f"{{2'b0, {exponent}}}"
    m.wire("made_at", 14, made_at, signed=True)
    unit = f"made_at - {fields.bias + spec.fraction}"
    size = binary32(m, part["magnitude"], width, unit, nearest=False, name="kept_", fields=fields)
    infinity = f"{bits - 1}'h{fields.infinity_field << room:x}"
    nan = f"{bits}'h{(2 * fields.infinity_field + 1) << room - 1:x}"
    finite = f"{{{part['negative']}, {size}}}"
    if "infinite" in part:
        infinite = part["infinite"]
        finite = f"{infinite}[0] ? {{1'b0, {infinity}}} : {infinite}[1] ? {{1'b1, {infinity}}} : {finite}"
    m.wire("number", bits, f"{part['nan']} ? {nan} : {finite}")


def describe_result(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe the number that a kept sum is worth."""
    del step, segment
    limits = loop_limits(spec, m.inputs["sum_magnitude"])
    part = {name: f"i_sum_{name}" for name in ("negative", "exponent", "magnitude")} | {"nan": "i_nan"}
    if "infinite" in m.inputs:
        part["infinite"] = "i_infinite"
    _number(m, limits, part, m.inputs["sum_magnitude"])
    if "infinite" in m.inputs:
        # A sum that is infinite above and below zero is NaN already.
        m.assume("(i_nan | i_infinite != 3)")
    leading(m, "lead", "i_sum_magnitude", m.inputs["sum_magnitude"])
    m.wire("field", 14, f"made_at + lead - {spec.fraction}", signed=True)
    if inside := bounded_sum(m.inputs, limits, "i_nan", "i_infinite", "i_sum_magnitude", "field"):
        # The loop claims it.
        m.assume(inside)
    zeros = spec.sum_format.bits - spec.sum_format.fields.bits
    m.give("result", f"{{number, {zeros}'b0}}" if zeros else "number")


def loop_limits(spec: DotSpec, sum_bits: int) -> TermLimits:
    """Return what is known of terms and sums; a term's width follows from that of the sum, or is known."""
    if spec.term_size == 1:
        return product_limits(spec)
    width = 1
    while (limits := block_limits(spec, width)).largest_group + (2 << spec.fraction) - 1 < 1 << sum_bits - 1:
        width += 1
    return limits


def add_in_loop(m: DescriptionModule, spec: DotSpec) -> None:
    """Describe the addition of a group to a sum that is kept as it comes."""
    width = m.outputs["sum_magnitude"]
    single = "magnitude_0" in m.inputs
    limits = block_limits(spec, m.inputs["magnitude_0"]) if single else loop_limits(spec, width)
    held = held_sum(m, m.outputs)
    terms = read_blocks(m, limits) if single else []
    largest = read_sum(m, limits, held, width)
    whole = width + 2
    if single:
        (term,) = terms
        addend = signed_term(m, spec, term, largest, bits=limits.width + spec.fraction, whole=whole)
    else:
        addend = _counted(m, largest, whole)
        m.assume(
            f"({odd_group(m)} | ({addend} <= {limits.largest_group} & {addend} >= -{limits.largest_group}))"
        )
    own_placed(m, limits, largest, whole)
    m.wire("total", whole, f"{addend} + (before_negative ? -own : own)", signed=True)
    m.wire("total_size", whole, "total < 0 ? -total : total")
    follow(m, limits, largest, width)
    number = follow_specials(m, limits, held)
    following = {"size": "following_size", "made_at": largest, "negative": "total < 0"}
    for what, name in held.items():
        m.add(
            f"always @(posedge clk) {name} <= i_enable ? {following.get(what, f'following_{what}')} : {name};"
        )
    for what, name in held.items():
        m.give(SUM_OUTPUTS.get(what, what), name)
    # A solver has little to do once it knows how far the sum so far is shifted.
    m.leading = held["size"]
    # Of a sum that is no number nothing asks for these, and it stays none until the next starts.
    for what in ("size", "made_at", "negative"):
        m.care(held[what], f"~(i_enable & {number})")
    if "infinite" in held:
        m.care("accumulator_infinite", "~(i_enable & following_nan)")
    _bounds(m, limits)


SUM_OUTPUTS: Final = {"size": "sum_magnitude", "made_at": "sum_exponent", "negative": "sum_negative"}
"""What is given of a sum, by what it is of it, where both have other names."""


def read_sum(m: DescriptionModule, limits: TermLimits, held: dict[str, str], width: int) -> str:
    """Add what a group is added to, and the largest exponent; return that one's wire.

    Args:
        m: The module.
        limits: What is known of terms and sums.
        held: See `held_sum`.
        width: Width of a sum's magnitude.
    """
    spec = limits.spec
    room, kept = spec.sum_format.fields.fraction_bits, spec.fraction
    _before(m, limits, held, width)
    # The digits of the result's format, from the leading one on, and what they read.
    leading(m, "lead", "before_size", width)
    m.wire("cut", 14, f"lead > {room} ? lead - {room} : 0")
    m.wire("digits", width, "(before_size >> cut) << cut")
    m.wire("field", 14, f"before_made_at + lead - {kept}", signed=True)
    # A zero that is below every number does not move what is added to it.
    zero = max(limits.zero, limits.floor) if limits.zero_counts else _BELOW_ALL
    reads = f"before_size == 0 ? {zero} : field < 1 ? 14'sd1 : field"
    m.wire("before_exponent", 14, reads, signed=True)
    if "magnitude_0" in m.inputs:
        m.wire("group_exponent", 14, "given_0", signed=True)
    else:
        odd = odd_group(m)
        m.wire("group_exponent", 14, "$signed(i_largest)" if _signed(limits) else "i_largest", signed=True)
        inside = f"group_exponent >= {limits.floor} & group_exponent <= {max(limits.greatest, limits.floor)}"
        m.assume(f"({odd} | ({inside}))")
        # Below the exponent of every number all terms are zero: each column has a one for each negative term.
        rows = [name for name in m.inputs if name.startswith("row_")]
        zeros = (f"i_{row} == {{{m.inputs[row]}{{i_negatives[{j}]}}}}" for j, row in enumerate(rows))
        m.assume(f"({odd} | group_exponent >= {limits.least} | ({' & '.join(zeros)}))")
    larger = "group_exponent > before_exponent ? group_exponent : before_exponent"
    return m.wire("largest", 14, larger, signed=True)


def own_placed(m: DescriptionModule, limits: TermLimits, largest: str, whole: int) -> None:
    """Add the sum so far at its place below the largest exponent, without its sign."""
    kept = limits.spec.fraction
    # Shifted up first: a sum that is ahead has its leading one at the place that was made for it.
    m.wire("own_distance", 14, f"{largest} - before_made_at + {kept}")
    m.wire("own", whole, f"({{{kept}'b0, digits}} << {kept}) >> own_distance")


def follow(m: DescriptionModule, limits: TermLimits, largest: str, width: int) -> None:
    """Add the magnitude that is kept of a sum: no bit below the last place of the least subnormal number."""
    last = limits.spec.fraction + 1 - limits.spec.sum_format.fields.fraction_bits
    m.wire("dropped", 14, f"{largest} > {last} ? 0 : {last} - {largest}")
    m.wire("following_size", width, "(total_size >> dropped) << dropped")


def follow_specials(m: DescriptionModule, limits: TermLimits, held: dict[str, str]) -> str:
    """Add what tells of a sum that it is NaN or infinite; return whether it is no number."""
    if "infinite" not in held:
        m.wire("following_nan", 1, "i_nan | before_nan")
        return "following_nan"
    top = limits.spec.sum_format.fields.infinity_field
    m.wire("too_large", 1, f"before_infinite == 0 & before_size != 0 & field >= {top}")
    infinite = "before_infinite | {too_large & before_negative, too_large & ~before_negative}"
    m.wire("following_infinite", 2, f"({infinite}){' | i_infinite' if 'infinite' in m.inputs else ''}")
    m.wire("following_nan", 1, "i_nan | before_nan | following_infinite == 3")
    return "(following_nan | following_infinite != 0)"


def held_sum(m: DescriptionModule, outputs: Mapping[str, int]) -> dict[str, str]:
    """Add the registers of a sum, and return them by what they hold; wires, where a module has none.

    Args:
        m: The module.
        outputs: Width of each output of the step.
    """
    held = {"size": "accumulator", "made_at": "accumulator_exponent", "negative": "accumulator_negative"}
    held["nan"] = "accumulator_nan"
    if "infinite" in outputs:
        held["infinite"] = "accumulator_infinite"
    for what, name in held.items():
        width = outputs[SUM_OUTPUTS.get(what, what)]
        if m.clocked:
            m.add(f"reg [{width - 1}:0] {name};")
        else:
            m.wire(name, width, f"i_{name}")
    return held


def _before(m: DescriptionModule, limits: TermLimits, held: dict[str, str], width: int) -> None:
    """Add the sum that a group is added to: the one that is kept, or what a sum starts at."""
    spec = limits.spec
    fields, kept = spec.sum_format.fields, spec.fraction
    room, bits = fields.fraction_bits, fields.bits
    made_at = held["made_at"]
    made_at = f"$signed({made_at})" if limits.floor < 0 else f"{{2'b0, {made_at}}}"
    start = dict.fromkeys(held, "0")
    if "c" in m.inputs:
        m.wire("start", bits, kept_c_text(spec.c_format.fields, fields))
        field, fraction = f"start[{bits - 2}:{room}]", f"start[{room - 1}:0]"
        m.wire("start_field", 14, f"{field} == 0 ? 14'sd1 : {{2'b0, {field}}}", signed=True)
        m.wire("start_size", width, f"({{{kept}'b0, {field} != 0, {fraction}}} << {kept}) >> {room}")
        m.wire("start_odd", 1, f"{field} == {fields.infinity_field}")
        infinite = f"start_odd & {fraction} == 0"
        start |= {"size": "start_size", "made_at": "start_field", "negative": f"start[{bits - 1}]"}
        start |= {"nan": f"start_odd & {fraction} != 0"}
        sign = start["negative"]
        start |= {"infinite": f"{{{infinite} & {sign}, {infinite} & ~{sign}}}"}
    m.wire("held_made_at", 14, made_at, signed=True)
    m.wire("before_made_at", 14, f"i_first ? {start['made_at']} : held_made_at", signed=True)
    for what, size in (("size", width), ("negative", 1), ("nan", 1), ("infinite", 2)):
        if what in held:
            m.wire(f"before_{what}", size, f"i_first ? {start[what]} : {held[what]}")


def bounded_field(limits: TermLimits, field: str) -> str:
    """Return what holds of the field of each sum that is not zero; nothing where sums may start anywhere."""
    inside: list[str] = []
    if limits.spec.takes_c:
        return ""
    if limits.highest < limits.spec.sum_format.fields.infinity_field:
        inside.append(f"{field} <= {limits.highest}")
    if limits.lowest > 1:
        inside.append(f"{field} >= {limits.lowest}")
    return " & ".join(inside)


def bounded_sum(
    ports: Mapping[str, int], limits: TermLimits, nan: str, infinite: str, size: str, field: str
) -> str:
    """Return what holds of each sum: it is no number, or zero, or has such a field as sums have.

    Args:
        ports: Those on the side of the step where the sum is: they tell whether it may be infinite.
        limits: What is known of terms and sums.
        nan: The wire that says that it is NaN.
        infinite: The one that says that it is infinite.
        size: The one with its magnitude.
        field: The one with its exponent's field.
    """
    inside = bounded_field(limits, field)
    odd = f"{nan} | {infinite} != 0" if "infinite" in ports else nan
    return f"({odd} | {size} == 0 | ({inside}))" if inside else ""


def _bounds(m: DescriptionModule, limits: TermLimits) -> None:
    """Say what holds of every sum: of the one before, and so of the following one."""
    leading(m, "following_lead", "following_size", m.outputs["sum_magnitude"])
    m.wire("following_field", 14, f"largest + following_lead - {limits.spec.fraction}", signed=True)
    before, following = (
        bounded_sum(m.outputs, limits, f"{which}_nan", f"{which}_infinite", f"{which}_size", field)
        for which, field in (("before", "field"), ("following", "following_field"))
    )
    if before:
        m.assume(before)
        m.claim("accumulator", following)


def _counted(m: DescriptionModule, largest: str, whole: int) -> str:
    """Add the sum of terms that are given as counts of their columns; return the wire's name.

    A column with B ones, of n terms that are negative, is worth B - n. Those below the distance are left out.
    Above the topmost there are n ones, which is worth nothing.
    """
    width = m.inputs["row_0"]
    rows = sum(name.startswith("row_") for name in m.inputs)
    parts = [f"({{{whole}'b0, {shifted_row(m, j, largest)}}} << {j})" for j in range(rows)]
    columns = f"{whole}'d{(1 << width) - 1}"
    return m.wire(
        "group", whole, f"{' + '.join(parts)} - {{{whole}'b0, i_negatives}} * {columns}", signed=True
    )


def shifted_row(m: DescriptionModule, j: int, largest: str) -> str:
    """Add digit j of all counts, shifted to the largest exponent; return the wire's name."""
    width = m.inputs[f"row_{j}"]
    behind = f"{largest} - group_exponent"
    m.wire(f"behind_{j}", 14, f"{behind} > {width} ? {width} : {behind}")
    return m.wire(f"shifted_{j}", width, f"{{{{{width}{{i_negatives[{j}]}}}}, i_row_{j}}} >> behind_{j}")
