"""The sum of `aligned` as its loop keeps it: not normalised, and so ready one shift earlier.

`AlignedAdder` looks for the largest exponent, aligns, adds and normalises in one cycle. In a pipeline, all of
that but what needs the sum so far stands before the loop (`term_alignment`, `column_counts`) or behind it:

- `UnnormalisedAdder` is the loop. The sum so far is what the last addition made, beside the exponent that
  it was made at. It is cut off to the result's bits, toward zero, where the next addition reads it.
- `SumResult` normalises and packs it, once a sum, behind the loop.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import barrel_left_kept, count_leading_zeros, repeat, shift_right, wire
from ..leaves.compressor import AbsoluteAdder, Adder, Columns, prefixes
from ..leaves.round import Normalise
from .aligned_terms import AlignedTerms

__all__ = ["SumResult", "UnnormalisedAdder", "sum_exponents"]


def sum_exponents(terms: AlignedTerms) -> Shape:
    """Return the shape of the exponent that a sum is made at, biased as the result's."""
    greatest = max(terms.target.infinity_field, terms.exponents.greatest)
    return Shape.cast(range(min(terms.least_largest, 0), greatest + 1))


class UnnormalisedAdder(wiring.Component):
    """Add terms, aligned among themselves, to a sum that is kept as the last addition left it.

    Combinational. The sum so far is worth ``magnitude * 2**(exponent - bias - fraction)``, cut off toward
    zero to the bits of the result's format. Its place beside the terms is found in two ways side by side:
    where the terms have the larger exponent, how far it is shifted is the difference of two exponents that
    are known before its leading zeros; and where it has the larger one, its leading one has a place of its
    own.

    Args:
        terms: What a group brings.
        adder: A prefix adder.
        order: Seed of the order in which bits enter the tree; changes no sum.
        infinite: Whether a term can be infinite.

    Attributes:
        first: The sum so far is zero, whatever its members say.
        own_negative, own_exponent, own_magnitude: The sum so far.
        own_nan: It is NaN.
        own_infinite: It is infinite above zero (bit 0), or below (bit 1); no such port where no sum is.
        largest: The largest exponent of the terms.
        row: See `ColumnCounts`; of one term its magnitude.
        negatives: See `ColumnCounts`.
        nan: A term is NaN.
        infinite: A term is infinite above zero (bit 0), or below (bit 1); no such port where none can be.
        next_negative, next_exponent, next_magnitude, next_nan, next_infinite: The new sum.
    """

    first: Signal
    own_negative: Signal
    own_exponent: Signal
    own_magnitude: Signal
    own_nan: Signal
    own_infinite: Signal
    largest: Signal
    row: Signal
    negatives: Signal
    nan: Signal
    infinite: Signal
    next_negative: Signal
    next_exponent: Signal
    next_magnitude: Signal
    next_nan: Signal
    next_infinite: Signal

    def __init__(self, terms: AlignedTerms, *, adder: Adder, order: int = 0, infinite: bool = False) -> None:
        self.terms = terms
        self.adder: Adder = adder
        self.order = order
        exponent, magnitude = sum_exponents(terms), terms.sum_bits - 1
        infinities = terms.overflow or infinite
        super().__init__(
            {
                "first": In(1),
                "own_negative": In(1),
                "own_exponent": In(exponent),
                "own_magnitude": In(magnitude),
                "own_nan": In(1),
                **({"own_infinite": In(2)} if infinities else {}),
                "largest": In(terms.largest_shape),
                "row": In(terms.count_bits * terms.term_bits),
                "negatives": In(terms.count_bits),
                "nan": In(1),
                **({"infinite": In(2)} if infinite else {}),
                "next_negative": Out(1),
                "next_exponent": Out(exponent),
                "next_magnitude": Out(magnitude),
                "next_nan": Out(1),
                **({"next_infinite": Out(2)} if infinities else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms, numbers, magnitude = self.terms, self.terms.numbers, self.own_magnitude
        zeros, some = count_leading_zeros(m, magnitude)
        nothing = wire(m, ~some | self.first, "nothing")
        # The exponent of the topmost digit, and how far it is above the largest of the terms.
        top = self._signal(m, self.own_exponent + (len(magnitude) - 1 - terms.fraction), "top_exponent")
        own = self._signal(m, top - zeros, "own_reads")
        above = self._signal(m, top - self.largest, "top_above")
        back = self._signal(m, above - zeros, "own_above")
        low: Value = Const(0)
        aligned_to: Value = self.largest
        if numbers.subnormal:
            # Subnormal numbers have the exponent of the least normal one.
            low = wire(m, top <= zeros, "own_is_low")
            own = self._signal(m, Mux(low, 1, own), "own_exponent_limited")
            back = self._signal(m, Mux(low, 1 - self.largest, back), "own_above_limited")
            aligned_to = self._signal(m, Mux(self.largest < 1, 1, self.largest), "no_less_than_low")
        ahead = back >= 0
        if terms.exponents.zero_counts:
            zero = terms.exponents.zero
            own = self._signal(m, Mux(nothing, zero, own), "own_or_zero")
            back = self._signal(m, Mux(nothing, zero - self.largest, back), "zero_above")
            ahead = back >= 0
        else:
            # A zero is never ahead of a number.
            ahead = ahead & ~nothing
        ahead = wire(m, ahead, "own_ahead")
        placed = self._placed(m, zeros, aligned_to, ahead & ~low)
        rows = self._rows(m, back, ahead)
        negative, total = (self._one if terms.count == 1 else self._many)(m, platform, placed, rows)
        exponent = self._signal(m, Mux(ahead, own, self.largest), "made_at")
        if numbers.least_field < 1 - terms.target.fraction_bits:
            # Bits below the least subnormal number.
            last = terms.fraction + 1 - terms.target.fraction_bits
            total = total & Cat(*(exponent >= last - i for i in range(len(total))))
        m.d.comb += [
            self.next_negative.eq(negative),
            self.next_exponent.eq(exponent),
            self.next_magnitude.eq(total),
        ]
        self._special(m, own, nothing)
        return m

    @staticmethod
    def _signal(m: Module, value: Value, name: str) -> Signal:
        """Return a signal of that name, with the value's own shape."""
        signal = Signal(value.shape(), name=name)
        m.d.comb += signal.eq(value)
        return signal

    def _placed(self, m: Module, zeros: Value, aligned_to: Value, topmost: Value) -> Value:
        """Return the sum so far beside the terms, its sign aside: `accumulator_bits` wide."""
        terms, magnitude = self.terms, self.own_magnitude
        width, digits = terms.accumulator_bits, terms.target.fraction_bits + 1
        # Where it is ahead: its leading one at the top, and as many digits behind it as there are.
        keep = min(digits, width)
        kept, _ = barrel_left_kept(m, magnitude, zeros, keep)
        leading = Cat(Const(0, width - len(kept)), kept)
        # Where the terms are: at their exponent, without what is behind these digits.
        cut = Cat(*(~magnitude[i + digits :].any() for i in range(len(magnitude))))
        whole = wire(m, magnitude & cut, "own_cut")
        amount = self._signal(m, (aligned_to + terms.fraction) - self.own_exponent, "own_behind")
        behind = shift_right(m, Cat(Const(0, terms.fraction), whole), amount[: len(amount) - 1], "own_")
        topmost, below = (
            wire(m, topmost & ~self.first, "takes_leading"),
            wire(m, ~(topmost | self.first), "takes_behind"),
        )
        return wire(
            m, (leading & repeat(topmost, width)) | (behind[:width] & repeat(below, width)), "own_placed"
        )

    def _rows(self, m: Module, back: Value, ahead: Value) -> list[Value]:
        """Return the rows of counts, shifted where the sum so far is ahead; without their fill."""
        terms, width = self.terms, self.terms.term_bits
        amount = back[: len(back) - 1]
        useful = width.bit_length()
        beyond = wire(m, amount[useful:].any(), "beyond") if len(amount) > useful else Const(0)
        some, none = wire(m, ahead & ~beyond, "terms_behind"), wire(m, ahead & beyond, "terms_gone")
        rows: list[Value] = []
        for j in range(terms.count_bits):
            row, fill = self.row.word_select(j, width), self._fill(j)
            if terms.count == 1:
                row = wire(m, row ^ repeat(fill, width), "term")
            shifted = shift_right(m, row, amount[:useful], f"row_{j}_", fill=fill)
            rows.append(
                wire(
                    m,
                    (row & repeat(~ahead, width))
                    | (shifted & repeat(some, width))
                    | repeat(none & fill, width),
                    f"aligned_{j}",
                )
            )
        return rows

    def _fill(self, j: int) -> Value:
        """Return what is above a row: of one term, whether the sum so far has the other sign."""
        return self.negatives[0] ^ self.own_negative if self.terms.count == 1 else self.negatives[j]

    def _one(self, m: Module, platform: object, placed: Value, rows: list[Value]) -> tuple[Value, Value]:
        """Add one term: no tree, and no sign to be added, as the sum so far is taken to be positive."""
        del platform
        width = self.terms.sum_bits
        differs = wire(m, self._fill(0), "signs_differ")
        term = Cat(rows[0], repeat(differs, width - len(rows[0])))
        own = Cat(placed, Const(0, width - len(placed)))
        half, spans = prefixes(m, list(own), list(term), self.adder)
        below = [(Const(0), Const(1)), *spans[:-1]]
        plain = Cat(*(bit ^ generate for bit, (generate, _) in zip(half, below, strict=True)))
        one_more = Cat(
            *(bit ^ (generate | propagate) for bit, (generate, propagate) in zip(half, below, strict=True))
        )
        less = wire(m, differs & one_more[-1], "is_less")
        more = wire(m, differs & ~one_more[-1], "is_more")
        # A sum of zero is positive, whichever zeros were added.
        zero = wire(m, Mux(differs, spans[-1][1], ~(placed.any() | rows[0].any())), "is_zero")
        total = (
            (~plain & repeat(less, width))
            | (one_more & repeat(more, width))
            | (plain & repeat(~differs, width))
        )
        own_negative = self.own_negative
        return (own_negative ^ less) & ~zero, total[:-1]

    def _many(self, m: Module, platform: object, placed: Value, rows: list[Value]) -> tuple[Value, Value]:
        """Add rows of counts: how many are negative, less the one that the adder adds, is a row as well."""
        width = self.terms.sum_bits
        columns = Columns(width, order=self.order, balanced=True)
        for j, row in enumerate(rows):
            columns.put_all(j, row, 2)
            columns.put_all(j + len(row), repeat(self._fill(j), max(width - j - len(row), 0)))
        fewer = wire(m, Cat(self.negatives, Const(0, 1)) - 1, "negatives_but_one")[
            : self.terms.count_bits + 1
        ]
        columns.put_all(0, Cat(fewer, repeat(fewer[-1], max(width - len(fewer), 0))))
        columns.put_all(0, placed ^ repeat(self.own_negative, len(placed)), 1)
        columns.put_all(len(placed), repeat(self.own_negative, width - len(placed)))
        columns.put(0, self.own_negative)
        save, carry = columns.carry_save(m)
        adder = AbsoluteAdder(width=width, adder=self.adder)
        add_submodule(m, platform, "add", adder)
        m.d.comb += [adder.save.eq(save), adder.carry.eq(carry)]
        return adder.negative, adder.magnitude

    def _special(self, m: Module, own: Value, nothing: Value) -> None:
        """Tell what of the new sum is no number: a sum that was too large is infinite from here on."""
        nan = self.nan | (self.own_nan & ~self.first)
        if "own_infinite" not in self.signature.members:
            m.d.comb += self.next_nan.eq(nan)
            return
        up, down = (bit & ~self.first for bit in self.own_infinite)
        if self.terms.overflow:
            large = wire(
                m,
                (own >= self.terms.target.infinity_field) & ~nothing & ~self.own_infinite.any(),
                "too_large",
            )
            up, down = up | (large & ~self.own_negative), down | (large & self.own_negative)
        if "infinite" in self.signature.members:
            up, down = up | self.infinite[0], down | self.infinite[1]
        up, down = wire(m, up, "infinite_up"), wire(m, down, "infinite_down")
        m.d.comb += [self.next_nan.eq(nan | (up & down)), self.next_infinite.eq(Cat(up, down))]


class SumResult(wiring.Component):
    """Bring a sum to the result's format, toward zero.

    Combinational.

    Args:
        terms: What its groups brought.
        infinite: Whether a term could be infinite.

    Attributes:
        negative, exponent, magnitude, nan, infinite: The sum, see `UnnormalisedAdder`.
        result: The result: what is too large becomes infinite.
    """

    negative: Signal
    exponent: Signal
    magnitude: Signal
    nan: Signal
    infinite: Signal
    result: Signal

    def __init__(self, terms: AlignedTerms, *, infinite: bool = False) -> None:
        self.terms = terms
        super().__init__(
            {
                "negative": In(1),
                "exponent": In(sum_exponents(terms)),
                "magnitude": In(terms.sum_bits - 1),
                "nan": In(1),
                **({"infinite": In(2)} if terms.overflow or infinite else {}),
                "result": Out(terms.target.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms, target = self.terms, self.terms.target
        room, exponent_bits = target.fraction_bits, target.exponent_bits
        normalise = Normalise(terms.numbers, parallel=True)
        add_submodule(m, platform, "normalise", normalise)
        m.d.comb += [
            normalise.magnitude.eq(self.magnitude),
            normalise.exponent.eq(self.exponent - min(terms.least_largest, 0)),
        ]
        field, sign = normalise.field, self.negative
        special: Value = self.nan
        if "infinite" in self.signature.members:
            asked = wire(m, self.infinite.any(), "any_infinite")
            special = special | asked
            sign = Mux(asked, self.infinite[1], sign)
            if terms.overflow:
                special = special | field[:exponent_bits].all() | field[exponent_bits:].any()
        special = wire(m, special, "special")
        whole = Cat(normalise.fraction[-room:], field[:exponent_bits])
        quiet = Cat(repeat(~special, room), repeat(Const(1), exponent_bits))
        odd = Cat(Const(0, room - 1), self.nan, repeat(special, exponent_bits))
        m.d.comb += self.result.eq(Cat((whole & quiet) | odd, sign & ~self.nan))
        return m
