"""The fixed-point addition of shipping tensor cores: terms aligned to the largest exponent, and cut off.

What it computes is told in `blockdot.model.aligned_sum`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..hierarchy import add_submodule
from ..leaves.bits import repeat, shift_right, wire
from ..leaves.compressor import AbsoluteAdder, Adder, Columns
from ..leaves.multiply import Magnitude
from ..leaves.round import Normalise, Round
from .aligned_terms import AlignedTerms, ExponentSearch

__all__ = ["AlignedAdder"]


class AlignedAdder(ExponentSearch, wiring.Component):
    """Add terms to a sum, aligned to the largest exponent and truncated: binary32, unless they say otherwise.

    Combinational. Truncation is that of magnitudes, toward zero: bits shifted out are dropped before the sign
    is put to the rest.

    Args:
        terms: What a group brings.
        adder: The adder at the end of the tree; a prefix adder has it take few levels.
        infinite: Whether a term can be infinite.
        order: Seed of the order in which bits enter the tree; changes no sum.

    Attributes:
        accumulator: The sum so far.
        negative: Term k's sign is bit k.
        magnitude: Term k's magnitude is at bits ``[magnitude_bits * k, magnitude_bits * (k + 1))``.
        exponent: What stands for its exponent, likewise.
        nan: A term is NaN.
        infinite: A term is infinite above zero (bit 0), or below (bit 1); no such port where none can be.
        result: The new sum, rounded as the terms say; infinite if it is too large.
    """

    accumulator: Signal
    negative: Signal
    magnitude: Signal
    exponent: Signal
    nan: Signal
    infinite: Signal
    result: Signal

    def __init__(self, terms: AlignedTerms, *, adder: Adder, infinite: bool = False, order: int = 0) -> None:
        self.terms = terms
        self.adder: Adder = adder
        self.order = order
        super().__init__(
            {
                "accumulator": In(terms.target.bits),
                "negative": In(terms.count),
                "magnitude": In(terms.count * terms.magnitude_bits),
                **self._exponent_ports(),
                "nan": In(1),
                **({"infinite": In(2)} if infinite else {}),
                "result": Out(terms.target.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms, fast = self.terms, self.adder != "ripple"
        room = terms.target.fraction_bits
        fraction, field = self.accumulator[:room], self.accumulator[room:-1]
        normal = wire(m, field.any(), "accumulator_normal")
        own_exponent: Value = wire(m, Cat(field[0] | ~normal, field[1:]), "accumulator_exponent")
        if terms.exponents.zero_counts:
            read = Signal(
                range(terms.least_largest, terms.target.infinity_field + 1), name="accumulator_reads"
            )
            zero = ~(normal | fraction.any())
            m.d.comb += read.eq(Mux(zero, terms.exponents.zero, own_exponent))
            own_exponent = read
        largest, distances = self._distances(m, own_exponent)
        columns = Columns(terms.sum_bits, order=self.order, balanced=fast)
        # The prefix network gives the magnitude of one more.
        columns.put_constant(-1 if fast else 0)
        addends = [
            (self.negative[k], self.magnitude.word_select(k, terms.magnitude_bits), terms.point)
            for k in range(terms.count)
        ]
        addends.append((self.accumulator[-1], Cat(fraction, normal), room))
        for k, ((negative, magnitude, point), below) in enumerate(zip(addends, distances, strict=True)):
            distance = wire(m, below, f"distance_{k}")
            places = terms.fraction - point
            placed = Cat(Const(0, max(places, 0)), magnitude)[max(-places, 0) :]
            kept = shift_right(m, placed, distance, f"term_{k}_")
            width = len(kept)
            if width:
                self._put(m, columns, k, negative, wire(m, kept ^ repeat(negative, width), f"addend_{k}"))
        self._put_signs(m, columns)
        sign, total = self._absolute(m, platform, columns, fast)
        normalise = Normalise(terms.numbers, parallel=fast)
        add_submodule(m, platform, "normalise", normalise)
        m.d.comb += [
            normalise.magnitude.eq(total),
            normalise.exponent.eq(largest - min(terms.least_largest, 0)),
        ]
        m.d.comb += self.result.eq(self._packed(m, platform, sign, normalise))
        return m

    def _put(self, m: Module, columns: Columns, k: int, negative: Value, inverted: Value) -> None:
        """Put a term into the tree, inverted where it is negative."""
        columns.put_all(0, inverted)
        # -x is ~x + 1 - 2**width.
        columns.put(0, negative)
        columns.put(len(inverted), ~negative)
        columns.put_constant(-1 << len(inverted))

    def _put_signs(self, m: Module, columns: Columns) -> None:
        """Put into the tree what inversion leaves to be added, as far as it is not there yet."""

    def _absolute(self, m: Module, platform: object, columns: Columns, fast: bool) -> tuple[Value, Value]:
        if fast:
            save, carry = columns.carry_save(m)
            adder = AbsoluteAdder(width=columns.width, adder=self.adder)
            add_submodule(m, platform, "add", adder)
            m.d.comb += [adder.save.eq(save), adder.carry.eq(carry)]
            return adder.negative, adder.magnitude
        total = Signal(signed(columns.width), name="total")
        m.d.comb += total.eq(columns.total(m, self.adder))
        magnitude = Magnitude(bits=columns.width, adder=self.adder)
        add_submodule(m, platform, "sign_magnitude", magnitude)
        m.d.comb += magnitude.value.eq(total)
        return magnitude.negative, magnitude.magnitude

    def _packed(self, m: Module, platform: object, negative: Value, normalise: Normalise) -> Value:
        """Round and pack; what is too large becomes infinite.

        Where no sum comes to be too large, and no term is infinite, the topmost exponent says NaN.
        """
        target = self.terms.target
        room, exponent_bits = target.fraction_bits, target.exponent_bits
        field, fraction = normalise.field, normalise.fraction[-room:]
        field_in, fraction_in = self.accumulator[room:-1], self.accumulator[:room]
        top = wire(m, field_in.all(), "accumulator_top")
        sign = negative & normalise.nonzero
        special: Value
        infinite: Value = Const(0)
        if not self.terms.overflow and "infinite" not in self.signature.members:
            nan = wire(m, self.nan | top, "any_nan")
            special = nan
        else:
            nan = self.nan | (top & fraction_in.any())
            own = top & ~fraction_in.any()
            up, down = own & ~self.accumulator[-1], own & self.accumulator[-1]
            if "infinite" in self.signature.members:
                up, down = up | self.infinite[0], down | self.infinite[1]
            up, down = wire(m, up, "infinite_up"), wire(m, down, "infinite_down")
            nan = wire(m, nan | (up & down), "any_nan")
            infinite = up | down
            special = nan | up | down
            sign = Mux(special, down, sign)
            if self.terms.overflow:
                special = special | field[:exponent_bits].all() | field[exponent_bits:].any()
        if self.terms.nearest:
            return self._rounded(m, platform, sign, normalise, nan, infinite)
        special = wire(m, special, "special")
        quiet = Cat(repeat(~special, room), repeat(Const(1), exponent_bits))
        whole = Cat(fraction, field[:exponent_bits])
        odd = Cat(Const(0, room - 1), nan, repeat(special, exponent_bits))
        return Cat((whole & quiet) | odd, sign & ~nan)

    def _rounded(
        self, m: Module, platform: object, sign: Value, normalise: Normalise, nan: Value, infinite: Value
    ) -> Value:
        """Round to nearest, ties to even."""
        terms = self.terms
        asks = terms.overflow or "infinite" in self.signature.members
        rounding = Round(
            fraction_bits=len(normalise.fraction),
            field_bits=len(normalise.field),
            overflow=terms.overflow,
            infinite=asks,
            target=terms.target,
        )
        add_submodule(m, platform, "round", rounding)
        m.d.comb += [
            rounding.negative.eq(sign),
            rounding.fraction.eq(normalise.fraction),
            rounding.field.eq(normalise.field),
            rounding.nonzero.eq(normalise.nonzero),
            rounding.nan.eq(nan),
        ]
        if asks:
            m.d.comb += rounding.infinite.eq(infinite)
        return rounding.result
