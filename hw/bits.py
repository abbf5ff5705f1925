"""Small combinational functions, Value to Value: the only home of bit tricks.

Each names what it uses more than once as a signal of the module it is given: Amaranth walks an
expression as a tree, and one that shares its parts many times over would be walked without end.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = [
    "count_leading_zeros",
    "full_adder",
    "half_adder",
    "normalise",
    "repeat",
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


def repeat(bit: Value, width: int) -> Value:
    """Return `width` copies of one bit."""
    return Cat(*[bit] * width)


def normalise(m: Module, value: Value, limit: Value | None = None) -> tuple[Value, Value]:
    """Shift left until the top bit is set, halving the distance left at each step.

    Leading zeros and shift come from the same multiplexers: one OR and one row of them for each bit of
    the count, the largest distance first. This is the small normaliser; its depth is that of the ORs and
    multiplexers in a row.

    Args:
        m: The module to build in.
        value: The bits to shift, at least one.
        limit: The shift never exceeds this, if given: an unsigned value of any width.

    Returns:
        The shifted value, as wide as `value`, and the distance it was shifted by. Zero is shifted by the
        largest distance that the width of the count allows (or by the limit).
    """
    width = len(value)
    count: list[Value] = []
    # Digits from the top: a step is taken if the bits it would push out are zero and the limit, compared
    # digit by digit, leaves room. `tight` says that all digits so far equal the limit's.
    digits = max((width - 1).bit_length(), 0)
    tight: Value = Const(1)
    if limit is not None and len(limit) > digits:
        tight = ~limit[digits:].any()
    for k in reversed(range(digits)):
        step = 1 << k
        zero = ~value[width - step :].any()
        if limit is not None:
            digit = limit[k] if k < len(limit) else Const(0)
            take = wire(m, zero & (digit | ~tight), f"shift_by_{step}")
            tight = wire(m, tight & (take == digit), f"tight_{step}")
        else:
            take = wire(m, zero, f"shift_by_{step}")
        value = wire(m, Mux(take, Cat(Const(0, step), value[: width - step]), value), f"shifted_{step}")
        count.insert(0, take)
    return value, Cat(*count)


def count_leading_zeros(m: Module, value: Value) -> tuple[Value, Value]:
    """Count the zeros above the topmost set bit, by halves, in logarithmic depth.

    Args:
        m: The module to build in.
        value: The bits to look at, at least one.

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
            count = wire(m, Cat(Mux(any_high, count_high, count_low), ~any_high), f"zeros_{level}_{i}")
            merged.append((count, wire(m, any_low | any_high, f"any_{level}_{i}")))
        groups = merged
        level += 1
    return groups[0]


def shift_right_sticky(m: Module, value: Value, amount: Value) -> tuple[Value, Value]:
    """Shift right by `amount` and say whether a set bit was lost.

    Args:
        m: The module to build in.
        value: The bits to shift.
        amount: The distance, unsigned; any distance from the width on loses everything.

    Returns:
        The shifted value, as wide as `value`, and the sticky bit.
    """
    width = len(value)
    sticky: Value = Const(0)
    useful = width.bit_length()
    for k in range(min(len(amount), useful)):
        step = min(1 << k, width)
        sticky = wire(m, sticky | (amount[k] & value[:step].any()), f"lost_{k}")
        value = wire(m, Mux(amount[k], Cat(value[step:], Const(0, step)), value), f"right_{k}")
    if len(amount) > useful:
        beyond = amount[useful:].any()
        sticky = sticky | (beyond & value.any())
        value = value & repeat(~beyond, width)
    return value, sticky
