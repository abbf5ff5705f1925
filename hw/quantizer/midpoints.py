"""From the scale's code to the elements' midpoints under it: once a block, for all lanes."""

from collections.abc import Sequence
from typing import Final

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..leaves.bits import normalise, wire
from ..leaves.comparison import add_constant, any_of
from ..leaves.decode import decode
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import ELEMENT_LEAST, QuantizerForm, least_bits
from .records import ChosenScale, Midpoints

__all__ = ["MidpointsStep"]

_FACTORS: Final = ((3, 2), (5, 3), (7, 3))
"""What midpoints are multiples of, and how many bits more than the significand's fraction the product has."""

_TABLE_BITS: Final = 3
"""Up to this many mantissa bits a table is shorter than a normaliser and an adder behind it."""


class MidpointsStep(Step[ChosenScale, Midpoints]):
    """Multiply the scale by the midpoints 1/4, 3/4, 5/4, 7/4, 5/2, 7/2 and 5 of neighbouring elements.

    Their significands are 1, 3, 5 and 7 times that of the scale: so many numbers serve all lanes. What
    differs between midpoints with the same number is their exponent, which is a lane's business.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        scale = form.scale
        fractions = 0 if scale.powers_of_two else 4 * scale.mantissa_bits + 11
        super().__init__(
            "midpoints",
            StepDelay(0 if scale.powers_of_two else 12, hidden=2),
            form.spec.block_size * (form.magnitude_bits + 1) + scale.bits + 1 + least_bits(form) + fractions,
        )

    def build(self, m: Module, platform: object, before: ChosenScale) -> Midpoints:
        form, scale = self.form, self.form.scale
        if before.least is not None:
            return Midpoints(before.lanes, before.nan, before.scale, before.least, None, None)
        if form.fast and scale.subnormals and scale.mantissa_bits <= _TABLE_BITS:
            return self._by_table(m, before)
        decoded = decode(m, scale, before.scale, "scale")
        least = Signal(least_bits(form))
        if scale.powers_of_two:
            m.d.comb += least.eq(decoded.exponent + self._offset)
            return Midpoints(before.lanes, before.nan, before.scale, least, None, None)
        significand, zeros = normalise(m, decoded.significand)
        m.d.comb += least.eq(decoded.exponent - zeros + self._offset)
        fractions: list[Value] = [significand[:-1]]
        wraps: list[Value] = []
        for factor, more in _FACTORS:
            bits = scale.mantissa_bits + more
            product = wire(m, (significand * factor)[: bits + 1], f"times_{factor}")
            wraps.append(product[-1])
            below = Mux(product[-1], product[:-1], Cat(Const(0, 1), product[:-2]))
            fractions.append(wire(m, below, f"fraction_{factor}"))
        return Midpoints(before.lanes, before.nan, before.scale, least, tuple(fractions), Cat(*wraps))

    @property
    def _offset(self) -> int:
        """What makes the exponent field of the least midpoint of the scale's."""
        return self.form.input.bias - self.form.scale.bias + ELEMENT_LEAST

    def _by_table(self, m: Module, before: ChosenScale) -> Midpoints:
        """Look everything up that depends on the significand, of which there are few."""
        form, scale = self.form, self.form.scale
        decoded = decode(m, scale, before.scale, "scale")
        normal = decoded.significand[-1]
        at = [
            wire(m, decoded.significand == value, f"significand_is_{value}")
            for value in range(1 << scale.significand_bits)
        ]
        # The significand zero has no midpoints: its elements are zero.
        shifts = [0] + [scale.significand_bits - value.bit_length() for value in range(1, len(at))]
        normalised = [value << shift for value, shift in enumerate(shifts)]
        field = before.scale[scale.mantissa_bits : scale.bits]
        bits = least_bits(form)
        above = add_constant(m, field, self._offset, 0, bits, "least_normal", fast=True)
        below = _chosen(at, [(1 - shift + self._offset) & ((1 << bits) - 1) for shift in shifts], bits)
        least = wire(m, Mux(normal, above, below), "least")
        mask = (1 << scale.mantissa_bits) - 1
        fractions = [
            wire(m, _chosen(at, [one & mask for one in normalised], scale.mantissa_bits), "fraction_1")
        ]
        wraps: list[Value] = []
        for factor, more in _FACTORS:
            bits = scale.mantissa_bits + more
            products = [value * factor for value in normalised]
            shifted = [one if one >> bits else one << 1 for one in products]
            wraps.append(wire(m, _chosen(at, [one >> bits for one in products], 1), f"wrap_{factor}"))
            table = [one & ((1 << bits) - 1) for one in shifted]
            fractions.append(wire(m, _chosen(at, table, bits), f"fraction_{factor}"))
        return Midpoints(before.lanes, before.nan, before.scale, least, tuple(fractions), Cat(*wraps))


def _chosen(at: Sequence[Value], table: Sequence[int], width: int) -> Value:
    """Return the entry of a table at the place whose bit is set."""
    return Cat(
        *(any_of([one for one, entry in zip(at, table, strict=True) if entry >> i & 1]) for i in range(width))
    )
