"""A link of a chain of fused multiply-adds in binary32, in fixed point."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model import DotSpec
from ...model.accumulate.chain import chain_bounds, exact_products
from ..leaves.bits import repeat, wire
from ..leaves.compressor import Adder, add
from ..leaves.round import FRACTION_BITS

__all__ = ["ChainAdder", "ChainWidths", "RoundedTotal"]


@dataclass(frozen=True)
class ChainWidths:
    """How wide the sums of a chain are, after each product: signed integers of the products' quantum.

    Args:
        spec: What is computed.
    """

    spec: DotSpec

    @property
    def begun(self) -> int:
        """How many products the first rounding is of: as many as never need one, and one more."""
        return min(exact_products(self.spec) + 1, self.spec.block_size)

    def exact(self, products: int) -> int:
        """Return the width of the sum of so many products before it is rounded."""
        bounds = chain_bounds(self.spec)
        product = self.spec.largest_sum // self.spec.block_size
        if products <= self.begun:
            return (products * product).bit_length() + 1
        return (bounds[products - 2] + product).bit_length() + 1

    def rounded(self, products: int) -> int:
        """Return its width once it is rounded."""
        return chain_bounds(self.spec)[products - 1].bit_length() + 1


class RoundedTotal(wiring.Component):
    """Round an integer to the 24 bits of binary32, ties to even, without moving it.

    Every sum of products is a multiple of their quantum, far above the least binary32 number, and far below
    the largest. So all that binary32 does is to clear the bits below 24: nothing is normalised. How many
    these are is told from the digits above the 24th, in two's complement: of minus a power of two they tell
    one fewer, which is no less exact.

    Combinational.

    Args:
        exact_bits: Width of the integer, signed.
        total_bits: Width of the rounded one: it may be longer by a carry.
        adder: The adder of the carry.

    Attributes:
        exact: The integer.
        total: The integer rounded.
    """

    exact: Signal
    total: Signal

    def __init__(self, *, exact_bits: int, total_bits: int, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__({"exact": In(signed(exact_bits)), "total": Out(signed(total_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exact, width = self.exact, len(self.exact)
        most = max(width - 1 - (FRACTION_BITS + 1), 0)
        differs = wire(m, exact[:-1] ^ repeat(exact[-1], width - 1), "differs")
        # Bit k of this: more than k bits are dropped, so bit k is one of them.
        dropped: list[Value] = []
        for k in reversed(range(most)):
            longer = differs[FRACTION_BITS + 1 + k]
            dropped.insert(0, wire(m, longer | dropped[0] if dropped else longer, f"dropped_{k}"))
        # Bit k: k bits, and one more, are dropped just.
        above = [*dropped[1:], Const(0)]
        count = [wire(m, dropped[k] & ~above[k], f"count_{k}") for k in range(most)]
        half = Cat(*(count[k] & exact[k] for k in range(most))).any()
        last = Cat(*(count[k] & exact[k + 1] for k in range(most))).any()
        more = Cat(*(dropped[k + 1] & exact[k] for k in range(most - 1))).any() if most > 1 else Const(0)
        up = wire(m, half & (more | last), "up")
        # Ones where bits are dropped carry what is rounded up to the last place.
        filled = Cat(*(exact[k] | dropped[k] for k in range(most)), *exact[most:])
        grown = len(self.total) - width
        filled = wire(m, Cat(filled, repeat(exact[-1], grown)), "filled")
        carried = Cat(*add(m, list(filled), [Const(0)] * len(filled), up, self.adder)[:-1])
        carried = wire(m, carried, "carried")
        m.d.comb += self.total.eq(Cat(*(carried[k] & ~dropped[k] for k in range(most)), carried[most:]))
        return m


class ChainAdder(wiring.Component):
    """Add a product to a sum, in fixed point, exactly.

    Combinational.

    Args:
        total_bits: Width of the sum, signed.
        magnitude_bits: Width of the product's magnitude.
        exact_bits: Width of what they add up to.
        adder: The adder.

    Attributes:
        total: The sum.
        negative, magnitude: The product.
        exact: Both together.
    """

    total: Signal
    negative: Signal
    magnitude: Signal
    exact: Signal

    def __init__(self, *, total_bits: int, magnitude_bits: int, exact_bits: int, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__(
            {
                "total": In(signed(total_bits)),
                "negative": In(1),
                "magnitude": In(magnitude_bits),
                "exact": Out(signed(exact_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.exact)
        total = Cat(self.total, repeat(self.total[-1], width - len(self.total)))
        inverted = self.magnitude ^ repeat(self.negative, len(self.magnitude))
        product = wire(m, Cat(inverted, repeat(self.negative, width - len(self.magnitude))), "product")
        m.d.comb += self.exact.eq(Cat(*add(m, list(total), list(product), self.negative, self.adder)[:-1]))
        return m
