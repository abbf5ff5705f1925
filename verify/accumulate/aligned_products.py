"""How ``aligned`` is checked where every product is a term of its own."""

import functools
import math
from collections.abc import Iterator, Sequence

from ...model import DotSpec, Format
from ...model.formats import Top
from ..coverage.reach import NOT_DRIVEN, Reachable
from ..coverage.sum_maker import DirectedGroup, DirectedSum, SumMaker
from ..exact_trace import TracedStep, unit_exponent
from ..proofs.description_text import DescriptionModule, scale_rows, verilog_table
from ..proofs.steps import StepNetlist
from .aligned_bins import AlignedBins
from .aligned_text import PlacedTerm, TermLimits, add_terms, before_reading, keep_sum, largest_exponent

__all__ = [
    "AlignedProductBins",
    "describe_products",
    "describe_scaled",
    "describe_terms",
    "field_ends",
    "odd_group",
    "product_exponent_offset",
    "product_limits",
    "product_sums",
    "read_products",
]

_TABLE_BITS = 8


@functools.cache
def _fields(fmt: Format) -> list[int]:
    """Return the exponent fields of the finite codes of a format that are not zero."""
    if fmt.bits <= _TABLE_BITS:
        return [field for s, field in scale_rows(fmt).values() if s]
    return [1, (1 << fmt.exponent_bits) - 2]


def _largest_significand(fmt: Format) -> int:
    """Return the largest significand of a finite code."""
    if fmt.bits <= _TABLE_BITS:
        return max(s for s, _ in scale_rows(fmt).values())
    return (2 << fmt.mantissa_bits) - 1


def _reader(fmt: Format, name: str) -> str:
    """Return a module that reads a code: its significand, its exponent field, and if it is NaN or infinite.

    These are tables of the values where codes are few, and fields of the code where they are many.
    """
    bits, room = fmt.bits, fmt.mantissa_bits
    widths = {"significand": room + 1, "field": 9, "nan": 1, "infinite": 1}
    ports = [f"input [{bits - 1}:0] code", *(f"output [{w - 1}:0] {what}" for what, w in widths.items())]
    lines: list[str] = []
    if bits <= _TABLE_BITS:
        values = fmt.values.tolist()
        rows = scale_rows(fmt)
        tables = {
            "significand": {code: s for code, (s, _) in rows.items()},
            "field": {code: field for code, (_, field) in rows.items()},
            "nan": {code: int(value != value) for code, value in enumerate(values)},
            "infinite": {code: int(abs(value) == float("inf")) for code, value in enumerate(values)},
        }
        for what, table in tables.items():
            lines += [verilog_table(f"{what}_of", bits, widths[what], table)]
            lines += [f"  assign {what} = {what}_of(code);\n"]
    else:
        if fmt.top is not Top.IEEE or not fmt.subnormals:
            raise ValueError(f"format must be like those of IEEE 754 where it is wide, not {fmt.name}")
        field, mantissa = f"code[{bits - 2}:{room}]", f"code[{room - 1}:0]"
        ones = f"{field} == {(1 << fmt.exponent_bits) - 1}"
        lines += [
            f"  assign significand = {{{field} != 0, {mantissa}}};\n",
            f"  assign field = {field} == 0 ? 1 : {field};\n",
            f"  assign nan = {ones} & {mantissa} != 0;\n",
            f"  assign infinite = {ones} & {mantissa} == 0;\n",
        ]
    return f"module {name}({', '.join(ports)});\n{''.join(lines)}endmodule\n"


def _read_codes(m: DescriptionModule, fmt: Format, side: str, count: int) -> None:
    """Add what the codes of one side are, as wires: ``significand_a_0``, ``field_a_0`` and so on."""
    m.add_part(_reader(fmt, f"code_{side}"))
    widths = {"significand": fmt.mantissa_bits + 1, "field": 9, "nan": 1, "infinite": 1}
    port = f"i_{side.removeprefix('scale_')}{'_scale' if side.startswith('scale_') else ''}"
    for k in range(count):
        tied = [f".code({port}[{fmt.bits * k} +: {fmt.bits}])"]
        for what, width in widths.items():
            m.add(f"wire [{width - 1}:0] {what}_{side}_{k};")
            tied.append(f".{what}({what}_{side}_{k})")
        m.add(f"code_{side} read_{side}_{k}({', '.join(tied)});")


def describe_terms(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe the products: significands multiplied, exponent fields added, and what is no number."""
    del step, segment
    scaled = "a_scale" in m.inputs
    for side, fmt in zip("ab", spec.elements, strict=True):
        _read_codes(m, fmt, side, spec.blocks * spec.block_size)
    if scaled:
        for side, fmt in zip("ab", spec.scales, strict=True):
            _read_codes(m, fmt, f"scale_{side}", spec.blocks)
    nan: list[str] = []
    ups: list[str] = []
    downs: list[str] = []
    for j in range(spec.blocks):
        zero_scale = "1'b0"
        if scaled:
            m.wire(f"scales_{j}", 1, f"significand_scale_a_{j} == 0 | significand_scale_b_{j} == 0")
            m.wire(f"scales_{j}_nan", 1, f"nan_scale_a_{j} | nan_scale_b_{j}")
            zero_scale = f"scales_{j}"
            nan.append(f"scales_{j}_nan")
            m.give(f"exponent_{j}", f"field_scale_a_{j} + field_scale_b_{j}")
            m.care(f"exponent_{j}", f"~scales_{j}_nan")
            if f"significand_{j}" in m.outputs:
                m.give(f"significand_{j}", f"significand_scale_a_{j} * significand_scale_b_{j}")
                m.care(f"significand_{j}", f"~scales_{j}_nan")
        for k in range(j * spec.block_size, (j + 1) * spec.block_size):
            m.wire(f"product_{k}", m.outputs[f"magnitude_{k}"], f"significand_a_{k} * significand_b_{k}")
            zeros = [
                f"(significand_{side}_{k} == 0 & ~nan_{side}_{k} & ~infinite_{side}_{k})" for side in "ab"
            ]
            m.wire(f"infinite_{k}", 1, f"infinite_a_{k} | infinite_b_{k}")
            m.wire(
                f"nan_{k}",
                1,
                f"nan_a_{k} | nan_b_{k} | (infinite_{k} & ({' | '.join(zeros)} | {zero_scale}))",
            )
            sign = m.wire(
                f"sign_{k}",
                1,
                f"i_a[{spec.elements[0].bits * (k + 1) - 1}] ^ i_b[{spec.elements[1].bits * (k + 1) - 1}]",
            )
            number = f"~(nan_a_{k} | nan_b_{k} | infinite_{k}{f' | scales_{j}_nan' if scaled else ''})"
            m.give(f"negative_{k}", sign)
            m.give(f"magnitude_{k}", f"product_{k}")
            m.care(f"magnitude_{k}", number)
            zero = f"product_{k} == 0 | {zero_scale}"
            m.give(f"element_exponent_{k}", f"{zero} ? 0 : field_a_{k} + field_b_{k}")
            m.care(f"element_exponent_{k}", number)
            nan.append(f"nan_{k}")
            ups.append(f"(infinite_{k} & ~nan_{k} & ~sign_{k})")
            downs.append(f"(infinite_{k} & ~nan_{k} & sign_{k})")
    m.give("nan", " | ".join(nan))
    if "infinite" in m.outputs:
        m.give("infinite", "{" + " | ".join(downs) + ", " + " | ".join(ups) + "}")
        # With a NaN, nothing else matters.
        m.care("infinite", "~o_nan")


def describe_scaled(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe the products times the scales' significands."""
    del step, segment
    largest = 1
    for fmt in spec.elements:
        largest *= _largest_significand(fmt)
    most = 1
    for fmt in spec.scales:
        most *= _largest_significand(fmt)
    for k in range(spec.blocks * spec.block_size):
        significand = f"i_significand_{k // spec.block_size}"
        m.give(f"magnitude_{k}", f"i_magnitude_{k} * {significand}")
        m.care(f"magnitude_{k}", f"(i_magnitude_{k} <= {largest}) & ({significand} <= {most})")


def field_ends(pair: Sequence[Format]) -> tuple[int, int]:
    """Return the least and the largest sum of the exponent fields of two finite codes that are not zero."""
    every = [_fields(fmt) for fmt in pair]
    return sum(map(min, every)), sum(map(max, every))


def product_exponent_offset(spec: DotSpec) -> int:
    """Return what a product's exponent is above the sum of its factors' exponent fields."""
    return spec.sum_format.fields.bias - sum(fmt.bias for fmt in spec.elements + spec.scales)


def product_limits(spec: DotSpec) -> TermLimits:
    """Return what is known of terms that are products, and of their sums."""
    factors = spec.elements + spec.scales
    bias, offset = spec.sum_format.fields.bias, product_exponent_offset(spec)
    least, greatest = (offset + end for end in field_ends(factors))
    most = 1
    for fmt in factors:
        most *= _largest_significand(fmt)
    return TermLimits(
        spec=spec,
        count=spec.blocks * spec.block_size,
        width=most.bit_length(),
        most=most,
        point=sum(fmt.mantissa_bits for fmt in factors),
        least=least,
        greatest=greatest,
        zero=bias + spec.zero_exponent,
    )


def read_products(
    m: DescriptionModule, limits: TermLimits, only: Sequence[int] | None = None
) -> list[PlacedTerm]:
    """Add the exponents of products, and what holds of those that can occur; return the terms.

    Args:
        m: The module.
        limits: What is known of the terms.
        only: Numbers of the terms to look at; all of them where it is None.
    """
    spec = limits.spec
    offset = product_exponent_offset(spec)
    of_elements, of_scales = field_ends(spec.elements), field_ends(spec.scales)
    odd = odd_group(m)
    scaled = "exponent_0" in m.inputs
    placed: list[PlacedTerm] = []
    for j in range(spec.blocks if scaled else 0):
        m.assume(f"({odd} | (i_exponent_{j} >= {of_scales[0]} & i_exponent_{j} <= {of_scales[1]}))")
    for k in range(limits.count) if only is None else only:
        element, magnitude = f"i_element_exponent_{k}", f"i_magnitude_{k}"
        scale = f" + i_exponent_{k // spec.block_size}" if scaled else ""
        inside = f"({element} >= {of_elements[0]} & {element} <= {of_elements[1]} & {magnitude} != 0)"
        m.assume(f"({odd} | {inside} | ({element} == 0 & {magnitude} == 0))")
        m.assume(f"({odd} | {magnitude} <= {limits.most})")
        exponent = m.wire(
            f"exponent_of_{k}",
            14,
            f"{element} == 0 ? {limits.zero} : {element} + 14'd0{scale} + {offset}",
            signed=True,
        )
        placed.append((f"term_{k}", magnitude, limits.point, exponent, f"i_negative_{k}"))
    return placed


def odd_group(m: DescriptionModule) -> str:
    """Return whether a group is no number."""
    return "(i_nan | i_infinite != 0)" if "infinite" in m.inputs else "i_nan"


def describe_products(m: DescriptionModule, spec: DotSpec) -> None:
    """Describe the sum of products: each at its own exponent, cut off at the largest one."""
    limits = product_limits(spec)
    result = before_reading(m, spec, limits.zero)
    placed = read_products(m, limits)
    largest = largest_exponent(m, [exponent for _, _, _, exponent, _ in placed], limits)
    bits = max(limits.width, result.fields.fraction_bits + 1) + spec.fraction
    add_terms(m, spec, placed, largest, bits=bits, whole=bits + 1 + limits.count.bit_length())
    keep_sum(m, limits)


class AlignedProductBins(AlignedBins):
    """Products and sum shifted to the largest exponent and cut off."""

    name = "aligned products"
    owner = "product"

    def __init__(self, reach: Reachable) -> None:
        spec = reach.spec
        super().__init__(spec.fraction + 2)
        self._spec = spec
        self._unit = unit_exponent(spec)
        result = spec.sum_format
        count = spec.blocks * spec.block_size
        cut_below = min(reach.lowest, spec.zero_exponent) - spec.fraction
        least_sum = max(result.least_exponent, reach.quantum, cut_below)
        overflow = result.fields.bias + 1
        top = min(reach.top, overflow - 1)
        self.bins = {"sum ahead": "", "terms level": "", "zeros beside what would be ahead": ""}
        lowest, quantum = (
            _zero_exponents(spec)[1] - spec.fraction,
            sum(f.quantum_exponent for f in spec.elements),
        )
        far = f"{NOT_DRIVEN}no zero is so far above the least product under the same scales"
        self.bins["zeros that would cut something off"] = "" if lowest > quantum else far
        alone = spec.has_scales or lowest > max(quantum, _least_result(spec))
        self.bins["zeros alone that would cut the sum"] = "" if alone else far
        for k in range(count):
            self.bins[f"product {k} ahead"] = ""
        # A product's exponent is a sum of several, all of which are there.
        spans = {"product": max(reach.highest, top) - reach.lowest, "sum": reach.highest - least_sum}
        for who, span in spans.items():
            for places in range(self._limit + 1):
                far = f"{NOT_DRIVEN}no sum of few groups lies so that something is {span + 1} places behind"
                self.bins[self._behind(who, places)] = "" if places <= span else far
        for sign in "+-":
            for who, low in (("sum", least_sum), ("product", reach.quantum)):
                ahead = max(reach.highest, top) if who == "product" else reach.highest
                why = "" if ahead - spec.fraction > low else f"{NOT_DRIVEN}no {who} lies so far behind"
                if who == "sum" and spec.fraction <= result.fields.fraction_bits:
                    why = why and f"{NOT_DRIVEN}no sum lies so far behind"
                self.bins[f"{sign} {who} cut"] = self.bins[f"{sign} {who} lost"] = why
            narrow = self._narrow(reach)
            if result.nearest:
                for kind in ("below", "tie down", "tie up", "above"):
                    self.bins[f"{sign} result rounded: {kind}"] = narrow
            else:
                self.bins[f"{sign} result cut"] = narrow
            self.bins[f"{sign} result too large"] = self._overflow(reach, overflow)
        self.bins["result exact"] = self.bins["terms cancel to zero"] = ""

    @staticmethod
    def _narrow(reach: Reachable) -> str:
        spec, room = reach.spec, reach.spec.sum_format.fields.fraction_bits
        # The bits of several products together: those behind the point, and those before it.
        if min(spec.fraction, reach.top - reach.quantum) > room:
            return ""
        return f"{NOT_DRIVEN}only {spec.fraction} bits are kept below the largest exponent"

    @staticmethod
    def _overflow(reach: Reachable, overflow: int) -> str:
        if reach.top >= overflow:
            return ""
        return f"{NOT_DRIVEN}the largest group is below 2^{reach.top + 1}"

    def _inexact(self, sign: str, kind: str) -> str:
        return f"{sign} result rounded: {kind}" if self._spec.sum_format.nearest else f"{sign} result cut"

    def _zeros(self, step: TracedStep, largest: int) -> Iterator[str]:
        if any(term.scales is not None and term.scales > largest for term in step.terms):
            yield "zeros beside what would be ahead"
            would = max(term.exponent if term.scales is None else term.scales for term in step.terms)
            mask = (1 << max(would - self._spec.fraction - self._unit, 0)) - 1
            if any(abs(term.value) & mask and not term.cut for term in step.terms):
                yield "zeros that would cut something off"
                if step.before and not any(term.value for term in step.terms[1:]):
                    yield "zeros alone that would cut the sum"


def _least_result(spec: DotSpec) -> int:
    """Return the exponent of the least number that a sum can be."""
    return spec.sum_format.least_exponent - spec.sum_format.fields.fraction_bits


def _zero_exponents(spec: DotSpec) -> tuple[int, int]:
    """Return which operand is best zero, 0 for a, and the largest exponent such a product would read."""
    (a, b), highest = spec.elements, [math.frexp(fmt.largest)[1] - 1 for fmt in spec.elements]
    return max((0, a.least_exponent + highest[1]), (1, b.least_exponent + highest[0]), key=lambda one: one[1])


def product_sums(make: SumMaker) -> Iterator[DirectedSum]:
    """Products at every distance from the largest exponent, of which each lane is ahead, and the sum."""
    spec = make.spec
    lanes = [(j, k) for j in range(spec.blocks) for k in range(spec.block_size)]
    low, high = make.lanes
    scales = make.scales

    def group(parts: dict[int, tuple[int, int]], scale: int) -> DirectedGroup:
        made = make.blank()
        for block in range(spec.blocks):
            make.scale(made, block, scale)
        for lane, (exponent, sign) in parts.items():
            make.put(made, *lanes[lane], exponent, sign)
        return made

    for lane in range(len(lanes)):
        other = (lane + 1) % len(lanes)
        yield DirectedSum([group({lane: (high, 1), other: (low, 1)}, scales[0])])
    # The least product there is, beside a zero times the largest number.
    which, _ = _zero_exponents(spec)
    # The largest scales under which a largest product is no infinite sum.
    top = max(min(scales[1], spec.sum_format.fields.bias - 1 - high), scales[0])
    # A sum, and then zeros alone under scales far above it.
    normal = min(max(scales[0], spec.sum_format.least_exponent - low), top)
    for scale in sorted({top, (top + normal) // 2, scales[1]}):
        yield DirectedSum([group({0: (low, 1), 1: (high, 1)}, normal), group({}, scale)])
    # Sums of many bits, just below 4, of which a part is cut off.
    codes = [fmt.bias << fmt.mantissa_bits | (1 << fmt.mantissa_bits) - 1 for fmt in spec.elements]
    for places in range(min(spec.fraction + 4, high + 1)):
        for sign in (1, -1):
            long = group({}, normal)
            make.multiply(long, *lanes[places % len(lanes)], (codes[0], codes[1]), sign)
            yield DirectedSum([long, group({0: (places, 1)}, normal)])
    for lane in range(len(lanes)):
        for scale in {scales[0], scales[1]}:
            beside = group({(lane + 1) % len(lanes): (low, 1)}, scale)
            (beside.b if which == 0 else beside.a)[lanes[lane]] = spec.elements[1 - which].largest_code
            yield DirectedSum([beside])
            alone = group({}, scale)
            (alone.b if which == 0 else alone.a)[lanes[lane]] = spec.elements[1 - which].largest_code
            least = max(low, _least_result(spec) - scale)
            if least <= high:
                yield DirectedSum([group({lane: (least, 1)}, scale), alone])
    for places in range(spec.fraction + 5):
        for sign in (1, -1):
            lane = places % len(lanes)
            other = (lane + 3) % len(lanes)
            if low <= high - places:
                yield DirectedSum([group({lane: (high, 1), other: (high - places, sign)}, scales[1])])
                yield DirectedSum([group({other: (low + places, sign)}, scales[0]), group({}, scales[0])])
            # Long products behind the sum, of which a part is cut off.
            if high + top - places >= low + scales[0]:
                long = group({}, max(top - places, scales[0]))
                codes = [(2 << fmt.mantissa_bits) - 1 for fmt in spec.elements]
                make.multiply(long, *lanes[lane], (codes[0], codes[1]), sign)
                yield DirectedSum([group({lane: (high, 1)}, top), long])
            # The sum behind a product, and ahead of it, under scales where these reach further.
            for first, second in ((0, places), (places, 0)):
                made: list[DirectedGroup] = []
                for end in (high + top - first, high + top - second):
                    scale = max(end - high, scales[0])
                    if end - scale >= low:
                        made.append(group({lane: (end - scale, sign)}, scale))
                if len(made) == 2:
                    yield DirectedSum(made)
