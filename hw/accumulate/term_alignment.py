"""What `aligned` does with terms before its loop: their largest exponent, and their alignment to it.

`AlignedAdder` does both inside the loop. Before it a register may stand behind each, as neither needs the
sum so far. Where that has a larger exponent, the loop shifts the terms by the rest. A magnitude cut off twice
is what it would be cut off once: ``floor(floor(x / 2**j) / 2**k)`` is ``floor(x / 2**(j + k))``.
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..leaves.bits import shift_right, wire
from .aligned_products import AlignedProducts, ProductSearch
from .aligned_terms import AlignedTerms, ExponentSearch

__all__ = ["LargestExponent", "LargestProductExponent", "ProductAligner", "TermAligner"]


class LargestExponent(ExponentSearch, wiring.Component):
    """Find the largest exponent of a group's terms.

    Combinational. It is no less than the least that a sum so far can have: no sum is aligned to less.

    Args:
        terms: What a group brings.

    Attributes:
        exponent: As that of `AlignedAdder`.
        largest: The largest exponent, biased as the result's.
    """

    largest: Signal

    def __init__(self, terms: AlignedTerms) -> None:
        self.terms = terms
        super().__init__({**self._exponent_ports(), "largest": Out(terms.largest_shape)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.largest.eq(self._searched(m))
        return m


class LargestProductExponent(ProductSearch, LargestExponent):
    """The same where each term is a product: `exponent` and `scale` are those of `ProductAdder`."""

    def __init__(self, terms: AlignedProducts) -> None:
        self.products = terms
        super().__init__(terms)


class TermAligner(ExponentSearch, wiring.Component):
    """Align terms to the largest of their exponents, and cut them off there.

    Combinational.

    Args:
        terms: What a group brings.

    Attributes:
        magnitude, exponent: As those of `AlignedAdder`.
        largest: See `LargestExponent`.
        aligned: Term k, cut off, is at bits ``[term_bits * k, term_bits * (k + 1))``.
    """

    magnitude: Signal
    largest: Signal
    aligned: Signal

    def __init__(self, terms: AlignedTerms) -> None:
        self.terms = terms
        super().__init__(
            {
                "magnitude": In(terms.count * terms.magnitude_bits),
                **self._exponent_ports(),
                "largest": In(terms.largest_shape),
                "aligned": Out(terms.count * terms.term_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms = self.terms
        aligned: list[Value] = []
        for k, below in enumerate(self._below(m, self.largest)):
            magnitude = self.magnitude.word_select(k, terms.magnitude_bits)
            distance = wire(m, below, f"distance_{k}")
            aligned.append(shift_right(m, terms.placed(magnitude), distance, f"term_{k}_"))
        m.d.comb += self.aligned.eq(Cat(*aligned))
        return m


class ProductAligner(ProductSearch, TermAligner):
    """The same where each term is a product: `exponent` and `scale` are those of `ProductAdder`."""

    def __init__(self, terms: AlignedProducts) -> None:
        self.products = terms
        super().__init__(terms)
