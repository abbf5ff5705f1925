"""Counting the ones in each column of aligned terms, before the loop of `aligned` shifts them further.

A negative term is inverted, and is then worth ``sum((b_i - 1) * 2**i)`` over its bits b_i, of which any may
be cut off. So with n negative terms and the counts B_i, the sum of all terms shifted by d is that of
``(B_i - n) * 2**(i - d)`` over the columns from d up. With n counted in every column above the topmost, that
is the counts shifted right, and n. A few rows of digits of counts are shifted in the loop then, instead of
every term.
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..leaves.bits import repeat, wire
from ..leaves.compressor import Adder, Columns

__all__ = ["ColumnCounts"]


class ColumnCounts(wiring.Component):
    """Count the ones in each column of terms that are inverted where they are negative.

    Combinational.

    Args:
        count: How many terms there are.
        width: Their width.
        adder: The adder at the end of each column's tree.
        order: Seed of the order in which bits enter the trees; changes no count.

    Attributes:
        negative: Term k's sign is bit k.
        aligned: Term k's magnitude is at bits ``[width * k, width * (k + 1))``.
        row: Digit j of the count of column i is bit ``width * j + i``.
        negatives: How many terms are negative.
    """

    negative: Signal
    aligned: Signal
    row: Signal
    negatives: Signal

    def __init__(self, *, count: int, width: int, adder: Adder, order: int = 0) -> None:
        self.count = count
        self.width = width
        self.adder: Adder = adder
        self.order = order
        digits = count.bit_length()
        super().__init__(
            {
                "negative": In(count),
                "aligned": In(count * width),
                "row": Out(digits * width),
                "negatives": Out(digits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        digits = len(self.negatives)

        def counted(bits: Value, name: str) -> Value:
            column = Columns(digits, order=self.order, name=name, balanced=self.adder != "ripple")
            for bit in bits:
                column.put(0, bit)
            return wire(m, column.total(m, self.adder), f"{name}_count")

        inverted = [
            wire(m, self.aligned.word_select(k, self.width) ^ repeat(sign, self.width), f"inverted_{k}")
            for k, sign in enumerate(self.negative)
        ]
        counts = [counted(Cat(*(term[i] for term in inverted)), f"column_{i}") for i in range(self.width)]
        m.d.comb += [
            self.row.eq(Cat(*(count[j] for j in range(digits) for count in counts))),
            self.negatives.eq(counted(self.negative, "negative")),
        ]
        return m
