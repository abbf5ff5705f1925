"""Adders of an exact sum: a window added in fixed point, and the carries that were kept."""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..leaves.bits import repeat
from ..leaves.compressor import Adder, add

__all__ = ["CarryAdder", "WindowAdder", "kept_carries"]


def kept_carries(bits: int, segment: int | None) -> int:
    """Return how many carries an accumulator of so many bits keeps: one between each two segments."""
    return 0 if segment is None else -(-bits // segment) - 1


class WindowAdder(wiring.Component):
    """Add a group's window to the exact accumulator.

    Without segments a carry may run from the lowest bit to the highest. With them, the carry out of a segment
    is kept, as a bit of the accumulator's own, and added one cycle later; so the time that an addition takes
    is that of a segment, however wide the accumulator is. Segments of one bit make it a carry-save register.

    Combinational.

    Args:
        window_bits: Width of the window, signed.
        accumulator_bits: Width of the accumulator, signed.
        adder: The adder, of the whole or of each segment.
        segment: Bits of a segment; the topmost may have fewer. None for no segments.

    Attributes:
        accumulator: The sum so far, or with segments what `CarryAdder` makes the sum of.
        carries: The carries kept so far: number k is worth ``2**(segment * (k + 1))``. Only with segments.
        window: What is added.
        result: Their sum, modulo ``2**accumulator_bits``.
        kept: The carries that belong to it. Only with segments.
    """

    accumulator: Signal
    window: Signal
    carries: Signal
    kept: Signal
    result: Signal

    def __init__(
        self, *, window_bits: int, accumulator_bits: int, adder: Adder, segment: int | None = None
    ) -> None:
        self.adder: Adder = adder
        self.segment = segment
        count = kept_carries(accumulator_bits, segment)
        super().__init__(
            {
                "accumulator": In(signed(accumulator_bits)),
                **({"carries": In(count)} if count else {}),
                "window": In(signed(window_bits)),
                "result": Out(signed(accumulator_bits)),
                **({"kept": Out(count)} if count else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.result)
        guard = width - len(self.window)
        extended = Cat(self.window, repeat(self.window[-1], guard)) if guard else self.window
        segment = self.segment or width
        carries = [Const(0), *(self.carries if segment < width else ())]
        sums, kept = [], []
        for start, carry in zip(range(0, width, segment), carries, strict=True):
            part = slice(start, start + segment)
            name = "" if segment == width else f"from_{start}_"
            *total, out = add(m, list(self.accumulator[part]), list(extended[part]), carry, self.adder, name)
            sums += total
            kept.append(out)
        m.d.comb += self.result.eq(Cat(*sums))
        if segment < width:
            # A carry out of the top is beyond the accumulator.
            m.d.comb += self.kept.eq(Cat(*kept[:-1]))
        return m


class CarryAdder(wiring.Component):
    """Add the carries that an accumulator kept to what it holds.

    Combinational.

    Args:
        accumulator_bits: Width of the accumulator.
        segment: See `WindowAdder`.
        adder: The adder.

    Attributes:
        accumulator, carries: See `WindowAdder`.
        total: Their sum, modulo ``2**accumulator_bits``.
    """

    accumulator: Signal
    carries: Signal
    total: Signal

    def __init__(self, *, accumulator_bits: int, segment: int, adder: Adder) -> None:
        self.segment = segment
        self.adder: Adder = adder
        super().__init__(
            {
                "accumulator": In(accumulator_bits),
                "carries": In(kept_carries(accumulator_bits, segment)),
                "total": Out(accumulator_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Nothing is added to the lowest segment, so that no carry leaves it.
        low, high = self.accumulator[: self.segment], self.accumulator[self.segment :]
        addend: list[Value] = [Const(0)] * len(high)
        addend[:: self.segment] = list(self.carries)
        total = add(m, list(high), addend, Const(0), self.adder)
        m.d.comb += self.total.eq(Cat(low, *total[:-1]))
        return m
