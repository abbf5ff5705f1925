"""How ``chain`` is checked: products added one by one in binary32, then the scales."""

import math
from collections.abc import Iterator
from dataclasses import replace

from ...model import DotSpec
from ...model.accumulate.chain import chain_bounds, chain_is_exact, exact_products, first_scale_is_exact
from ..accumulation_checks import AccumulationChecks, StepCheck
from ..coverage.bins import BinGroup, Hit, StimulusView
from ..coverage.reach import BINARY32_BITS, INFINITY, NOT_DRIVEN, OVERFLOW, Reachable
from ..coverage.sum_bins import AlignmentBins, ResultBins, rounding_kinds
from ..exact_trace import Arrival, TracedChange, TracedSum
from ..integer_rounding import SIGN_BIT, Rounded, nearest, number_of
from ..proofs.description_text import (
    BIAS,
    BINARY32,
    NAN,
    DescriptionModule,
    binary32,
    give_number,
    largest_sum,
    leading,
    scale_exponents,
    scale_rows,
    term_offset,
)
from ..proofs.steps import StepNetlist
from .fp32 import FP32, AdditionBins, added

__all__ = ["CHAIN"]


def _rounded_total(m: DescriptionModule, exact: str, width: int, k: int) -> str:
    """Add the k-th sum rounded to 24 bits; return the name of its wire."""
    lead, drop, kept, rest, half, up, size = (
        f"{what}_{k}" for what in ("lead", "drop", "kept", "rest", "half", "up", "size")
    )
    m.wire(size, width, f"{exact} < 0 ? -{exact} : {exact}")
    leading(m, lead, size, width)
    m.wire(drop, 14, f"{lead} > {BINARY32_BITS - 1} ? {lead} - {BINARY32_BITS - 1} : 14'd0")
    m.wire(kept, width, f"{size} >> {drop}")
    m.wire(rest, width, f"{size} - ({kept} << {drop})")
    m.wire(half, width, f"({width}'d1 << {drop}) >> 1")
    m.wire(up, 1, f"{drop} != 0 & ({rest} > {half} | ({rest} == {half} & {kept}[0]))")
    m.wire(f"rounded_{k}", width, f"({kept} + {up}) << {drop}")
    return m.wire(f"total_{k}", width, f"{exact} < 0 ? -rounded_{k} : rounded_{k}", signed=True)


def _products(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe a step that adds products to the sum so far, or begins with the first ones."""
    del segment
    begins = "total_0" not in m.inputs
    signs, magnitudes = ("negative_0", "magnitude_0") if begins else ("negative", "magnitude")
    bits = m.inputs[magnitudes] // m.inputs[signs]
    behind = int(step.name.removeprefix("fma_"))
    count = m.inputs[signs] - m.outputs.get("negative", 0)
    # A place for the sign, and one for a carry.
    width = max(m.outputs["total_0"], m.inputs.get("total_0", 0)) + 2
    total = m.wire("before", width, "0" if begins else "$signed(i_total_0)", signed=True)
    # Where an element is no number its product has no meaning.
    can: list[str] = []
    if not begins:
        m.wire("before_size", width, "before < 0 ? -before : before")
        can.append(f"(before_size <= {chain_bounds(spec)[behind - count - 1]})")
    for k in range(count):
        part = m.wire(f"lane_{k}", width, f"i_{magnitudes}[{bits * k} +: {bits}]", signed=True)
        can.append(f"({part} <= {largest_sum(spec, 1)})")
        exact = m.wire(f"exact_{k}", width, f"{total} + (i_{signs}[{k}] ? -{part} : {part})", signed=True)
        # Of the first sums nothing is rounded; a product by itself has few bits that are set.
        exactly = behind - count + k < exact_products(spec)
        total = exact if exactly else _rounded_total(m, exact, width, k)
    m.give("total_0", total)
    m.care("total_0", " & ".join(can))
    if "negative" in m.outputs:
        m.give("negative", f"i_{signs} >> {count}")
        m.give("magnitude", f"i_{magnitudes} >> {count * bits}")


def _size(m: DescriptionModule) -> tuple[str, int]:
    """Add the sum of products and its magnitude; return that wire's name and width."""
    width = m.inputs["total_0"]
    m.wire("total", width, "i_total_0", signed=True)
    return m.wire("total_size", width, "total < 0 ? -total : total"), width


def _scale(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe a sum times two powers of two, rounded, or infinite after the first."""
    del step, segment
    size, width = _size(m)
    least, greatest = scale_exponents(spec)
    m.assume(f"(i_significand_0_0 == 0 | {size} <= {chain_bounds(spec)[-1]})")
    m.wire("both", 12, "12'd0 + i_exponent_0_0 + i_exponent_0_1")
    m.assume(f"(i_nan | (both >= {least} & both <= {greatest}))")
    m.wire("kept_size", width, f"i_significand_0_0 ? {size} : 0")
    number = binary32(m, "kept_size", width, f"$signed({{1'b0, both}}) + ({term_offset(spec)})", nearest=True)
    fmt = spec.scales[0]
    quantum = sum(one.quantum_exponent for one in spec.elements)
    first = f"lead + $signed({{1'b0, i_exponent_0_0}}) + ({quantum - fmt.bias - fmt.mantissa_bits})"
    m.wire("top", 14, first, signed=True)
    m.wire("large", 1, f"kept_size != 0 & top > {BIAS}")
    infinite, sign = "large", "(total < 0)"
    nan = "i_nan"
    if "infinite" in m.inputs:
        nan = "(i_nan | i_infinite == 3)"
        infinite = "(large | i_infinite != 0)"
        sign = "(i_infinite != 0 ? i_infinite[1] : total < 0)"
        m.assume("(i_infinite == 0 | (i_significand_0_0 == 0 & ~i_nan & i_infinite != 3))")
    m.assume("(~i_nan | i_significand_0_0 == 0)")
    m.wire("sign", 1, f"{sign} & (kept_size != 0 | {infinite})")
    give_number(m, f"{nan} ? {NAN} : {infinite} ? {{sign, 31'h7f800000}} : {{sign, {number}}}")


def _scale_a(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe the sum of products times the scale of a, rounded."""
    del step, segment
    size, width = _size(m)
    fmt = spec.scales[0]
    most = max(significand for significand, _ in scale_rows(fmt).values())
    fields = [field for _, field in scale_rows(fmt).values()]
    m.assume(f"({size} <= {chain_bounds(spec)[-1]} | i_significand_0_0 == 0)")
    m.assume(f"(i_significand_0_0 <= {most})")
    m.assume(f"(i_exponent_0_0 >= {min(fields)} & i_exponent_0_0 <= {max(fields)} | i_significand_0_0 == 0)")
    wide = width + fmt.significand_bits
    m.wire("product", wide, f"{size} * i_significand_0_0")
    quantum = sum(one.quantum_exponent for one in spec.elements)
    exponent = f"$signed({{1'b0, i_exponent_0_0}}) + ({quantum - fmt.bias - fmt.mantissa_bits})"
    number = binary32(m, "product", wide, exponent, nearest=True)
    m.give("scaled", f"{{(total < 0) & product != 0, {number}}}")
    m.give("significand", "i_significand_0_1")
    m.give("exponent", "i_exponent_0_1")


def _scale_b(m: DescriptionModule, spec: DotSpec, step: StepNetlist, segment: int | None) -> None:
    """Describe that times the scale of b, rounded."""
    del step, segment
    fmt = spec.scales[1]
    rows = scale_rows(fmt).values()
    fields = [field for _, field in rows]
    m.assume(f"(i_significand <= {max(significand for significand, _ in rows)})")
    m.assume(f"(i_exponent >= {min(fields)} & i_exponent <= {max(fields)} | i_nan)")
    m.assume("(i_scaled[30:0] <= 31'h7f800000)")
    first = spec.scales[0]
    quantum = sum(one.quantum_exponent for one in spec.elements) - first.bias - first.mantissa_bits + BIAS
    rows_a = scale_rows(first).values()
    least = quantum + min(field for _, field in rows_a)
    top = (chain_bounds(spec)[-1] * max(significand for significand, _ in rows_a)).bit_length()
    greatest = quantum + max(field for _, field in rows_a) + top
    m.assume(f"(i_scaled[30:0] == 0 | i_scaled[30:23] >= {max(least, 0)} & i_scaled[30:23] <= {greatest})")
    if least > -BINARY32.fraction_bits:
        # No number becomes zero by rounding, and a zero has no sign.
        m.assume("(i_scaled != 32'h80000000)")
    m.wire("field", 8, "i_scaled[30:23] == 0 ? 8'd1 : i_scaled[30:23]")
    m.wire("part", 24, "{i_scaled[30:23] != 0, i_scaled[22:0]}")
    wide = 24 + fmt.significand_bits
    m.wire("product", wide, "part * i_significand")
    offset = BIAS + BINARY32.fraction_bits + fmt.bias + fmt.mantissa_bits
    exponent = f"$signed({{1'b0, field}}) + $signed({{1'b0, i_exponent}}) - 14'sd{offset}"
    number = binary32(m, "product", wide, exponent, nearest=True)
    m.wire("large", 1, "i_scaled[30:23] == 255")
    nan, infinite, sign = "i_nan | (large & i_significand == 0)", "large", "i_scaled[31]"
    if "infinite" in m.inputs:
        # Nothing is left of a block that is no number.
        m.assume("(i_infinite != 3 & (i_infinite == 0 | (i_scaled[30:0] == 0 & ~i_nan)))")
        infinite = "(large | i_infinite != 0)"
        sign = "(i_infinite != 0 ? i_infinite[1] : i_scaled[31])"
    m.wire("sign", 1, f"{sign} & (i_significand != 0 | {infinite})")
    finite = f"{infinite} ? {{sign, 31'h7f800000}} : {{sign, {number}}}"
    give_number(m, f"{nan} ? {NAN} : {finite}")


def _trace(arrival: Arrival, before: TracedSum) -> TracedChange:
    spec, unit = arrival.spec, arrival.unit
    if arrival.special:
        return added(arrival, before, None, arrival.special)
    products, scales = arrival.factors()
    places = sum(fmt.quantum_exponent for fmt in spec.elements) - unit
    number = Rounded(0)
    links: list[Rounded] = []
    for product in products:
        number = nearest(number_of(number.bits, unit) + (product << places), unit)
        links.append(number)
    special = 0.0
    for significand, exponent in scales:
        if special:
            special = special if significand else math.nan
            continue
        # What a scale of zero makes is +0; what was rounded to zero keeps its sign.
        sign = number.bits & SIGN_BIT if significand else 0
        number = nearest(number_of(number.bits, unit) * significand, unit + exponent)
        number = replace(number, bits=number.bits | sign)
        links.append(number)
        if number.bits & ~SIGN_BIT == INFINITY:
            special = math.copysign(math.inf, -1 if sign else 1)
    group = None if math.isnan(special) else number
    return replace(added(arrival, before, group, special), links=tuple(links))


class ChainBins(BinGroup):
    """How the sums of products, and those times each scale, are rounded."""

    name = "chain"

    def __init__(self, reach: Reachable) -> None:
        spec = reach.spec
        some = exact_products(spec) < spec.block_size
        sums = "" if some else "binary32 holds every sum of products"
        kept = first_scale_is_exact(spec, but_overflow=True)
        quantum = sum(fmt.quantum_exponent for fmt in spec.elements)
        top = math.ldexp(chain_bounds(spec)[-1], quantum) * spec.scales[0].largest
        self._count = spec.block_size
        self.bins = {
            "products: exact": "",
            **{
                f"products: {kind}": sums
                for kind in ("below half", "tie to even below", "tie to even above", "above half")
            },
            "products: carry into the exponent": sums or f"{NOT_DRIVEN}no recipe is known",
            "scale of a: exact": "",
            "scale of a: rounded": "binary32 holds every such number" if kept else "",
            "scale of a: infinite": "" if top >= 2.0**OVERFLOW else "none is as large",
            "scale of b: exact": "",
        }

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        for step in view.steps:
            for k, link in enumerate(step.links):
                if k < self._count:
                    for kind in rounding_kinds(link):
                        yield f"products: {kind}", step.vector, 1
                    continue
                which = "ab"[k - self._count]
                infinite = link.bits & ~SIGN_BIT == INFINITY
                kind = "infinite" if infinite else "exact" if link.kind == "exact" else "rounded"
                yield f"scale of {which}: {kind}", step.vector, 1


def _bins(reach: Reachable) -> list[BinGroup]:
    if chain_is_exact(reach.spec):
        return list(FP32.bins(reach))
    return [
        ResultBins(reach, growth=BINARY32_BITS + 1),
        ChainBins(reach),
        AlignmentBins(reach, binary32=True),
        AdditionBins(reach),
    ]


CHAIN = AccumulationChecks(
    trace=_trace,
    bins=_bins,
    sums=FP32.sums,
    steps={
        **FP32.steps,
        "fma": StepCheck(
            "fused multiply-add", "the sum and a product, to the nearest of 24 bits, in turn", _products
        ),
        "scale": StepCheck("scales", "times both powers of two, rounded once; or infinite", _scale),
        "scale_a": StepCheck("scale of a", "times the scale, rounded to binary32", _scale_a),
        "scale_b": StepCheck("scale of b", "times the scale, rounded to binary32", _scale_b),
    },
)
