"""A block's term: its sum of products times the significands of its scales, and where it stands."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bits import count_leading_zeros, negated_if, repeat, shift_left, wire
from .compressor import Adder, Columns

__all__ = [
    "LeadingZeros",
    "Magnitude",
    "MagnitudeTerm",
    "PartialProducts",
    "Product",
    "SavedProduct",
    "SignedTerm",
    "WindowShift",
]


class MagnitudeTerm(wiring.Component):
    """Multiply a signed sum by significands, one after the other, giving sign and magnitude.

    Where carries ripple, a negative sum is negated by `negated_if`, which takes fewer gates than one more row
    in the first multiplier does. Else it is inverted bit by bit, which is faster; the one that its negation
    still lacks is worth one significand in the first product, so it enters that multiplier's tree as one more
    row instead of passing through an incrementer of the sum's width. Multiplying twice takes fewer adders
    than multiplying by the significands' product, as their own product need not be made.

    Combinational.

    Args:
        sum_bits: Width of the sum, signed.
        significand_bits: Widths of the significands, at least one.
        magnitude_bits: Width of the product's magnitude: wide enough for every product that can occur.
        adder: The adder at the end of each tree.
        order: Seed of the order in which bits enter the trees; changes no product.

    Attributes:
        total: The sum.
        significand_0, significand_1, ...: The significands.
        negative: The sum is below zero.
        magnitude: The product's magnitude.
    """

    total: Signal
    significand_0: Signal
    negative: Signal
    magnitude: Signal

    def __init__(
        self,
        *,
        sum_bits: int,
        significand_bits: Sequence[int],
        magnitude_bits: int,
        adder: Adder,
        order: int = 0,
    ) -> None:
        self.adder: Adder = adder
        self.order = order
        self.significands = len(significand_bits)
        super().__init__(
            {
                "total": In(signed(sum_bits)),
                **{f"significand_{k}": In(bits) for k, bits in enumerate(significand_bits)},
                "negative": Out(1),
                "magnitude": Out(magnitude_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        negative = self.total[-1]
        # |total| reaches 2**(sum_bits - 1) for no sum of products, so its magnitude is one bit narrower.
        total = self.total[:-1]
        rippled = self.adder == "ripple"
        product: Value = (
            wire(m, negated_if(m, total, negative, "total"), "absolute")
            if rippled
            else wire(m, total ^ repeat(negative, len(total)), "inverted")
        )
        for k in range(self.significands):
            significand = getattr(self, f"significand_{k}")
            last = k == self.significands - 1
            width = len(self.magnitude) if last else len(product) + len(significand)
            columns = Columns(width, order=self.order, name=f"tree_{k}")
            for i, bit in enumerate(significand):
                columns.put_all(i, [bit & other for other in product])
            if k == 0 and not rippled:
                columns.put_all(0, [negative & bit for bit in significand])
            product = wire(m, columns.total(m, self.adder), f"product_{k}")
        m.d.comb += [self.negative.eq(negative), self.magnitude.eq(product)]
        return m


class Product(wiring.Component):
    """Multiply two unsigned numbers, in few levels.

    Combinational.

    Args:
        a_bits: Width of a.
        b_bits: Width of b.
        product_bits: Width of the product: wide enough for every product that can occur.
        adder: The adder at the end of the tree.
        order: Seed of the order in which bits enter the tree; changes no product.

    Attributes:
        a, b: The numbers.
        product: Their product.
    """

    a: Signal
    b: Signal
    product: Signal

    def __init__(self, *, a_bits: int, b_bits: int, product_bits: int, adder: Adder, order: int = 0) -> None:
        self.adder: Adder = adder
        self.order = order
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(product_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = Columns(len(self.product), order=self.order, balanced=True)
        for i, bit in enumerate(self.b):
            columns.put_all(i, [bit & other for other in self.a])
        m.d.comb += self.product.eq(columns.total(m, self.adder))
        return m


class PartialProducts(wiring.Component):
    """Multiply two unsigned numbers, giving two numbers.

    The smaller form takes two bits of b at a time, as a digit from -2 to 2 (MacSorley, 1961): half the rows,
    each of a bit more gates. At 24 by 24 bits it is a sixth smaller and slower by a third. A row with a
    gate for each pair of bits is the faster form, and by recipes for delay no larger.

    Combinational.

    Args:
        a_bits: Width of a.
        b_bits: Width of b.
        balanced: Prefer few levels to few gates.
        order: Seed of the order in which bits enter the tree; changes no product.

    Attributes:
        a, b: The numbers.
        save, carry: Two numbers whose sum is the product, ``a_bits + b_bits`` wide, taken modulo that.
    """

    a: Signal
    b: Signal
    save: Signal
    carry: Signal

    def __init__(self, *, a_bits: int, b_bits: int, balanced: bool, order: int = 0) -> None:
        self.balanced = balanced
        self.order = order
        super().__init__(
            {
                "a": In(a_bits),
                "b": In(b_bits),
                "save": Out(a_bits + b_bits),
                "carry": Out(a_bits + b_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = Columns(len(self.save), order=self.order, balanced=self.balanced)
        if self.balanced:
            for i, bit in enumerate(self.b):
                columns.put_all(i, [bit & other for other in self.a])
        else:
            for i in range(0, len(self.b) + 1, 2):
                self._put_digit(m, columns, i)
        save, carry = columns.carry_save(m)
        m.d.comb += [self.save.eq(save), self.carry.eq(carry)]
        return m

    def _put_digit(self, m: Module, columns: Columns, place: int) -> None:
        """Put the product of a with the digit at two places of b, which the bit below them adds to."""
        low, middle, high = (self.b[k] if 0 <= k < len(self.b) else None for k in range(place - 1, place + 2))
        if middle is None:
            # Behind an even width the bit below is all there is.
            if low is not None:
                columns.put_all(place, [low & bit for bit in self.a])
            return
        one = wire(m, middle if low is None else low ^ middle, f"one_{place}")
        if high is None:
            two = wire(m, Const(0) if low is None else low & middle, f"two_{place}")
            columns.put_all(place, self._times(one, two))
            return
        two = wire(m, (high ^ middle) & ~one, f"two_{place}")
        row = wire(m, Cat(*(bit ^ high for bit in self._times(one, two))), f"row_{place}")
        columns.put_all(place, row)
        # Inverted it lacks one, and what is above it: -s * 2**k is ~s * 2**k - 2**k.
        columns.put(place, high)
        columns.put(place + len(row), ~high)
        columns.put_constant(-1 << (place + len(row)))

    def _times(self, one: Value, two: Value) -> list[Value]:
        """Return the bits of a, or of twice a, or of zero."""
        doubled = [Const(0), *self.a]
        return [(one & bit) | (two & below) for bit, below in zip([*self.a, Const(0)], doubled, strict=True)]


class LeadingZeros(wiring.Component):
    """Count the leading zeros of the product of two numbers before it is there.

    The product of two numbers of m and n bits whose top bits are set has m + n bits or one less. So its
    leading zeros, seen as a number of m + n bits, are those of the factors together, or one more.

    Combinational.

    Args:
        a_bits: Width of a.
        b_bits: Width of b.

    Attributes:
        a, b: The factors.
        count: Their leading zeros together; without meaning where a factor is zero.
    """

    a: Signal
    b: Signal
    count: Signal

    def __init__(self, *, a_bits: int, b_bits: int) -> None:
        super().__init__(
            {"a": In(a_bits), "b": In(b_bits), "count": Out((a_bits - 1 + b_bits - 1).bit_length())}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a_zeros, _ = count_leading_zeros(m, self.a, "a_")
        b_zeros, _ = count_leading_zeros(m, self.b, "b_")
        m.d.comb += self.count.eq(a_zeros + b_zeros)
        return m


class SavedProduct(wiring.Component):
    """Multiply a sum that is two numbers by a significand, giving two numbers.

    Multiplying both numbers spares the adder before the multiplication, where time is short and area is not.
    The two numbers' own sum must not wrap around, as its carry would be multiplied too: it is a positive
    number, so much larger than the sum, and that much times the significand is taken off here.

    Combinational.

    Args:
        sum_bits: Width of the two numbers, whose sum it holds.
        excess: A power of two: what the sum of the two numbers is too large by.
        significand_bits: Width of the significand.
        product_bits: Width of the product, which is taken modulo ``2**product_bits``.
        order: Seed of the order in which bits enter the tree; changes no product.

    Attributes:
        a_save, a_carry: Two numbers whose sum is that of products, and `excess`.
        significand: The significand.
        save, carry: Two numbers whose sum is the product, in two's complement.
    """

    a_save: Signal
    a_carry: Signal
    significand: Signal
    save: Signal
    carry: Signal

    def __init__(
        self, *, sum_bits: int, excess: int, significand_bits: int, product_bits: int, order: int = 0
    ) -> None:
        self.excess = excess
        self.order = order
        super().__init__(
            {
                "a_save": In(sum_bits),
                "a_carry": In(sum_bits),
                "significand": In(significand_bits),
                "save": Out(product_bits),
                "carry": Out(product_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = Columns(len(self.save), order=self.order, balanced=True)
        for i, bit in enumerate(self.significand):
            for number in (self.a_save, self.a_carry):
                columns.put_all(i, [bit & other for other in number])
        place = self.excess.bit_length() - 1
        # -s * 2**k is (~s + 1) * 2**k with ones above.
        columns.put_all(place, [~bit for bit in self.significand])
        columns.put_constant((1 - (1 << len(self.significand))) << place)
        save, carry = columns.carry_save(m)
        m.d.comb += [self.save.eq(save), self.carry.eq(carry)]
        return m


class SignedTerm(wiring.Component):
    """Multiply a signed sum by significands, one after the other, in two's complement.

    Combinational. The sum's top bit has negative weight: with x one of its partial products,
    ``-x * 2**k`` is ``~x * 2**k - 2**k``, and the constants add up to one (Baugh and Wooley, 1973).

    Args:
        sum_bits: Width of the sum, signed.
        significand_bits: Widths of the significands, at least one.
        term_bits: Width of the product, signed: wide enough for every product that can occur.
        adder: The adder at the end of each tree.
        order: Seed of the order in which bits enter the trees; changes no product.

    Attributes:
        total: The sum.
        significand_0, significand_1, ...: The significands.
        term: The product.
    """

    total: Signal
    term: Signal

    def __init__(
        self,
        *,
        sum_bits: int,
        significand_bits: Sequence[int],
        term_bits: int,
        adder: Adder,
        order: int = 0,
    ) -> None:
        self.adder: Adder = adder
        self.order = order
        self.significands = len(significand_bits)
        super().__init__(
            {
                "total": In(signed(sum_bits)),
                **{f"significand_{k}": In(bits) for k, bits in enumerate(significand_bits)},
                "term": Out(signed(term_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product: Value = self.total
        for k in range(self.significands):
            significand = getattr(self, f"significand_{k}")
            last = k == self.significands - 1
            width = len(self.term) if last else len(product) + len(significand)
            columns = Columns(width, order=self.order, name=f"tree_{k}", balanced=self.adder != "ripple")
            top = len(product) - 1
            for i, bit in enumerate(significand):
                columns.put_all(i, [bit & other for other in product[:top]])
                columns.put(i + top, ~(bit & product[top]))
                columns.put_constant(-1 << (i + top))
            product = wire(m, columns.total(m, self.adder), f"product_{k}")
        m.d.comb += self.term.eq(product)
        return m


class WindowShift(wiring.Component):
    """Place a signed term in a fixed-point window.

    Combinational.

    Args:
        term_bits: Width of the term, signed.
        exponent_bits: Width of the exponent.
        least_exponent: The least exponent that occurs; it places the term at bit 0.
        window_bits: Width of the window, signed: holds every placed term that can occur.

    Attributes:
        term: The term.
        exponent: Where to place it, unsigned.
        window: ``term << (exponent - least_exponent)``.
    """

    term: Signal
    exponent: Signal
    window: Signal

    def __init__(self, *, term_bits: int, exponent_bits: int, least_exponent: int, window_bits: int) -> None:
        self.least_exponent = least_exponent
        self.window_bits = window_bits
        super().__init__(
            {
                "term": In(signed(term_bits)),
                "exponent": In(exponent_bits),
                "window": Out(signed(window_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sign = self.term[-1]
        m.d.comb += self.window.eq(
            Cat(
                shift_left(
                    m,
                    self.term[:-1],
                    self.exponent,
                    least=self.least_exponent,
                    width=self.window_bits - 1,
                    fill=sign,
                ),
                sign,
            )
        )
        return m


class Magnitude(wiring.Component):
    """Split a signed number into sign and magnitude.

    Combinational.

    Args:
        bits: Width of the number, signed. Its least value does not occur.
        adder: The adder that adds the one of a negation.

    Attributes:
        value: The number.
        negative: It is below zero.
        magnitude: Its magnitude, one bit narrower.
    """

    value: Signal
    negative: Signal
    magnitude: Signal

    def __init__(self, *, bits: int, adder: Adder) -> None:
        self.adder: Adder = adder
        super().__init__({"value": In(signed(bits)), "negative": Out(1), "magnitude": Out(bits - 1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        negative = self.value[-1]
        columns = Columns(len(self.magnitude))
        inverted = wire(m, self.value[:-1] ^ repeat(negative, len(self.magnitude)), "inverted")
        columns.put_all(0, inverted)
        columns.put(0, negative)
        m.d.comb += [self.negative.eq(negative), self.magnitude.eq(columns.total(m, self.adder))]
        return m
