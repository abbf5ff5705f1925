"""What each step of a datapath computes, as behavioural Verilog: operators on numbers, and tables of values.

Nothing here comes from the generator but the names and widths of what lies between two steps. Numbers of
codes are tables made of the formats' exact values; products, sums and shifts are Verilog's own ``*``, ``+``,
``<<`` and ``>>``, as wide as exact results need. In a row, the descriptions are the contract itself.

A description is a module ``description`` with the ports of the step that it describes, and with outputs that
say what is claimed: ``allowed`` (the input can occur: the descriptions before it give nothing else) and, for
some outputs x, ``care_x`` (x has a meaning).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ...model import DotSpec, Format
from ...model.aligned_sum import ZERO_EXPONENT
from .steps import StepNetlist

__all__ = ["BIAS", "Description", "describe", "largest_sum", "scale_exponents", "tree_offset"]

BIAS: Final = 127
_NAN: Final = "32'h7fc00000"
_TERM: Final = 16


@dataclass(frozen=True)
class Description:
    """What some steps in a row compute.

    Attributes:
        text: The Verilog of the module ``description``.
        cares: The outputs, and registers, that have a ``care_`` port.
    """

    text: str
    cares: tuple[str, ...] = ()


def _integer(value: float, unit: int) -> int:
    number = Fraction(value) / Fraction(2) ** unit
    if number.denominator != 1:
        raise ValueError(f"value must be a multiple of 2**{unit}, not {value!r}")
    return int(number)


def _finite(fmt: Format) -> list[tuple[int, float]]:
    values = fmt.values.tolist()
    return [(code, value) for code, value in enumerate(values) if value - value == 0]


def _scale_rows(fmt: Format) -> dict[int, tuple[int, int]]:
    """Return significand and exponent field of every finite code, out of its value."""
    rows: dict[int, tuple[int, int]] = {}
    least = 1 if fmt.subnormals else 0
    for code, value in _finite(fmt):
        field = least
        if value:
            # math.frexp puts the leading bit at 1/2.
            field = max(_exponent(value) + fmt.bias, least)
        rows[code] = _integer(value, field - fmt.bias - fmt.mantissa_bits), field
    return rows


def _exponent(value: float) -> int:
    number, exponent = Fraction(value), 0
    while number >= 2:
        number, exponent = number / 2, exponent + 1
    while number < 1:
        number, exponent = number * 2, exponent - 1
    return exponent


def scale_exponents(spec: DotSpec) -> tuple[int, int]:
    """Return the least and the greatest sum of the exponent fields of two finite scales."""
    fields = [[field for _, field in _scale_rows(fmt).values()] for fmt in spec.scales]
    return sum(map(min, fields)), sum(map(max, fields))


def largest_sum(spec: DotSpec, lanes: int) -> int:
    """Return the largest magnitude of a sum of `lanes` products, in their quantum."""
    largest = lanes
    for fmt in spec.elements:
        largest *= max(abs(_integer(value, fmt.quantum_exponent)) for _, value in _finite(fmt))
    return largest


def _table(name: str, bits: int, width: int, rows: dict[int, int], default: int = 0) -> str:
    """Return a Verilog function that is a table."""
    lines = "".join(
        f"    {bits}'d{code}: {name} = {width}'d{number};\n"
        for code, number in sorted(rows.items())
        if number != default
    )
    # Yosys takes an empty case for an error.
    lines += f"    default: {name} = {width}'d{default};\n"
    return (
        f"  function [{width - 1}:0] {name};\n    input [{bits - 1}:0] code;\n"
        f"    case (code)\n{lines}    endcase\n  endfunction\n"
    )


class _Module:
    """Verilog under construction."""

    def __init__(self, inputs: dict[str, int], outputs: dict[str, int], *, clocked: bool) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.clocked = clocked
        self.lines: list[str] = []
        self.assumed: list[str] = []
        self.cares: dict[str, str] = {}
        self.given: set[str] = set()

    def add(self, text: str) -> None:
        self.lines.append(text if text.endswith("\n") else f"  {text}\n")

    def wire(self, name: str, width: int, value: str, *, signed: bool = False) -> str:
        self.add(f"wire {'signed ' if signed else ''}[{width - 1}:0] {name} = {value};")
        return name

    def give(self, name: str, value: str) -> None:
        self.given.add(name)
        self.add(f"assign o_{name} = {value};")

    def assume(self, condition: str) -> None:
        self.assumed.append(condition)

    def care(self, name: str, condition: str) -> None:
        self.cares[name] = condition

    def __str__(self) -> str:
        ports = [f"input [{width - 1}:0] i_{name}" for name, width in self.inputs.items()]
        ports += ["input clk", "input rst"] if self.clocked else []
        ports += [f"output [{width - 1}:0] o_{name}" for name, width in self.outputs.items()]
        ports += ["output allowed", *(f"output care_{name}" for name in self.cares)]
        # What a step does not name goes through it.
        through = [f"  assign o_{name} = i_{name};\n" for name in self.outputs if name not in self.given]
        claims = [f"  assign allowed = {' & '.join(self.assumed) or 1};\n".replace("= 1;", "= 1'b1;")]
        claims += [f"  assign care_{name} = {value};\n" for name, value in self.cares.items()]
        body = "".join([*self.lines, *through, *claims])
        return f"module description({', '.join(ports)});\n{body}endmodule\n"


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
    module = _Module(steps[0].inputs, steps[-1].outputs, clocked=steps[0].accumulates)
    name = steps[0].name
    match name:
        case "product":
            _products(module, spec)
        case "compress":
            _tree(module, tree_offset(steps[0], following))
        case "add":
            _add(module)
        case "multiply":
            if "save_0" in module.inputs:
                _multiply_saved(module)
            else:
                _multiply(module, spec)
        case "place":
            _place(module, spec)
        case "join":
            _join(module, spec)
        case "resolve":
            assert segment is not None
            _resolve(module, segment)
        case "normalise":
            _round(module, spec)
        case "accumulate":
            if spec.accumulate == "exact":
                _exact(module, segment)
            elif spec.accumulate == "aligned":
                _aligned(module, spec)
            else:
                (_fused if "save_0" in module.inputs else _fp32)(module, spec)
        case _:
            raise ValueError(f"step must be one that is described, not {name!r}")
    return Description(str(module), tuple(module.cares))


def _products(m: _Module, spec: DotSpec) -> None:
    bits = [fmt.bits for fmt in spec.elements]
    for side, fmt in zip("ab", spec.elements, strict=True):
        rows = {code: abs(_integer(value, fmt.quantum_exponent)) for code, value in _finite(fmt)}
        width = max(rows.values()).bit_length()
        m.add(_table(f"magnitude_{side}", fmt.bits, width, rows))
        for what, test in (("nan", lambda v: v != v), ("infinite", lambda v: abs(v) == float("inf"))):
            rows = {code: int(test(value)) for code, value in enumerate(fmt.values.tolist())}
            m.add(_table(f"{what}_{side}", fmt.bits, 1, rows))
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


def _scales(m: _Module, spec: DotSpec) -> None:
    aligned = spec.accumulate == "aligned"
    for side, fmt in zip("ab", spec.scales, strict=True):
        rows = _scale_rows(fmt)
        m.add(
            _table(
                f"significand_{side}", fmt.bits, fmt.mantissa_bits + 1, {c: s for c, (s, _) in rows.items()}
            )
        )
        # Biased by a number that makes the exponent of every code positive.
        fields = {
            c: (field - fmt.bias if s or not aligned else ZERO_EXPONENT) for c, (s, field) in rows.items()
        }
        m.add(_table(f"exponent_{side}", fmt.bits, 10, {c: 256 + field for c, field in fields.items()}))
        odd = {code: int(code not in rows) for code in range(1 << fmt.bits)}
        m.add(_table(f"scale_nan_{side}", fmt.bits, 1, odd))
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
        m.give(
            f"exponent_{j}",
            f"$signed({{2'b0, exponent_a({a})}}) + $signed({{2'b0, exponent_b({b})}}) + {offset - 512}",
        )
        m.care(f"exponent_{j}", f"~scales_{j}_bad")
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
    if following is not None and any(name.startswith("sum_magnitude_") for name in following.outputs):
        return -1
    if following is not None and following.name == "multiply" and "save_0" in following.inputs:
        return step.inputs["negative_0"] << step.inputs["magnitude_0"] // step.inputs["negative_0"]
    return 0


def _tree(m: _Module, offset: int) -> None:
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


def _add(m: _Module) -> None:
    for t in range(sum(name.startswith("save_") for name in m.inputs)):
        width = m.inputs[f"save_{t}"]
        if f"total_{t}" in m.outputs:
            m.give(f"total_{t}", f"i_save_{t} + i_carry_{t}")
            continue
        m.wire(f"total_{t}", width, f"i_save_{t} + i_carry_{t} + 1", signed=True)
        m.assume(f"(total_{t} != {{1'b1, {width - 1}'b0}})")
        m.give(f"negative_{t}", f"total_{t} < 0")
        m.give(f"sum_magnitude_{t}", f"total_{t} < 0 ? -total_{t} : total_{t}")


def _multiply(m: _Module, spec: DotSpec) -> None:
    terms = sum(name.startswith(("total_", "sum_magnitude_")) for name in m.inputs)
    lanes = spec.block_size * spec.blocks // terms
    largest = largest_sum(spec, lanes)
    most = [max(s for s, _ in _scale_rows(fmt).values()) for fmt in spec.scales]
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
                _leading(m, f"{what}_lead", value, width)
                zeros.append(f"{width - 1} - {what}_lead")
            m.give("zeros", " + ".join(zeros))
            m.care("zeros", f"({magnitude} != 0) & ({first} != 0)")


def _multiply_saved(m: _Module) -> None:
    # As with a tree, any two numbers will do.
    width, excess = m.outputs["save_0"], 1 << (m.inputs["save_0"] - 1)
    m.give("save_0", f"(i_save_0 + i_carry_0 - {width}'d{excess}) * i_significand_0_0")
    m.give("carry_0", "0")
    m.care("save_0", "1'b0")
    m.care("carry_0", "1'b0")


def _leading(m: _Module, name: str, value: str, width: int) -> None:
    """Add a register with the place of the topmost set bit, 0 where none is set."""
    m.add(f"reg signed [13:0] {name};")
    m.add(f"integer {name}_k;")
    m.add(
        f"always @* begin {name} = 0; "
        f"for ({name}_k = 0; {name}_k < {width}; {name}_k = {name}_k + 1) "
        f"if ({value}[{name}_k]) {name} = {name}_k; end"
    )


def _place(m: _Module, spec: DotSpec) -> None:
    least, greatest = scale_exponents(spec)
    for j in range(spec.blocks):
        term, exponent = f"i_term_{j}", f"i_exponent_{j}"
        window = "window" if spec.blocks == 1 else f"window_{j}"
        width = m.outputs[window]
        m.assume(f"(({exponent} >= {least} & {exponent} <= {greatest}) | {term} == 0)")
        m.wire(f"wide_{j}", width + 1, f"$signed({term})", signed=True)
        m.give(window, f"{term} == 0 ? 0 : wide_{j} << ({exponent} - {least})")


def _join(m: _Module, spec: DotSpec) -> None:
    width = m.outputs["window"]
    m.wire("joined", width, " + ".join(f"wide_{j}" for j in range(spec.blocks)))
    for j in range(spec.blocks):
        m.wire(f"wide_{j}", width, f"$signed(i_window_{j})", signed=True)
    m.lines.sort(key=lambda line: "joined" in line)
    m.give("window", "joined")


def _binary32(m: _Module, magnitude: str, width: int, exponent: str, *, nearest: bool, name: str = "") -> str:
    """Add the binary32, without its sign, of ``magnitude * 2**exponent``; return the wire's name.

    Every wire's name begins with `name`.
    """
    lead, unit, field, placed, drop = (
        name + x for x in ("lead", "unit", "top_field", "placed_field", "drop")
    )
    right, left, kept, rest, half = (name + x for x in ("right", "left", "kept", "rest", "half"))
    rounds, packed, size = (name + x for x in ("up", "packed", "size"))
    _leading(m, lead, magnitude, width)
    m.wire(unit, 14, exponent, signed=True)
    m.wire(field, 14, f"{unit} + {lead} + {BIAS}", signed=True)
    # Of the last place; subnormals have that of the least normal number.
    m.wire(placed, 14, f"{field} < 1 ? 14'sd1 : {field}", signed=True)
    m.wire(drop, 14, f"{placed} - {BIAS + 23} - {unit}", signed=True)
    m.wire(right, 14, f"{drop} < 0 ? 0 : {drop} > {width + 1} ? {width + 1} : {drop}")
    m.wire(left, 14, f"{drop} < 0 ? -{drop} : 0")
    m.wire(kept, width + 24, f"({{24'b0, {magnitude}}} << {left}) >> {right}")
    m.wire(rest, width + 2, f"{magnitude} & (({width + 2}'d1 << {right}) - 1)")
    m.wire(half, width + 2, f"({width + 2}'d1 << {right}) >> 1")
    up = f"{right} != 0 & ({rest} > {half} | ({rest} == {half} & {kept}[0]))" if nearest else "1'b0"
    m.wire(rounds, 1, up)
    m.wire(packed, 40, f"{{{placed}[13:0] - 14'd1, 23'b0}} + {kept}[24:0] + {rounds}")
    limit, most = (255, "31'h7f800000") if nearest else (255, "31'h7f7fffff")
    m.wire(size, 31, f"{magnitude} == 0 ? 31'd0 : {packed}[39:23] >= {limit} ? {most} : {packed}[30:0]")
    return size


def _largest_term(spec: DotSpec) -> int:
    """Return the largest magnitude of a block's sum times the significands of its scales."""
    largest = largest_sum(spec, spec.block_size)
    for fmt in spec.scales:
        largest *= max(s for s, _ in _scale_rows(fmt).values())
    return largest


def _offset(spec: DotSpec) -> int:
    """Return the exponent of a term's last bit where the sum of its scales' exponent fields is zero."""
    quantum = sum(fmt.quantum_exponent for fmt in spec.elements)
    return quantum - sum(fmt.bias + fmt.mantissa_bits for fmt in spec.scales)


def _round(m: _Module, spec: DotSpec) -> None:
    windowed = "window" in m.inputs
    width = m.inputs["window" if windowed else "magnitude_0"]
    magnitude, negative = "i_magnitude_0", "i_negative_0"
    if windowed:
        m.wire("number", width, "i_window", signed=True)
        m.assume(f"(number != {{1'b1, {width - 1}'b0}})")
        magnitude, negative = m.wire("number_size", width, "number < 0 ? -number : number"), "(number < 0)"
    least, greatest = scale_exponents(spec)
    offset = _offset(spec)
    if windowed:
        exponent = str(offset + least)
    else:
        exponent = f"$signed({{1'b0, i_exponent_0}}) + ({offset})"
        m.assume(f"((i_exponent_0 >= {least} & i_exponent_0 <= {greatest}) | i_magnitude_0 == 0)")
        m.assume(f"(i_magnitude_0 <= {_largest_term(spec)})")
    if not windowed:
        void = "i_nan | (i_infinite != 0)" if "infinite" in m.inputs else "i_nan"
        m.assume(f"(~({void}) | i_magnitude_0 == 0)")
    size = _binary32(m, magnitude, width, exponent, nearest=True)
    if "zeros" in m.inputs:
        # Of a product seen as wide as its factors together, or one less.
        most = [max(s for s, _ in _scale_rows(fmt).values()) for fmt in spec.scales]
        together = (most[0] * most[1]).bit_length() + largest_sum(spec, spec.block_size).bit_length()
        m.wire("all_zeros", 14, f"{together - 1} - lead", signed=True)
        m.assume("(i_magnitude_0 == 0 | all_zeros == i_zeros | all_zeros == i_zeros + 1)")
    nan, infinite = "i_nan", "1'b0"
    if "infinite" in m.inputs:
        m.assume("~(i_nan & i_infinite != 0)" if spec.blocks == 1 else "1'b1")
        nan, infinite = "(i_nan | i_infinite == 3)", "(i_infinite != 0)"
        negative = f"(i_infinite != 0 ? i_infinite[1] : {negative})"
    m.wire("sign", 1, f"{negative} & ({magnitude} != 0 | {infinite})")
    m.wire("value", 32, f"{nan} ? {_NAN} : {infinite} ? {{sign, 31'h7f800000}} : {{sign, {size}}}")
    if "result" in m.outputs:
        m.give("result", "value")
        return
    m.give("r_nan", "value[30:0] > 31'h7f800000")
    m.give("r_infinite", "value[30:0] == 31'h7f800000")
    m.give("r_negative", "value[31]")
    m.give("r_fraction", "value[22:0]")
    m.give("r_field", "value[30:23]")
    m.give("r_normal", "value[30:23] != 0")
    m.care("r_negative", "(value[30:0] <= 31'h7f800000)")
    for name in ("fraction", "field", "normal"):
        m.care(f"r_{name}", "(value[30:23] != 255)")


def _sum_binary32(m: _Module, a: str, b: str) -> str:
    """Add the IEEE 754 sum of two binary32 wires, ties to even; return the wire's name."""
    m.wire("swap", 1, f"{b}[30:0] > {a}[30:0]")
    m.wire("x", 32, f"swap ? {b} : {a}")
    m.wire("y", 32, f"swap ? {a} : {b}")
    for one in "xy":
        m.wire(f"{one}_field", 8, f"{one}[30:23] == 0 ? 8'd1 : {one}[30:23]")
        m.wire(f"{one}_whole", 52, f"{{1'b0, {one}[30:23] != 0, {one}[22:0], 27'b0}}")
    m.wire("distance", 8, "x_field - y_field")
    # 27 bits below hold every bit of a number that is at most 27 places lower; a lower one is not half an ulp
    # of any sum, and all that matters of it is that it is not zero.
    m.wire("y_placed", 52, "distance > 27 ? {51'b0, y_whole != 0} : y_whole >> distance")
    m.wire("total", 52, "x[31] ^ y[31] ? x_whole - y_placed : x_whole + y_placed")
    size = _binary32(m, "total", 52, "$signed({1'b0, x_field}) - 14'sd177", nearest=True)
    m.wire("sum_sign", 1, f"total == 0 ? {a}[31] & {b}[31] : x[31]")
    for name, wire in (("first_operand", a), ("second_operand", b)):
        m.wire(f"{name}_infinite", 1, f"{wire}[30:0] == 31'h7f800000")
        m.wire(f"{name}_nan", 1, f"{wire}[30:0] > 31'h7f800000")
    opposite = f"first_operand_infinite & second_operand_infinite & ({a}[31] ^ {b}[31])"
    m.wire(
        "sum",
        32,
        f"first_operand_nan | second_operand_nan | ({opposite}) ? {_NAN} : first_operand_infinite ? {a} : "
        f"second_operand_infinite ? {b} : {{sum_sign, {size}}}",
    )
    return "sum"


def _fused(m: _Module, spec: DotSpec) -> None:
    width = m.inputs["save_0"]
    largest, offset = _largest_term(spec), _offset(spec)
    least, greatest = scale_exponents(spec)
    m.wire("term", width, "i_save_0 + i_carry_0", signed=True)
    m.wire("term_size", width, "term < 0 ? -term : term")
    m.assume(f"(i_nan | (term_size <= {largest} & i_exponent_0 >= {least} & i_exponent_0 <= {greatest}))")
    exponent = f"$signed({{1'b0, i_exponent_0}}) + ({offset})"
    size = _binary32(m, "term_size", width, exponent, nearest=True, name="rounded_")
    m.wire("group", 32, f"i_nan ? {_NAN} : {{term < 0, {size}}}")
    m.add("reg [31:0] accumulator;")
    m.assume(f"(accumulator[30:0] <= 31'h7f800000 | accumulator == {_NAN})")
    total = _sum_binary32(m, "accumulator", "group")
    m.wire("following", 32, f"i_first ? group : {total}")
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    m.give("result", "accumulator")


def _fp32(m: _Module, spec: DotSpec) -> None:
    del spec
    if "result" in m.inputs:
        m.wire("group", 32, "i_result")
        m.assume(f"(group[30:0] <= 31'h7f800000 | group == {_NAN})")
    else:
        m.wire(
            "group",
            32,
            f"i_r_nan ? {_NAN} : i_r_infinite ? {{i_r_negative, 31'h7f800000}} : "
            "{i_r_negative, i_r_field, i_r_fraction}",
        )
        m.assume("(i_r_nan | i_r_infinite | (i_r_field != 255 & i_r_normal == (i_r_field != 0)))")
        m.assume("~(i_r_nan & i_r_infinite)")
    m.add("reg [31:0] accumulator;")
    total = _sum_binary32(m, "accumulator", "group")
    m.wire("following", 32, f"i_first ? group : {total}")
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    if "result" not in m.inputs:
        # The hidden bit of the accumulator, kept beside it; without meaning where that is no finite number.
        m.add("reg accumulator_normal;")
        m.add("always @(posedge clk) if (i_enable) accumulator_normal <= following[30:23] != 0;")
        m.assume("(accumulator[30:23] == 255 | accumulator_normal == (accumulator[30:23] != 0))")
        m.care("accumulator_normal", "~i_enable | following[30:23] != 255")
    m.give("result", "accumulator")


def _exact(m: _Module, segment: int | None) -> None:
    width, bits = m.inputs["window"], m.outputs["window"]
    m.add(f"reg [{bits - 1}:0] accumulator;")
    m.add("reg accumulator_nan;")
    m.wire("start", 1, "i_first & i_enable")
    m.wire("before", bits, f"start ? {bits}'d0 : accumulator")
    extended = f"{{{{{bits - width + 1}{{i_window[{width - 1}]}}}}, i_window[{width - 2}:0]}}"
    m.wire("addend", bits, f"i_enable ? {extended} : {bits}'d0")
    lows = range(0, bits, segment or bits)
    sizes = [min(segment or bits, bits - low) for low in lows]
    carries = len(lows) - 1
    if carries:
        m.add(f"reg [{carries - 1}:0] accumulator_carries;")
        m.wire("before_carries", carries, f"start ? {carries}'d0 : accumulator_carries")
    for k, (low, size) in enumerate(zip(lows, sizes, strict=True)):
        carry = f" + before_carries[{k - 1}]" if k else ""
        m.wire(f"part_{k}", size + 1, f"before[{low} +: {size}] + addend[{low} +: {size}]{carry}")
    sums = ", ".join(f"part_{k}[{size - 1}:0]" for k, size in reversed([*enumerate(sizes)]))
    m.add(f"always @(posedge clk) accumulator <= {{{sums}}};")
    if carries:
        out = ", ".join(f"part_{k}[{sizes[k]}]" for k in reversed(range(carries)))
        m.add(f"always @(posedge clk) accumulator_carries <= {{{out}}};")
        m.give("carries", "accumulator_carries")
    m.add("always @(posedge clk) if (i_enable) accumulator_nan <= i_nan | (~i_first & accumulator_nan);")
    m.give("window", "accumulator")
    m.give("nan", "accumulator_nan")
    if "infinite" in m.inputs:
        m.add("reg [1:0] accumulator_infinite;")
        m.add(
            "always @(posedge clk) if (i_enable) accumulator_infinite <= i_infinite | (i_first ? 2'd0 : "
            "accumulator_infinite);"
        )
        m.give("infinite", "accumulator_infinite")


def _resolve(m: _Module, segment: int) -> None:
    bits = m.inputs["window"]
    carries = " + ".join(
        f"({{{bits}'d0, i_carries[{k}]}} << {segment * (k + 1)})" for k in range(m.inputs["carries"])
    )
    m.give("window", f"i_window + {carries}")


def _aligned(m: _Module, spec: DotSpec) -> None:
    terms = sum(name.startswith("magnitude_") for name in m.inputs)
    width = m.inputs["magnitude_0"]
    kept = spec.fraction
    point = sum(fmt.mantissa_bits for fmt in spec.scales) - sum(fmt.quantum_exponent for fmt in spec.elements)
    exponents = [
        [field - fmt.bias if s else ZERO_EXPONENT for s, field in _scale_rows(fmt).values()]
        for fmt in spec.scales
    ]
    least, greatest = BIAS + sum(map(min, exponents)), BIAS + sum(map(max, exponents))
    m.add("reg [31:0] accumulator;")
    m.wire("before", 32, "i_first ? 32'd0 : accumulator")
    m.wire("before_exponent", 14, "before[30:23] == 0 ? 14'sd1 : {6'b0, before[30:23]}", signed=True)
    largest = "before_exponent"
    each = terms // spec.blocks
    for t in range(terms):
        exponent = m.wire(f"exponent_{t}", 14, f"$signed(i_exponent_{t // each})", signed=True)
        m.assume(f"(i_nan | ({exponent} >= {least} & {exponent} <= {greatest}))")
        largest = m.wire(f"largest_{t}", 14, f"{exponent} > {largest} ? {exponent} : {largest}", signed=True)
    bits = max(width + kept, 24 + kept)
    whole = bits + 1 + terms.bit_length()
    addends: list[str] = []
    for name, magnitude, places, exponent, negative in [
        *((f"term_{t}", f"i_magnitude_{t}", point, f"exponent_{t}", f"i_negative_{t}") for t in range(terms)),
        ("own", "{before[30:23] != 0, before[22:0]}", 23, "before_exponent", "before[31]"),
    ]:
        distance = f"{name}_distance"
        m.wire(distance, 14, f"{largest} - {exponent} + {places}")
        placed = f"({{{bits}'b0, {magnitude}}} << {kept}) >> {distance}"
        m.wire(f"{name}_cut", whole, placed)
        addends.append(m.wire(f"{name}_signed", whole, f"{negative} ? -{name}_cut : {name}_cut", signed=True))
    m.wire("total", whole, " + ".join(addends), signed=True)
    m.wire("total_size", whole, "total < 0 ? -total : total")
    size = _binary32(m, "total_size", whole, f"{largest} - {BIAS + kept}", nearest=False)
    m.wire("own_nan", 1, "before[30:0] > 31'h7f800000")
    plain = f"{{total < 0, {size}}}"
    if "infinite" in m.inputs:
        m.wire("own_infinite", 1, "before[30:0] == 31'h7f800000")
        m.wire("up_any", 1, "i_infinite[0] | (own_infinite & ~before[31])")
        m.wire("down_any", 1, "i_infinite[1] | (own_infinite & before[31])")
        special = "up_any & down_any"
        plain = f"up_any ? 32'h7f800000 : down_any ? 32'hff800000 : {plain}"
    else:
        special = "1'b0"
        m.assume("before[30:0] != 31'h7f800000")
    m.wire("following", 32, f"i_nan | own_nan | ({special}) ? {_NAN} : {plain}")
    m.add("always @(posedge clk) accumulator <= i_enable ? following : accumulator;")
    m.give("result", "accumulator")
