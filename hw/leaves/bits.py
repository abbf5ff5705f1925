"""Small combinational functions, Value to Value: the only home of bit tricks.

Each names what it uses more than once as a signal of the module it is given: Amaranth walks an
expression as a tree, and one that shares its parts many times over would be walked without end.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = [
    "barrel_left",
    "barrel_left_kept",
    "count_leading_zeros",
    "full_adder",
    "half_adder",
    "last_digit",
    "leading_digits",
    "negated_if",
    "normalise",
    "normalise_kept",
    "repeat",
    "shift_left",
    "shift_right",
    "shift_right_sticky",
    "wire",
]


def wire(m: Module, value: Value, name: str) -> Signal:
    """Return a signal of that name, driven with `value` and as wide, unsigned."""
    signal = Signal(len(value), name=name)
    m.d.comb += signal.eq(value)
    return signal


def half_adder(m: Module, a: Value, b: Value, name: str) -> tuple[Value, Value]:
    """Return sum and carry of two bits, as signals ``{name}_sum`` and ``{name}_carry``."""
    return wire(m, a ^ b, f"{name}_sum"), wire(m, a & b, f"{name}_carry")


def full_adder(m: Module, a: Value, b: Value, c: Value, name: str) -> tuple[Value, Value]:
    """Return sum and carry of three bits, as signals ``{name}_sum`` and ``{name}_carry``.

    The exclusive or of a and b is shared by both; c should be the bit that arrives last.
    """
    half = wire(m, a ^ b, f"{name}_half")
    return wire(m, half ^ c, f"{name}_sum"), wire(m, (a & b) | (half & c), f"{name}_carry")


def negated_if(m: Module, value: Value, negative: Value, name: str) -> Value:
    """Return a number, or zero less it where `negative` is set, as wide as it is.

    Negation keeps the lowest bit that is set and the zeros below it, and inverts all bits above. One OR for
    each bit, in a row, tells which those are.

    Args:
        m: The module to build in.
        value: The number, at least one bit.
        negative: Whether to negate it.
        name: What the wires' names begin with.
    """
    bits: list[Value] = [value[0]]
    below: Value = Const(0)
    for k in range(1, len(value)):
        below = wire(m, below | value[k - 1], f"{name}_below_{k}")
        bits.append(value[k] ^ (negative & below))
    return Cat(*bits)


def repeat(bit: Value, width: int) -> Value:
    """Return `width` copies of one bit."""
    return Cat(*[bit] * width)


def normalise(m: Module, value: Value, limit: Value | None = None) -> tuple[Value, Value]:
    """Shift left until the top bit is set; see `normalise_kept`, of which this keeps everything.

    Returns:
        The shifted value, as wide as `value`, and the distance it was shifted by.
    """
    shifted, count, _ = normalise_kept(m, value, len(value), limit)
    return shifted, count


def normalise_kept(
    m: Module, value: Value, keep: int, limit: Value | None = None, sign: Value | None = None
) -> tuple[Value, Value, Value]:
    """Shift left until the top bit is set, halving the distance left at each step, and keep the top bits.

    Leading zeros and shift come from the same multiplexers: one OR and one row of them for each bit of
    the count, the largest distance first. A row is no wider than the bits that can still come to be kept.
    This is the small normaliser; its depth is that of the ORs and multiplexers in a row.

    Args:
        m: The module to build in.
        value: The bits to shift, at least one.
        keep: Bits to keep.
        limit: The shift never exceeds this, if given: an unsigned value of any width.
        sign: Shift until the top bit differs from this one, instead of from zero.

    Returns:
        The top `keep` bits of the shifted value (all of it, if it is narrower); the distance it was shifted
        by; and whether any bit that is not kept is set. Zero is shifted by the largest distance that the
        width of the count allows (or by the limit), ones all over by no more than the width.
    """
    width = len(value)
    count: list[Value] = []
    lost: Value = Const(0)
    # Digits from the top: a step is taken if the bits it would push out are zero and the limit, compared
    # digit by digit, leaves room. `tight` says that all digits so far equal the limit's.
    digits = max((width - 1).bit_length(), 0)
    tight: Value = Const(1)
    if limit is not None and len(limit) > digits:
        tight = ~limit[digits:].any()
    for k in reversed(range(digits)):
        step = 1 << k
        above = value[len(value) - step :]
        zero = ~above.any() if sign is None else Mux(sign, above.all(), ~above.any())
        if limit is not None:
            digit = limit[k] if k < len(limit) else Const(0)
            take = wire(m, zero & (digit | ~tight), f"shift_by_{step}")
            tight = wire(m, tight & (take == digit), f"tight_{step}")
        else:
            take = wire(m, zero, f"shift_by_{step}")
        value, lost = _left(m, value, take, step, keep, lost, f"shifted_{step}")
        count.insert(0, take)
    return value, Cat(*count), lost


def _left(
    m: Module, value: Value, take: Value, step: int, keep: int, lost: Value, name: str
) -> tuple[Value, Value]:
    """Shift left by a step if `take`, where smaller steps follow and the top `keep` bits are wanted."""
    width = len(value)
    dropped = max(0, width - (keep + step - 1))
    moved = Cat(Const(0, step), value)[:width]
    shifted = wire(m, Mux(take, moved[dropped:], value[dropped:]), name)
    if dropped:
        lost = lost | (~take & value[:dropped].any())
    if dropped > step:
        lost = lost | value[: dropped - step].any()
    return shifted, lost


def count_leading_zeros(m: Module, value: Value, name: str = "") -> tuple[Value, Value]:
    """Count the zeros above the topmost set bit, by halves, in logarithmic depth.

    Args:
        m: The module to build in.
        value: The bits to look at, at least one.
        name: What the wires' names begin with.

    Returns:
        The count, ``(len(value) - 1).bit_length()`` bits wide and without meaning if no bit is set, and
        a bit that says whether any is set. The value is padded with zeros below, which changes no count.
    """
    width = len(value)
    digits = (width - 1).bit_length()
    padded = Cat(Const(0, (1 << digits) - width), value)
    # (count, any) of ever wider groups, the topmost group last.
    groups: list[tuple[Value, Value]] = [(Const(0, 0), bit) for bit in padded]
    level = 0
    while len(groups) > 1:
        merged: list[tuple[Value, Value]] = []
        for i, (low, high) in enumerate(zip(groups[::2], groups[1::2], strict=True)):
            count_low, any_low = low
            count_high, any_high = high
            count = wire(m, Cat(Mux(any_high, count_high, count_low), ~any_high), f"{name}zeros_{level}_{i}")
            merged.append((count, wire(m, any_low | any_high, f"{name}any_{level}_{i}")))
        groups = merged
        level += 1
    return groups[0]


def leading_digits(m: Module, a: Value, b: Value, above: Value, name: str = "") -> Value:
    """Tell where the sum of two numbers begins before it is there.

    A digit of the sum is told from three neighbouring digits of the two numbers, the carry aside (Schmookler
    and Nowka, 2001): the topmost digit so told is the topmost one of the sum that differs from its sign, or
    the one above.

    Args:
        m: The module to build in.
        a: Digits of one number.
        b: As many of the other.
        above: The digits above those differ, as do those above numbers of which one is subtracted. Where they
            are alike and the topmost digits differ, the sum begins at once, which is not told.
        name: What the wires' names begin with.

    Returns:
        The digits, as many.
    """
    width = len(a)
    propagate = wire(m, a ^ b, f"{name}lza_propagate")
    generate = wire(m, a & b, f"{name}lza_generate")
    kill = wire(m, ~(a | b), f"{name}lza_kill")
    digits: list[Value] = []
    for k in range(width):
        below_generate = generate[k - 1] if k else Const(0)
        below_kill = kill[k - 1] if k else Const(0)
        digits.append(
            Mux(
                propagate[k + 1] if k + 1 < width else above,
                (generate[k] & ~below_kill) | (kill[k] & ~below_generate),
                (kill[k] & ~below_kill) | (generate[k] & ~below_generate),
            )
        )
    return wire(m, Cat(*digits), f"{name}lza_digits")


def last_digit(field: Value, width: int) -> Value:
    """Set the last digit that may be shifted to the top, ``field - 1`` places below it.

    Beside the digits that tell where a number begins it keeps a subnormal one as it is stored.

    Args:
        field: Exponent field of the topmost digit, at least 1.
        width: Width of the number.

    Returns:
        The digits, none of them set where the field has room for any shift.
    """
    return Cat(*(field == width - k for k in range(width)))


def barrel_left(m: Module, value: Value, distance: Value) -> Value:
    """Shift left by `distance`, unsigned; see `barrel_left_kept`, of which this keeps everything."""
    return barrel_left_kept(m, value, distance, len(value))[0]


def barrel_left_kept(m: Module, value: Value, distance: Value, keep: int) -> tuple[Value, Value]:
    """Shift left by `distance`, unsigned, in as many rows of multiplexers as it has digits.

    The largest steps come first: their digits are those that a count of leading zeros knows first. Bits
    shifted beyond the top are lost.

    Returns:
        The top `keep` bits of the shifted value (all of it, if it is narrower), and whether any bit below
        them is set.
    """
    lost: Value = Const(0)
    for k in reversed(range(len(distance))):
        value, lost = _left(m, value, distance[k], 1 << k, keep, lost, f"left_{1 << k}")
    below = max(0, len(value) - keep)  # where there is no distance at all
    return value[below:], lost | value[:below].any()


def shift_left(m: Module, value: Value, distance: Value, *, least: int, width: int, fill: Value) -> Value:
    """Shift left by ``distance - least``, where the distance is known not to be below `least`.

    Shifting by the whole distance, and dropping the lowest bits of the result, which are then zero, spares
    the subtraction. The smallest steps come first, while the value is still narrow.

    Args:
        m: The module to build in.
        value: The bits to shift.
        distance: The distance, unsigned.
        least: The least distance that occurs.
        width: Width of the result; bits shifted beyond it are lost.
        fill: The bit that stands above `value`: its sign, or zero.
    """
    whole = width + least
    value = value[:whole]
    for k, digit in enumerate(distance):
        step = 1 << k
        grown = min(len(value) + step, whole)
        straight = Cat(value, repeat(fill, grown - len(value)))
        shifted = Cat(Const(0, step), value)[:grown]
        value = wire(m, Mux(digit, shifted, straight), f"left_{step}")
    return Cat(value, repeat(fill, whole - len(value)))[least:]


def shift_right(
    m: Module, value: Value, amount: Value, name: str = "", *, fill: Value | None = None
) -> Value:
    """Shift right by `amount`, unsigned, dropping what is shifted out; see `shift_right_sticky`.

    Args:
        m: The module to build in.
        value: The bits to shift.
        amount: The distance, unsigned.
        name: What the wires' names begin with.
        fill: The bit that comes in above: its sign; zero where it is None.
    """
    width = len(value)
    useful = width.bit_length()
    for k in range(min(len(amount), useful)):
        step = min(1 << k, width)
        above = Const(0, step) if fill is None else repeat(fill, step)
        value = wire(m, Mux(amount[k], Cat(value[step:], above), value), f"{name}right_{k}")
    if len(amount) <= useful:
        return value
    beyond = amount[useful:].any()
    if fill is None:
        return value & repeat(~beyond, width)
    return Mux(beyond, repeat(fill, width), value)


def shift_right_sticky(
    m: Module, value: Value, amount: Value, name: str = "", *, saturate: bool = False
) -> tuple[Value, Value]:
    """Shift right by `amount` and say whether a set bit was lost.

    Args:
        m: The module to build in.
        value: The bits to shift.
        amount: The distance, unsigned; any distance from the width on loses everything.
        name: What the wires' names begin with.
        saturate: Make the largest distance of what is too large, which takes fewer gates than clearing the
            value behind the shift, and is later.

    Returns:
        The shifted value, as wide as `value`, and the sticky bit.
    """
    width = len(value)
    sticky: Value = Const(0)
    useful = width.bit_length()
    if saturate and len(amount) > useful:
        amount = wire(m, amount[:useful] | repeat(amount[useful:].any(), useful), f"{name}amount")
    for k in range(min(len(amount), useful)):
        step = min(1 << k, width)
        sticky = wire(m, sticky | (amount[k] & value[:step].any()), f"{name}lost_{k}")
        value = wire(m, Mux(amount[k], Cat(value[step:], Const(0, step)), value), f"{name}right_{k}")
    if len(amount) > useful:
        beyond = amount[useful:].any()
        sticky = sticky | (beyond & value.any())
        value = value & repeat(~beyond, width)
    return value, sticky
