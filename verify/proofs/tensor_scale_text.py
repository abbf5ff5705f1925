"""What the steps compute that multiply a result by a tensor scale, as behavioural Verilog."""

from ...model import DotSpec
from ...model.accumulate import ACCUMULATIONS
from .description_text import BIAS, BINARY32, NAN, DescriptionModule, binary32, largest_term, leading

__all__ = ["describe_tensor_scale"]

_FRACTION = BINARY32.fraction_bits


def describe_tensor_scale(m: DescriptionModule, spec: DotSpec, name: str) -> None:
    """Put what a step computes into a module.

    Args:
        m: The module.
        spec: What the unit computes.
        name: The step's name; that of ``tensor_normalise`` for this and ``tensor_round`` in a row.
    """
    match name:
        case "read_g":
            _read(m, "i_g", "g_")
            for part in ("negative", "exponent", "significand", "nan", "infinite"):
                m.give(f"g_{part}", f"read_g_{part}")
            m.care("g_exponent", "~read_g_nan & ~read_g_infinite & (read_g_significand != 0)")
        case "tensor_read":
            _read_result(m, spec)
        case "tensor_compress":
            # As with a tree of products, any two numbers of that sum will do.
            m.give("save", "i_significand_0 * i_significand_1")
            m.give("carry", "0")
            m.care("save", "1'b0")
            m.care("carry", "1'b0")
        case "tensor_add":
            m.give("product", "i_save + i_carry")
        case _:
            _round(m)


def _read(m: DescriptionModule, number: str, prefix: str) -> None:
    """Add what a binary32 number is made of, in wires whose names begin with ``read_`` and the prefix."""
    start = f"read_{prefix}"
    m.wire(f"{start}field", 8, f"{number}[30:23]")
    m.wire(f"{start}fraction", 23, f"{number}[22:0]")
    m.wire(f"{start}negative", 1, f"{number}[31]")
    m.wire(f"{start}nan", 1, f"{number}[30:0] > 31'h7f800000")
    m.wire(f"{start}infinite", 1, f"{number}[30:0] == 31'h7f800000")
    # Of a subnormal number the topmost bit goes to the top, and its exponent is as far below that.
    lead = f"{start}lead"
    leading(m, lead, f"{start}fraction", _FRACTION)
    subnormal = f"{{1'b0, {start}fraction}} << ({_FRACTION} - {lead})"
    m.wire(f"{start}significand", 24, f"{start}field == 0 ? {subnormal} : {{1'b1, {start}fraction}}")
    m.wire(
        f"{start}exponent",
        14,
        f"{start}field == 0 ? {lead} - 14'sd{_FRACTION - 1} : $signed({{6'b0, {start}field}})",
        signed=True,
    )


def _read_result(m: DescriptionModule, spec: DotSpec) -> None:
    _read(m, "i_result", "")
    # All results are multiples of the quantum; a subnormal one that is not zero cannot be, where that is
    # normal. One that is NaN is the only NaN that there is.
    if spec.quantum_exponent >= 1 - BIAS:
        m.assume("((read_field != 0) | (read_fraction == 0))")
    m.assume(f"(~read_nan | (i_result == {NAN}))")
    width = m.outputs["significand_0"]
    exact = ACCUMULATIONS[spec.accumulate].exact
    if exact and width <= _FRACTION:
        m.assume(f"(read_significand[{_FRACTION - width}:0] == 0)")
    if exact and _largest_is_finite(spec):
        m.assume("~read_infinite")
    m.assume("~(i_g_nan & i_g_infinite)")
    m.assume("(i_g_significand[23] | ((i_g_significand == 0) & ~i_g_nan & ~i_g_infinite))")
    m.wire("zero_g", 1, "~i_g_nan & ~i_g_infinite & (i_g_significand == 0)")
    m.wire("zero_result", 1, "i_result[30:0] == 0")
    void = "(read_infinite & zero_g) | (i_g_infinite & zero_result)"
    m.wire("any_nan", 1, f"read_nan | i_g_nan | {void}")
    m.give("nan", "any_nan")
    m.give("negative", "read_negative ^ i_g_negative")
    m.give("infinite", "read_infinite | i_g_infinite")
    finite = "~read_nan & ~read_infinite & ~i_g_nan & ~i_g_infinite"
    m.care("infinite", "~any_nan")
    m.give("exponent", f"read_exponent + $signed(i_g_exponent) - {BIAS}")
    m.care("exponent", f"({finite}) & ~zero_g & ~zero_result")
    m.give("significand_0", f"read_significand[23:{_FRACTION + 1 - width}]")
    m.care("significand_0", "~read_nan & ~read_infinite")
    m.give("significand_1", "i_g_significand")


def _largest_is_finite(spec: DotSpec) -> bool:
    """Tell whether no exact value, rounded to binary32, can be infinite."""
    if any(fmt.infinity_code is not None for fmt in spec.elements):
        return False
    several = (spec.blocks - 1).bit_length() + (spec.guard if spec.accumulates else 0)
    bits = largest_term(spec).bit_length()
    # All of it is below two to this power. Where it is rounded, that may be reached.
    top = spec.quantum_exponent + spec.scale_shift + bits + several
    rounds = several > 0 or bits > _FRACTION + 1
    return top + rounds <= BIAS + 1


def _round(m: DescriptionModule) -> None:
    width = m.inputs["product"]
    # The top bits of both significands are set.
    m.assume(f"((i_product[{width - 1}:{width - 2}] != 0) | (i_product == 0))")
    m.wire("exponent", 14, "$signed(i_exponent)", signed=True)
    least, greatest = 2 * (1 - _FRACTION) - BIAS, 2 * BINARY32.infinity_field - BIAS
    m.assume(f"((exponent >= {least}) & (exponent <= {greatest}))")
    size = binary32(m, "i_product", width, f"exponent - 14'sd{BIAS + width - 2}", nearest=True)
    number = f"i_infinite ? {{i_negative, 31'h7f800000}} : {{i_negative, {size}}}"
    m.give("result", f"i_nan ? {NAN} : {number}")
