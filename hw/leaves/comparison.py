"""Comparing and choosing magnitudes: unsigned integers, in a small form and in one of little depth."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Value

from .bits import repeat, wire

__all__ = [
    "add_constant",
    "any_of",
    "count_passed",
    "difference",
    "exceeds",
    "largest_by_digits",
    "largest_of_few",
    "passes_constant",
]


def any_of(bits: Sequence[Value]) -> Value:
    """Return whether any of the bits is set."""
    return Cat(*bits).any() if bits else Const(0)


def exceeds(m: Module, a: Value, b: Value, equal: Value | int, name: str, *, fast: bool) -> Value:
    """Return whether a is greater than b; where they are equal, `equal`.

    Args:
        m: The module to build in.
        a: A number.
        b: Another, as wide.
        equal: What equal numbers give.
        name: What the wires' names begin with.
        fast: In logarithmic depth; else from digit to digit, the lowest first.
    """
    return difference(m, a, b, equal, 0, name, fast=fast)[1]


def difference(
    m: Module, a: Value, b: Value, carry: Value | int, digits: int, name: str, *, fast: bool
) -> tuple[Value, Value]:
    """Return the lowest digits of ``a + ~b + carry``, and what is carried out of all of them.

    With a carry of 1 the digits are those of ``a - b``, and what is carried out says that a is not less.

    Args:
        m: The module to build in.
        a: A number.
        b: Another, as wide.
        carry: What is carried in.
        digits: How many digits are wanted.
        name: What the wires' names begin with.
        fast: In logarithmic depth; else from digit to digit.
    """
    assert len(a) == len(b)
    width = len(a)
    carried: Value = Const(carry, 1) if isinstance(carry, int) else carry
    generate = [wire(m, a[i] & ~b[i], f"{name}_generate_{i}") for i in range(width)]
    propagate = [wire(m, a[i] | ~b[i], f"{name}_propagate_{i}") for i in range(width)]
    into = [carried]
    if fast:
        # Sklansky's prefixes, over the digits that are wanted; the carry out of all takes a plain tree.
        groups = list(zip(generate, propagate, strict=True))
        for i in range(min(digits, width)):
            above, through = _joined(m, groups[: i + 1], f"{name}_to_{i}")
            into.append(wire(m, above | (through & carried), f"{name}_carry_{i}"))
        above, through = _joined(m, groups, f"{name}_all")
        out = wire(m, above | (through & carried), f"{name}_out")
    else:
        for i in range(width):
            carried = wire(m, generate[i] | (propagate[i] & carried), f"{name}_carry_{i}")
            into.append(carried)
        out = carried
    return Cat(*(~(a[i] ^ b[i]) ^ into[i] for i in range(digits))), out


def _joined(m: Module, groups: Sequence[tuple[Value, Value]], name: str) -> tuple[Value, Value]:
    """Return what a run of digits, the lowest first, generates and what it lets through: by halves."""
    if len(groups) == 1:
        return groups[0]
    half = 1 << ((len(groups) - 1).bit_length() - 1)
    low, high = _joined(m, groups[:half], f"{name}_l"), _joined(m, groups[half:], f"{name}_h")
    return (
        wire(m, high[0] | (high[1] & low[0]), f"{name}_generate"),
        wire(m, high[1] & low[1], f"{name}_propagate"),
    )


def passes_constant(m: Module, value: Value, constant: int, equal: Value | int, name: str) -> Value:
    """Return whether a number is greater than a constant; where they are equal, `equal`.

    Args:
        m: The module to build in.
        value: The number.
        constant: Any integer from 0.
        equal: What equal numbers give.
        name: The wire's name.
    """
    if constant >> len(value):
        return Const(0)
    passed: Value = Const(equal, 1) if isinstance(equal, int) else equal
    known = equal if isinstance(equal, int) else None
    for i, bit in enumerate(value):
        if constant >> i & 1:
            passed, known = (
                (bit & passed, None) if known is None else (bit if known else Const(0), None if known else 0)
            )
        else:
            passed, known = (
                (bit | passed, None) if known is None else (Const(1) if known else bit, 1 if known else None)
            )
    return wire(m, passed, name)


def count_passed(passed: Sequence[Value], first: int, width: int) -> Value:
    """Return the lowest `width` digits of `first` plus the number of thresholds passed.

    Args:
        passed: Whether each threshold is passed, the lowest first: none is passed whose predecessor is not.
        first: The count where none is passed.
        width: Digits wanted.
    """
    digits: list[Value] = []
    for i in range(width):
        odd = [(first + count) >> i & 1 for count in range(len(passed) + 1)]
        digit: Value = Const(0)
        for begin in range(len(odd)):
            if odd[begin] and not (begin and odd[begin - 1]):
                end = next((k for k in range(begin, len(odd)) if not odd[k]), None)
                run = passed[begin - 1] if begin else Const(1)
                digit = digit | (run if end is None else run & ~passed[end - 1])
        digits.append(digit)
    return Cat(*digits)


def add_constant(
    m: Module, value: Value, constant: int, carry: Value | int, width: int, name: str, *, fast: bool
) -> Value:
    """Return the lowest `width` digits of ``value + constant + carry``.

    Args:
        m: The module to build in.
        value: A number, extended by zeros.
        constant: Any integer.
        carry: What is carried in.
        width: Digits wanted.
        name: What the wires' names begin with.
        fast: In logarithmic depth; else from digit to digit.
    """
    if fast:
        inverse = Const(~constant & ((1 << width) - 1), width)
        extended = Cat(value, Const(0, max(0, width - len(value))))[:width]
        return wire(m, difference(m, extended, inverse, carry, width, name, fast=True)[0], name)
    carried: Value = Const(carry, 1) if isinstance(carry, int) else carry
    digits: list[Value] = []
    for i in range(width):
        bit: Value = value[i] if i < len(value) else Const(0)
        odd = constant >> i & 1
        digits.append(~(bit ^ carried) if odd else bit ^ carried)
        carried = wire(m, bit | carried if odd else bit & carried, f"{name}_carry_{i}")
    return wire(m, Cat(*digits), name)


def largest_by_digits(
    m: Module, values: Sequence[Value], alive: Sequence[Value] | None, name: str
) -> tuple[Value, list[Value]]:
    """Return the largest of many numbers, and which of them it is.

    Digit by digit from the top: a digit of the largest is set if it is in any number that is still alive;
    where it is set, those in which it is not drop out. A number costs four gates a digit, and no multiplexer.

    Args:
        m: The module to build in.
        values: The numbers, equally wide.
        alive: Those that count; None where all do.
        name: What the wires' names begin with.

    Returns:
        The largest number, and for each whether it equals the largest (and counts).
    """
    still: list[Value] = [Const(1)] * len(values) if alive is None else list(alive)
    digits: list[Value] = []
    for i in reversed(range(len(values[0]))):
        offered = [
            wire(m, live & value[i], f"{name}_offer_{i}_{k}")
            for k, (live, value) in enumerate(zip(still, values, strict=True))
        ]
        digit = wire(m, any_of(offered), f"{name}_digit_{i}")
        digits.insert(0, digit)
        still = [
            wire(m, live & ~(digit & ~offer), f"{name}_alive_{i}_{k}")
            for k, (live, offer) in enumerate(zip(still, offered, strict=True))
        ]
    return Cat(*digits), still


def largest_of_few(m: Module, values: Sequence[Value], name: str) -> Value:
    """Return the largest of a few numbers: every pair is compared at once, and the winner is let through."""
    if len(values) == 1:
        return values[0]
    not_less: dict[tuple[int, int], Value] = {}
    for j in range(len(values)):
        for i in range(j):
            not_less[i, j] = exceeds(m, values[i], values[j], 1, f"{name}_{i}_{j}", fast=True)
            not_less[j, i] = ~not_less[i, j]
    through: Value = Const(0, len(values[0]))
    for i, value in enumerate(values):
        wins = wire(m, Cat(*(not_less[i, j] for j in range(len(values)) if j != i)).all(), f"{name}_wins_{i}")
        through = through | (value & repeat(wins, len(value)))
    return wire(m, through, name)
