"""What each step of a datapath computes, as behavioural Verilog: operators on numbers, and tables of values.

Nothing here comes from the generator but the names and widths of what lies between two steps. Numbers of
codes are tables made of the formats' exact values; products, sums and shifts are Verilog's own ``*``, ``+``,
``<<`` and ``>>``, as wide as exact results need. In a row, the descriptions are the contract itself.

A description is a module ``description`` with the ports of the step that it describes, and with outputs that
say what is claimed: ``allowed`` (the input can occur: the descriptions before it give nothing else), for
some outputs x ``care_x`` (x has a meaning), and ``claim_y`` (y holds: a register whose content is allowed
takes nothing that is not).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...hw.steps.records import AbsoluteSums, SavedSums, Window
from ...model import DotSpec
from ..accumulation_checks import ACCUMULATION_CHECKS
from .description_text import (
    BIAS,
    BINARY32,
    NAN,
    DescriptionModule,
    aligned_exponents,
    as_integer,
    binary32,
    finite_values,
    give_number,
    largest_sum,
    largest_term,
    leading,
    scale_exponents,
    scale_rows,
    term_offset,
    verilog_table,
)
from .steps import StepNetlist
from .tensor_scale_text import describe_tensor_scale

__all__ = ["Description", "describe", "tree_offset"]


@dataclass(frozen=True)
class Description:
    """What some steps in a row compute.

    Attributes:
        text: The Verilog of the module ``description``.
        cares: The outputs, and registers, that have a ``care_`` port.
        claims: What is claimed besides the outputs, each with a ``claim_`` port.
        leading: The register the place of whose leading one is asked for case by case; empty for none.
    """

    text: str
    cares: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    leading: str = ""


def describe(
    spec: DotSpec,
    steps: Sequence[StepNetlist],
    following: StepNetlist | None,
    *,
    segment: int | None = None,
) -> Description:
    """Describe some steps in a row.

    Args:
        spec: What the unit computes.
        steps: One step, or ``normalise`` and ``round``.
        following: The step behind them, if there is one: see `tree_offset`.
        segment: Bits of the accumulator behind which a carry is kept; None for none.

    Returns:
        The description.
    """
    module = DescriptionModule(steps[0].inputs, steps[-1].outputs, clocked=steps[0].accumulates)
    name = steps[0].name
    match name:
        case "product":
            _products(module, spec)
        case "compress":
            _tree(module, tree_offset(steps[0], following))
        case "add":
            _add(module)
        case "multiply" if steps[0].takes is SavedSums:
            _multiply_saved(module)
        case "multiply":
            _multiply(module, spec)
        case "place":
            _place(module, spec)
        case "join":
            _join(module, spec)
        case "normalise":
            _round(module, spec, steps)
        case "narrow":
            _narrow(module, spec)
        case "read_g" | "tensor_read" | "tensor_compress" | "tensor_add" | "tensor_normalise":
            describe_tensor_scale(module, spec, name)
        case _:
            ACCUMULATION_CHECKS[spec.accumulate].step(name).describe(module, spec, steps[0], segment)
    return Description(str(module), tuple(module.cares), tuple(module.claims), module.leading)


def _products(m: DescriptionModule, spec: DotSpec) -> None:
    bits = [fmt.bits for fmt in spec.elements]
    for side, fmt in zip("ab", spec.elements, strict=True):
        rows = {code: abs(as_integer(value, fmt.quantum_exponent)) for code, value in finite_values(fmt)}
        width = max(rows.values()).bit_length()
        m.add(verilog_table(f"magnitude_{side}", fmt.bits, width, rows))
        for what, test in (("nan", lambda v: v != v), ("infinite", lambda v: abs(v) == float("inf"))):
            rows = {code: int(test(value)) for code, value in enumerate(fmt.values.tolist())}
            m.add(verilog_table(f"{what}_{side}", fmt.bits, 1, rows))
    terms = sum(name.startswith("negative_") for name in m.outputs)
    lanes = spec.block_size * spec.blocks // terms
    product_bits = m.outputs["magnitude_0"] // lanes
    count = spec.block_size * spec.blocks
    for k in range(count):
        a, b = (f"i_{side}[{w * k} +: {w}]" for side, w in zip("ab", bits, strict=True))
        m.wire(f"product_{k}", product_bits, f"magnitude_a({a}) * magnitude_b({b})")
        m.wire(f"negative_{k}", 1, f"i_a[{bits[0] * (k + 1) - 1}] ^ i_b[{bits[1] * (k + 1) - 1}]")
        zero = f"((infinite_a({a}) & (magnitude_b({b}) == 0) & ~infinite_b({b}))"
        zero += f" | (infinite_b({b}) & (magnitude_a({a}) == 0) & ~infinite_a({a})))"
        m.wire(f"nan_{k}", 1, f"nan_a({a}) | nan_b({b}) | {zero}")
        m.wire(f"infinite_{k}", 1, f"(infinite_a({a}) | infinite_b({b})) & ~nan_{k}")
    for t in range(terms):
        mine = [k + t * lanes for k in reversed(range(lanes))]
        m.give(f"negative_{t}", "{" + ", ".join(f"negative_{k}" for k in mine) + "}")
        m.give(f"magnitude_{t}", "{" + ", ".join(f"product_{k}" for k in mine) + "}")
        m.care(f"magnitude_{t}", "~(" + " | ".join(f"nan_{k} | infinite_{k}" for k in mine) + ")")
    _scales(m, spec)


def _scales(m: DescriptionModule, spec: DotSpec) -> None:
    aligned = ACCUMULATION_CHECKS[spec.accumulate].reads_exponents
    if aligned:
        for side, fmt in zip("ab", spec.elements, strict=True):
            rows = {code: int(value != 0) for code, value in enumerate(fmt.values.tolist())}
            m.add(verilog_table(f"nonzero_{side}", fmt.bits, 1, rows))
    for side, fmt in zip("ab", spec.scales, strict=True):
        rows = scale_rows(fmt)
        m.add(
            verilog_table(
                f"significand_{side}", fmt.bits, fmt.mantissa_bits + 1, {c: s for c, (s, _) in rows.items()}
            )
        )
        # Biased by a number that makes the exponent of every code positive.
        m.add(
            verilog_table(
                f"exponent_{side}",
                fmt.bits,
                10,
                {c: 256 + field - fmt.bias for c, (_, field) in rows.items()},
            )
        )
        odd = {code: int(code not in rows) for code in range(1 << fmt.bits)}
        m.add(verilog_table(f"scale_nan_{side}", fmt.bits, 1, odd))
    bits = [fmt.bits for fmt in spec.elements]
    offset = BIAS if aligned else sum(fmt.bias for fmt in spec.scales)
    every_nan: list[str] = []
    ups: list[str] = []
    downs: list[str] = []
    for j in range(spec.blocks):
        lanes = range(j * spec.block_size, (j + 1) * spec.block_size)
        a, b = (
            f"i_{side}_scale[{fmt.bits * j} +: {fmt.bits}]"
            for side, fmt in zip("ab", spec.scales, strict=True)
        )
        up = " | ".join(f"(infinite_{k} & ~negative_{k})" for k in lanes)
        down = " | ".join(f"(infinite_{k} & negative_{k})" for k in lanes)
        m.wire(f"up_{j}", 1, up)
        m.wire(f"down_{j}", 1, down)
        zero = f"(significand_a({a}) == 0 | significand_b({b}) == 0)"
        if aligned:
            for k in lanes:
                codes = (f"i_{side}[{w * k} +: {w}]" for side, w in zip("ab", bits, strict=True))
                m.wire(f"nonzero_{k}", 1, " & ".join(map("nonzero_{}({})".format, "ab", codes)))
        bad = f"scale_nan_a({a}) | scale_nan_b({b}) | " + " | ".join(f"nan_{k}" for k in lanes)
        m.wire(f"scales_{j}_bad", 1, f"scale_nan_a({a}) | scale_nan_b({b})")
        m.wire(
            f"block_{j}_nan",
            1,
            f"{bad} | (up_{j} & down_{j}) | (~scales_{j}_bad & (up_{j} | down_{j}) & {zero})",
        )
        m.wire(f"block_{j}_void", 1, f"block_{j}_nan | up_{j} | down_{j}")
        every_nan.append(f"block_{j}_nan")
        ups.append(f"(up_{j} & ~block_{j}_nan)")
        downs.append(f"(down_{j} & ~block_{j}_nan)")
        if f"significand_{j}_1" in m.outputs:
            m.give(f"significand_{j}_0", f"block_{j}_void ? 0 : significand_a({a})")
            m.give(f"significand_{j}_1", f"significand_b({b})")
            m.care(f"significand_{j}_1", f"~block_{j}_void")
        else:
            m.give(f"significand_{j}_0", f"block_{j}_void ? 0 : significand_a({a}) * significand_b({b})")
        of_scales = (
            f"$signed({{2'b0, exponent_a({a})}}) + $signed({{2'b0, exponent_b({b})}}) + {offset - 512}"
        )
        names = [name for name in m.outputs if name == f"exponent_{j}" or name.startswith(f"exponent_{j}_")]
        for t, name in enumerate(names):
            each = spec.block_size // len(names)
            if aligned:
                products = " | ".join(f"nonzero_{k}" for k in lanes[t * each : (t + 1) * each])
                m.wire(f"read_{j}_{t}", 14, of_scales, signed=True)
                code = aligned_exponents(spec).code
                m.give(name, f"({products}) & ~{zero} ? read_{j}_{t} : {code}")
            elif name == f"exponent_{j}":
                m.give(name, of_scales)
            else:
                # The scales stay apart.
                side, code, fmt = ("a", a, spec.scales[0]) if t == 0 else ("b", b, spec.scales[1])
                m.give(name, f"exponent_{side}({code}) + {fmt.bias - 256}")
            m.care(name, f"~scales_{j}_bad")
    m.give("nan", " | ".join(every_nan))
    if "infinite" in m.outputs:
        m.give("infinite", "{" + " | ".join(downs) + ", " + " | ".join(ups) + "}")


def tree_offset(step: StepNetlist, following: StepNetlist | None) -> int:
    """Return how much larger the sum of a tree's two numbers is than that of its products.

    An adder that gives sign and magnitude adds one. Numbers that are multiplied are made positive, by a bit
    above each product.

    Args:
        step: The tree.
        following: The step behind it.
    """
    if following is not None and following.gives is AbsoluteSums:
        return -1
    if following is not None and following.name == "multiply" and following.takes is SavedSums:
        return step.inputs["negative_0"] << step.inputs["magnitude_0"] // step.inputs["negative_0"]
    return 0


def _tree(m: DescriptionModule, offset: int) -> None:
    # Any two numbers of that sum will do: `algebra` proves the claim, these stand for it where steps are
    # simulated in a row.
    for t in range(sum(name.startswith("save_") for name in m.outputs)):
        width, lanes = m.outputs[f"save_{t}"], m.inputs[f"negative_{t}"]
        bits = m.inputs[f"magnitude_{t}"] // lanes
        addends = [f"{width}'d{offset % (1 << width)}"] if offset else []
        for k in range(lanes):
            magnitude = m.wire(f"lane_{t}_{k}", width, f"i_magnitude_{t}[{bits * k} +: {bits}]")
            addends.append(f"(i_negative_{t}[{k}] ? -{magnitude} : {magnitude})")
        m.give(f"save_{t}", " + ".join(addends))
        m.give(f"carry_{t}", "0")
        m.care(f"save_{t}", "1'b0")
        m.care(f"carry_{t}", "1'b0")


def _add(m: DescriptionModule) -> None:
    for t in range(sum(name.startswith("save_") for name in m.inputs)):
        width = m.inputs[f"save_{t}"]
        if f"total_{t}" in m.outputs:
            m.give(f"total_{t}", f"i_save_{t} + i_carry_{t}")
            continue
        m.wire(f"total_{t}", width, f"i_save_{t} + i_carry_{t} + 1", signed=True)
        m.assume(f"(total_{t} != {{1'b1, {width - 1}'b0}})")
        m.give(f"negative_{t}", f"total_{t} < 0")
        m.give(f"sum_magnitude_{t}", f"total_{t} < 0 ? -total_{t} : total_{t}")


def _multiply(m: DescriptionModule, spec: DotSpec) -> None:
    terms = sum(name.startswith(("total_", "sum_magnitude_")) for name in m.inputs)
    lanes = spec.block_size * spec.blocks // terms
    largest = largest_sum(spec, lanes)
    most = [max(s for s, _ in scale_rows(fmt).values()) for fmt in spec.scales]
    for t in range(terms):
        j = t * spec.blocks // terms
        two = f"significand_{j}_1" in m.inputs
        name = f"term_{t}" if f"term_{t}" in m.outputs else f"magnitude_{t}"
        first, second = f"i_significand_{j}_0", f"i_significand_{j}_1" if two else "1'b1"
        can = (
            f"({first} <= {most[0]}) & ({second} <= {most[1]})"
            if two
            else f"({first} <= {most[0] * most[1]})"
        )
        if f"sum_magnitude_{t}" in m.inputs:
            magnitude = f"i_sum_magnitude_{t}"
        else:
            width = m.inputs[f"total_{t}"]
            m.wire(f"total_{t}", width, f"i_total_{t}", signed=True)
            magnitude = m.wire(f"size_{t}", width, f"total_{t} < 0 ? -total_{t} : total_{t}")
            if f"negative_{t}" in m.outputs:
                m.give(f"negative_{t}", f"total_{t} < 0")
        # Where an element is no number the sum has no meaning, and the significand is zero.
        m.care(name, f"{can} & (({magnitude} <= {largest}) | ({first} == 0))")
        if name.startswith("term_"):
            bits = m.outputs[f"term_{t}"]
            product = m.wire(f"product_{t}", bits, f"{magnitude} * {first} * {second}")
            m.give(f"term_{t}", f"total_{t} < 0 ? -{product} : {product}")
        else:
            m.give(name, f"{magnitude} * {first} * {second}")
        if "zeros" in m.outputs:
            zeros = []
            for what, value, width in (
                ("sum", magnitude, m.inputs[f"sum_magnitude_{t}"]),
                ("scale", first, m.inputs[f"significand_{j}_0"]),
            ):
                leading(m, f"{what}_lead", value, width)
                zeros.append(f"{width - 1} - {what}_lead")
            m.give("zeros", " + ".join(zeros))
            m.care("zeros", f"({magnitude} != 0) & ({first} != 0)")


def _multiply_saved(m: DescriptionModule) -> None:
    # As with a tree, any two numbers will do.
    width, excess = m.outputs["save_0"], 1 << (m.inputs["save_0"] - 1)
    m.give("save_0", f"(i_save_0 + i_carry_0 - {width}'d{excess}) * i_significand_0_0")
    m.give("carry_0", "0")
    m.care("save_0", "1'b0")
    m.care("carry_0", "1'b0")


def _place(m: DescriptionModule, spec: DotSpec) -> None:
    least, greatest = scale_exponents(spec)
    for j in range(spec.blocks):
        term, exponent = f"i_term_{j}", f"i_exponent_{j}"
        window = "window" if spec.blocks == 1 else f"window_{j}"
        width = m.outputs[window]
        m.assume(f"(({exponent} >= {least} & {exponent} <= {greatest}) | {term} == 0)")
        m.wire(f"wide_{j}", width + 1, f"$signed({term})", signed=True)
        m.give(window, f"{term} == 0 ? 0 : wide_{j} << ({exponent} - {least})")


def _join(m: DescriptionModule, spec: DotSpec) -> None:
    width = m.outputs["window"]
    m.wire("joined", width, " + ".join(f"wide_{j}" for j in range(spec.blocks)))
    for j in range(spec.blocks):
        m.wire(f"wide_{j}", width, f"$signed(i_window_{j})", signed=True)
    m.lines.sort(key=lambda line: "joined" in line)
    m.give("window", "joined")


def _narrow(m: DescriptionModule, spec: DotSpec) -> None:
    fields = spec.result_format.fields
    m.wire("field", 8, "i_result[30:23] == 0 ? 8'd1 : i_result[30:23]")
    m.wire("significand", 24, "{i_result[30:23] != 0, i_result[22:0]}")
    exponent = f"$signed({{1'b0, field}}) - 14'sd{BIAS + BINARY32.fraction_bits}"
    size = binary32(m, "significand", 24, exponent, nearest=True, fields=fields)
    infinity = fields.infinity_field << fields.fraction_bits
    bits = fields.bits - 1
    nan = f"{fields.bits}'h{infinity | 1 << fields.fraction_bits - 1:x}"
    finite = f"i_result[30:23] == 255 ? {bits}'h{infinity:x} : {size}"
    m.give("result", f"i_result[30:0] > 31'h7f800000 ? {nan} : {{i_result[31], {finite}}}")


def _round(m: DescriptionModule, spec: DotSpec, steps: Sequence[StepNetlist]) -> None:
    windowed = issubclass(steps[0].takes, Window)
    width = m.inputs["window" if windowed else "magnitude_0"]
    magnitude, negative = "i_magnitude_0", "i_negative_0"
    if windowed:
        m.wire("number", width, "i_window", signed=True)
        m.assume(f"(number != {{1'b1, {width - 1}'b0}})")
        magnitude, negative = m.wire("number_size", width, "number < 0 ? -number : number"), "(number < 0)"
    least, greatest = scale_exponents(spec)
    offset = term_offset(spec)
    if windowed:
        exponent = str(offset + least)
    else:
        exponent = f"$signed({{1'b0, i_exponent_0}}) + ({offset})"
        m.assume(f"((i_exponent_0 >= {least} & i_exponent_0 <= {greatest}) | i_magnitude_0 == 0)")
        m.assume(f"(i_magnitude_0 <= {largest_term(spec)})")
    if not windowed:
        void = "i_nan | (i_infinite != 0)" if "infinite" in m.inputs else "i_nan"
        m.assume(f"(~({void}) | i_magnitude_0 == 0)")
    size = binary32(m, magnitude, width, exponent, nearest=True, odd=spec.rounds_to_odd)
    if "zeros" in m.inputs:
        # Of a product seen as wide as its factors together, or one less.
        most = [max(s for s, _ in scale_rows(fmt).values()) for fmt in spec.scales]
        together = (most[0] * most[1]).bit_length() + largest_sum(spec, spec.block_size).bit_length()
        m.wire("all_zeros", 14, f"{together - 1} - lead", signed=True)
        m.assume("(i_magnitude_0 == 0 | all_zeros == i_zeros | all_zeros == i_zeros + 1)")
    nan, infinite = "i_nan", "1'b0"
    if "infinite" in m.inputs:
        m.assume("~(i_nan & i_infinite != 0)" if spec.blocks == 1 else "1'b1")
        nan, infinite = "(i_nan | i_infinite == 3)", "(i_infinite != 0)"
        negative = f"(i_infinite != 0 ? i_infinite[1] : {negative})"
    m.wire("sign", 1, f"{negative} & ({magnitude} != 0 | {infinite})")
    give_number(m, f"{nan} ? {NAN} : {infinite} ? {{sign, 31'h7f800000}} : {{sign, {size}}}")
