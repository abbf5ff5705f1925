"""What behavioural descriptions are written with: Verilog under construction, tables, and binary32."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ...model import DotSpec, Format
from ...model.aligned_sum import RESULTS, FloatFields
from .gate_network import PART

__all__ = [
    "BIAS",
    "BINARY32",
    "NAN",
    "AlignedReading",
    "DescriptionModule",
    "aligned_exponents",
    "as_integer",
    "binary32",
    "finite_values",
    "give_number",
    "kept_c_text",
    "largest_sum",
    "largest_term",
    "leading",
    "scale_exponents",
    "scale_rows",
    "sum_binary32",
    "term_offset",
    "verilog_table",
]

BINARY32: Final = RESULTS["binary32"].fields
BIAS: Final = BINARY32.bias
NAN: Final = "32'h7fc00000"


def as_integer(value: float, unit: int) -> int:
    """Return a value as a multiple of ``2**unit``."""
    number = Fraction(value) / Fraction(2) ** unit
    if number.denominator != 1:
        raise ValueError(f"value must be a multiple of 2**{unit}, not {value!r}")
    return int(number)


def finite_values(fmt: Format) -> list[tuple[int, float]]:
    """Return code and value of every code that is a finite number."""
    values = fmt.values.tolist()
    return [(code, value) for code, value in enumerate(values) if value - value == 0]


def scale_rows(fmt: Format) -> dict[int, tuple[int, int]]:
    """Return significand, without its sign, and exponent field of every finite code, out of its value."""
    rows: dict[int, tuple[int, int]] = {}
    least = 1 if fmt.subnormals else 0
    for code, value in finite_values(fmt):
        field = least
        if value:
            # math.frexp puts the leading bit at 1/2.
            field = max(_exponent(abs(value)) + fmt.bias, least)
        rows[code] = as_integer(abs(value), field - fmt.bias - fmt.mantissa_bits), field
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
    fields = [[field for _, field in scale_rows(fmt).values()] for fmt in spec.scales]
    return sum(map(min, fields)), sum(map(max, fields))


@dataclass(frozen=True)
class AlignedReading:
    """The exponents that terms read as in ``aligned``, biased as binary32's.

    Attributes:
        least: The least of a term that is not exactly zero.
        greatest: The greatest.
        zero: That of what is exactly zero.
        code: What stands for it between two steps: 0 where no number has an exponent below 1, that of
            binary32's subnormals, and a zero none above it; else the same number.
    """

    least: int
    greatest: int
    zero: int

    @property
    def code(self) -> int:
        """See above."""
        return 0 if self.least >= 1 >= self.zero else self.zero


def aligned_exponents(spec: DotSpec) -> AlignedReading:
    """Return the exponents that terms under scales read as in ``aligned``, biased as the result's."""
    bias = spec.sum_format.fields.bias
    fields = [[field - fmt.bias for s, field in scale_rows(fmt).values() if s] for fmt in spec.scales]
    return AlignedReading(
        bias + sum(map(min, fields)), bias + sum(map(max, fields)), bias + spec.zero_exponent
    )


def largest_sum(spec: DotSpec, lanes: int) -> int:
    """Return the largest magnitude of a sum of `lanes` products, in their quantum."""
    largest = lanes
    for fmt in spec.elements:
        largest *= max(abs(as_integer(value, fmt.quantum_exponent)) for _, value in finite_values(fmt))
    return largest


def verilog_table(name: str, bits: int, width: int, rows: dict[int, int], default: int = 0) -> str:
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


class DescriptionModule:
    """A description under construction: the text of a module.

    Args:
        inputs: Width of each value that comes in; its port is ``i_`` and its name.
        outputs: Width of each that goes out; its port is ``o_`` and its name. One that nothing gives is the
            input of that name.
        clocked: Whether it has registers.

    Attributes:
        inputs: See above.
        outputs: See above.
        lines: Its text so far, line by line.
        cares: When an output, or a register, has a meaning; always for one that is not here.
        claims: What else holds wherever the input can occur, by name.
        parts: Modules that it has instances of.
        leading: See `Description`.
    """

    def __init__(self, inputs: dict[str, int], outputs: dict[str, int], *, clocked: bool) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.clocked = clocked
        self.lines: list[str] = []
        self.assumed: list[str] = []
        self.cares: dict[str, str] = {}
        self.claims: dict[str, str] = {}
        self.parts: list[str] = []
        self.leading = ""
        self.given: set[str] = set()

    def add(self, text: str) -> None:
        """Add a line."""
        self.lines.append(text if text.endswith("\n") else f"  {text}\n")

    def add_part(self, text: str) -> None:
        """Add a module of few inputs, to have instances of; gates are made of it once: see `network`."""
        self.parts.append(f"{PART} {text}")

    def wire(self, name: str, width: int, value: str, *, signed: bool = False) -> str:
        """Add a wire, and return its name."""
        self.add(f"wire {'signed ' if signed else ''}[{width - 1}:0] {name} = {value};")
        return name

    def give(self, name: str, value: str) -> None:
        """Say what an output is."""
        self.given.add(name)
        self.add(f"assign o_{name} = {value};")

    def assume(self, condition: str) -> None:
        """Say what holds of every input that can occur."""
        self.assumed.append(condition)

    def care(self, name: str, condition: str) -> None:
        """Say when an output, or a register, has a meaning."""
        self.cares[name] = condition

    def claim(self, name: str, condition: str) -> None:
        """Say what holds besides: of what a register takes, where the same is assumed of the register."""
        self.claims[name] = condition

    def __str__(self) -> str:
        ports = [f"input [{width - 1}:0] i_{name}" for name, width in self.inputs.items()]
        ports += ["input clk", "input rst"] if self.clocked else []
        ports += [f"output [{width - 1}:0] o_{name}" for name, width in self.outputs.items()]
        ports += ["output allowed", *(f"output care_{name}" for name in self.cares)]
        ports += [f"output claim_{name}" for name in self.claims]
        # What a step does not name goes through it.
        through = [f"  assign o_{name} = i_{name};\n" for name in self.outputs if name not in self.given]
        claims = [f"  assign allowed = {' & '.join(self.assumed) or 1};\n".replace("= 1;", "= 1'b1;")]
        claims += [f"  assign care_{name} = {value};\n" for name, value in self.cares.items()]
        claims += [f"  assign claim_{name} = {value};\n" for name, value in self.claims.items()]
        body = "".join([*self.lines, *through, *claims])
        parts = "".join(self.parts)
        return f"module description({', '.join(ports)});\n{body}endmodule\n{parts}"


def kept_c_text(given: FloatFields, kept: FloatFields) -> str:
    """Return C of the one format as sums of the other are kept: one NaN, and bits cut off that these lack."""
    bits, lost = given.bits - 1, given.fraction_bits - kept.fraction_bits
    infinity = f"{bits}'h{given.infinity_field << given.fraction_bits:x}"
    nan = f"{kept.bits}'h{(2 * kept.infinity_field + 1) << kept.fraction_bits - 1:x}"
    return f"(i_c[{bits - 1}:0] > {infinity} ? {nan} : i_c[{bits}:{lost}])"


def leading(m: DescriptionModule, name: str, value: str, width: int) -> None:
    """Add a register with the place of the topmost set bit, 0 where none is set."""
    m.add(f"reg signed [13:0] {name};")
    m.add(f"integer {name}_k;")
    m.add(
        f"always @* begin {name} = 0; "
        f"for ({name}_k = 0; {name}_k < {width}; {name}_k = {name}_k + 1) "
        f"if ({value}[{name}_k]) {name} = {name}_k; end"
    )


def binary32(
    m: DescriptionModule,
    magnitude: str,
    width: int,
    exponent: str,
    *,
    nearest: bool,
    odd: bool = False,
    name: str = "",
    fields: FloatFields = BINARY32,
) -> str:
    """Add the binary32, without its sign, of ``magnitude * 2**exponent``; return the wire's name.

    What is too large is infinite, rounded to nearest, toward zero or, whatever `nearest` says, to odd. Every
    wire's name begins with `name`. With other `fields` it is a number of those.
    """
    room, bias = fields.fraction_bits, fields.bias
    lead, unit, field, placed, drop = (
        name + x for x in ("lead", "unit", "top_field", "placed_field", "drop")
    )
    right, left, kept, rest, half = (name + x for x in ("right", "left", "kept", "rest", "half"))
    rounds, packed, size = (name + x for x in ("up", "packed", "size"))
    leading(m, lead, magnitude, width)
    m.wire(unit, 14, exponent, signed=True)
    m.wire(field, 14, f"{unit} + {lead} + {bias}", signed=True)
    # Of the last place; subnormals have that of the least normal number.
    m.wire(placed, 14, f"{field} < 1 ? 14'sd1 : {field}", signed=True)
    m.wire(drop, 14, f"{placed} - {bias + room} - {unit}", signed=True)
    m.wire(right, 14, f"{drop} < 0 ? 0 : {drop} > {width + 1} ? {width + 1} : {drop}")
    m.wire(left, 14, f"{drop} < 0 ? -{drop} : 0")
    m.wire(kept, width + room + 1, f"({{{room + 1}'b0, {magnitude}}} << {left}) >> {right}")
    m.wire(rest, width + 2, f"{magnitude} & (({width + 2}'d1 << {right}) - 1)")
    m.wire(half, width + 2, f"({width + 2}'d1 << {right}) >> 1")
    up = f"{right} != 0 & ({rest} > {half} | ({rest} == {half} & {kept}[0]))" if nearest else "1'b0"
    m.wire(rounds, 1, "1'b0" if odd else up)
    m.wire(packed, 17 + room, f"{{{placed}[13:0] - 14'd1, {room}'b0}} + {kept}[{room + 1}:0] + {rounds}")
    top, bits = fields.infinity_field, fields.bits - 1
    most = f"{bits}'h{top << room:x}"
    large = f"{packed}[{16 + room}:{room}] >= {top} ? {most} : {packed}[{bits - 1}:0]"
    if odd:
        # Beyond the largest finite number there is no last bit to set.
        m.wire(f"{name}last", 1, f"{packed}[{16 + room}:{room}] < {top} & {right} != 0 & {rest} != 0")
        large = f"({large}) | {name}last"
    m.wire(size, bits, f"{magnitude} == 0 ? {bits}'d0 : {large}")
    return size


def give_number(m: DescriptionModule, value: str) -> None:
    """Say what binary32 number is given, as it stands or taken apart."""
    m.wire("value", 32, value)
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


def largest_term(spec: DotSpec) -> int:
    """Return the largest magnitude of a block's sum times the significands of its scales."""
    largest = largest_sum(spec, spec.block_size)
    for fmt in spec.scales:
        largest *= max(s for s, _ in scale_rows(fmt).values())
    return largest


def term_offset(spec: DotSpec) -> int:
    """Return the exponent of a term's last bit where the sum of its scales' exponent fields is zero."""
    quantum = sum(fmt.quantum_exponent for fmt in spec.elements)
    return quantum - sum(fmt.bias + fmt.mantissa_bits for fmt in spec.scales)


def sum_binary32(m: DescriptionModule, a: str, b: str) -> str:
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
    size = binary32(m, "total", 52, "$signed({1'b0, x_field}) - 14'sd177", nearest=True)
    m.wire("sum_sign", 1, f"total == 0 ? {a}[31] & {b}[31] : x[31]")
    for name, wire in (("first_operand", a), ("second_operand", b)):
        m.wire(f"{name}_infinite", 1, f"{wire}[30:0] == 31'h7f800000")
        m.wire(f"{name}_nan", 1, f"{wire}[30:0] > 31'h7f800000")
    opposite = f"first_operand_infinite & second_operand_infinite & ({a}[31] ^ {b}[31])"
    m.wire(
        "sum",
        32,
        f"first_operand_nan | second_operand_nan | ({opposite}) ? {NAN} : first_operand_infinite ? {a} : "
        f"second_operand_infinite ? {b} : {{sum_sign, {size}}}",
    )
    return "sum"
