"""A scale g of the whole tensor, a binary32 number, by which everything is divided before all else.

Nothing is divided: what scales and elements are compared with is multiplied by g, exactly. See
`divided_scale` for the scale of a block. Elements are compared with multiples of m * G, where they are
compared with multiples of m without g.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ..leaves.bits import repeat, shift_right, wire
from ..leaves.comparison import difference, exceeds, passes_constant
from ..leaves.compressor import Columns, add
from .form import G_BIAS, G_EXPONENT_BITS, G_MANTISSA_BITS, QuantizerForm, least_bits
from .records import TensorScale

__all__ = [
    "divided_power",
    "looked_up",
    "normalised",
    "normalised_largest",
    "read_tensor_scale",
    "saturated",
    "scaled_significand",
    "times",
    "total_of",
]


def normalised(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    """Shift left until the top bit is set, by the largest steps first.

    Returns:
        The shifted value, and by how much it was shifted; of zero the most that the digits allow.
    """
    count: list[Value] = []
    for k in reversed(range((len(value) - 1).bit_length())):
        step = 1 << k
        take = wire(m, ~value[len(value) - step :].any(), f"{name}_by_{step}")
        value = wire(m, Mux(take, Cat(Const(0, step), value)[: len(value)], value), f"{name}_moved_{step}")
        count.insert(0, take)
    return value, Cat(*count)


def total_of(m: Module, form: QuantizerForm, columns: Columns) -> Value:
    """Return the sum of columns, through wires that are named after them."""
    if not form.fast:
        return columns.total(m, "ripple")
    # As signals: a bit of a long Cat is walked as the whole of it.
    save, carry = (wire(m, row, f"{columns.name}_row_{k}") for k, row in enumerate(columns.carry_save(m)))
    return Cat(*add(m, list(save), list(carry), Const(0), "sklansky", f"{columns.name}_")[: columns.width])


def times(m: Module, value: Value, factor: int, name: str, *, fast: bool) -> Value:
    """Return 3, 5 or 7 times a number: by one adder."""
    shift = {3: 1, 5: 2, 7: 3}[factor]
    width = len(value) + factor.bit_length()
    zeros = [Const(0)] * factor.bit_length()
    moved = [*zeros[:shift], *value, *zeros[shift:]]
    other = [*(~bit for bit in value), *(~bit for bit in zeros)] if factor == 7 else [*value, *zeros]
    total = add(m, moved, other, Const(int(factor == 7)), "sklansky" if fast else "ripple", f"{name}_")
    return wire(m, Cat(*total[:width]), name)


def read_tensor_scale(m: Module, code: Value) -> TensorScale:
    """Return g from its binary32 code, normalised."""
    fraction, field = code[:G_MANTISSA_BITS], code[G_MANTISSA_BITS:-1]
    normal = wire(m, field.any(), "g_is_normal")
    significand, zeros = normalised(m, Cat(fraction, normal), "g")
    exponent = Signal(signed(G_EXPONENT_BITS), name="g_exponent")
    m.d.comb += exponent.eq(Cat(field[0] | ~normal, field[1:]) - zeros)
    return TensorScale(exponent, significand[:-1])


def looked_up(m: Module, index: Value, table: Sequence[int], width: int, name: str) -> Value:
    """Return the entry of a table at a place that is told by a number.

    Each digit is a diagram of multiplexers, and shares with all others what they have in common. A memory is
    not what is wanted: some tools would keep it as one.

    Args:
        m: The module to build in.
        index: The place.
        table: An entry for each number of as many digits.
        width: How many digits of entries are wanted.
        name: The wire's name, and what those of multiplexers begin with.
    """
    made: dict[tuple[int, ...], Value] = {}

    def digit(ones: tuple[int, ...]) -> Value:
        if len(set(ones)) == 1:
            return Const(ones[0])
        low, high = ones[: len(ones) // 2], ones[len(ones) // 2 :]
        if low == high:
            return digit(low)
        if ones not in made:
            choice = Mux(index[len(ones).bit_length() - 2], digit(high), digit(low))
            made[ones] = wire(m, choice, f"{name}_choice_{len(made)}")
        return made[ones]

    return wire(m, Cat(*(digit(tuple(one >> i & 1 for one in table)) for i in range(width))), name)


def saturated(m: Module, form: QuantizerForm, least: Value) -> Value:
    """Return the exponent of a least midpoint in as many bits as `least_bits` says."""
    bits = least_bits(form)
    sign, above = least[-1], least[bits - 1 : -1]
    over, under = ~sign & above.any(), sign & ~above.all()
    low = (least[: bits - 1] | repeat(over, bits - 1)) & repeat(~under, bits - 1)
    return wire(m, Cat(low, sign), "saturated_least")


def normalised_largest(m: Module, form: QuantizerForm, largest: Value) -> tuple[Value, Value]:
    """Return the exponent field of the largest magnitude, and its significand, normalised."""
    bits = form.input.mantissa_bits
    fraction, field = largest[:bits], largest[bits:]
    normal = wire(m, field.any(), "normal")
    significand, zeros = normalised(m, Cat(fraction, normal), "largest")
    exponent = Signal(signed(len(field) + 2), name="largest_exponent")
    m.d.comb += exponent.eq(Cat(field[0] | ~normal, field[1:]) - zeros)
    return exponent, significand


def divided_power(
    m: Module, form: QuantizerForm, exponent: Value, significand: Value, g: TensorScale, top: int
) -> Value:
    """Return the code of the scale that brings the largest magnitude to `top`, times g, a power of two.

    With A and G the significands, one or two comparisons of A with D = 3 G / 2 (or G) say where their
    quotient begins: there is an n of 0, 1 or 2 with A * 2**n from D to below 2 D. That is the exponent; and
    one more comparison, of twice what A * 2**n is above D with D, rounds.

    Args:
        m: The module to build in.
        form: How the quantizer is built.
        exponent: The field of the largest magnitude's exponent, with a sign, as if there were no subnormals.
        significand: Its significand, normalised; without a leading one it is zero.
        g: The tensor scale.
        top: 6 or 4; ``floor`` takes 4, whose exponent is that of 6.
    """
    scale, fast = form.scale, form.fast
    # As signals: a bit of a long Cat is walked as the whole of it.
    ones = wire(m, Cat(g.fraction, Const(1, 1)), "g_significand")
    # In units of the last bit of 3 G / 2.
    divisor: Value = wire(m, Cat(Const(0, 1), ones, Const(0, 1)), "divisor")
    if top == 6:
        divisor = times(m, ones, 3, "threefold_g", fast=fast)
    short = len(g.fraction) + 1 - (len(significand) - 1)

    def not_less(moved: int, name: str) -> Value:
        value = wire(
            m, Cat(Const(0, short + moved), significand, Const(0, 2))[: len(divisor)], f"{name}_value"
        )
        return exceeds(m, value, divisor, 1, name, fast=fast)

    at_once = not_less(0, "is_not_less")
    doubled: Value = Const(1)
    if top == 6:
        doubled = wire(m, at_once | not_less(1, "twice_is_not_less"), "doubled_is_not_less")
    moved = Mux(
        at_once,
        Cat(significand, Const(0, 2)),
        Mux(doubled, Cat(Const(0, 1), significand, Const(0, 1)), Cat(Const(0, 2), significand)),
    )
    numerator = wire(m, moved, "numerator")
    field = Signal(signed(form.exponent_room), name="quotient_field")
    offset = G_BIAS - form.input.bias + scale.bias - 4
    m.d.comb += field.eq(exponent - g.exponent + offset + at_once + doubled)
    positive = ~field[-1] if scale.powers_of_two else ~field[-1] & field.any()
    normal = wire(m, significand[-1] & positive, "is_normal")

    left: Value = wire(m, Cat(Const(0, short), numerator), "moved_numerator")
    divisor = wire(m, Cat(divisor, Const(0, 1)), "moved_divisor")
    assert len(left) == len(divisor)
    if scale.subnormals:
        # The least normal scale's significand has one place behind that of a subnormal.
        places = wire(m, (1 - field)[:1], "places")
        far = wire(m, field < 0, "far_below")
        shifted = shift_right(m, left, places & repeat(~normal, len(places)), "quotient_")
        left = wire(m, shifted & repeat(~far, len(shifted)), "dividend")
    if form.spec.method == "floor":
        up: Value = Const(0)
    elif form.spec.method == "ceil":
        up = wire(m, left != divisor, "is_above")
    else:
        # What is taken away is known: A * 2**n is from D to below 2 D, and where it was shifted, below D.
        rest, _ = difference(m, left, divisor, 1, len(divisor) - 1, "digit_0", fast=fast)
        rest = wire(m, Mux(normal, rest, left[:-1]), "left_0")
        left = wire(m, Cat(Const(0, 1), rest), "twice_left_0")
        up = exceeds(m, left, divisor, field[0] & normal, "rounds_up", fast=fast)
    whole = wire(m, field[:-1] & repeat(normal, len(field) - 1), "quotient_code")
    rounds = up & normal if scale.powers_of_two else up
    code = wire(m, (whole + rounds)[: len(whole)], "rounded_code")
    beyond = passes_constant(m, code, scale.largest_code, 0, "beyond_largest")
    code = wire(m, Mux(beyond, Const(scale.largest_code, scale.bits), code[: scale.bits]), "scale_code")
    if form.spec.method == "prevent_zero" and scale.zero_code is not None:
        code = wire(m, Cat(code[0] | (significand[-1] & ~code.any()), code[1:]), "prevented_code")
    return code


def scaled_significand(
    m: Module, form: QuantizerForm, significand: Value, g: TensorScale
) -> tuple[Value, Value]:
    """Return a scale's significand times that of g, behind its leading one, and whether it is 2 or more."""
    if len(significand) == 1:
        return g.fraction, Const(0)
    ones = wire(m, Cat(g.fraction, Const(1, 1)), "scaled_g")
    columns = Columns(len(ones) + len(significand), name="scaled", order=form.order, balanced=form.fast)
    for i, bit in enumerate(significand):
        columns.put_all(i, wire(m, ones & repeat(bit, len(ones)), f"scaled_by_{i}"))
    product = wire(m, total_of(m, form, columns), "scaled_significand")
    wraps = product[-1]
    fraction = wire(m, Mux(wraps, product[:-1], Cat(Const(0, 1), product[:-2])), "scaled_fraction")
    return fraction, wraps
