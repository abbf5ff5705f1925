"""From the scale's code to the elements' midpoints under it: once a block, for all lanes."""

from collections.abc import Sequence
from typing import Final

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..leaves.bits import normalise, wire
from ..leaves.comparison import any_of
from ..leaves.decode import decode
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import ELEMENT_LEAST, QuantizerForm, least_bits
from .records import ChosenScale, Midpoints, ScaleMultiples

__all__ = ["TABLE_BITS", "MidpointsStep", "chosen", "tabled_multiples"]

_FACTORS: Final = ((3, 2), (5, 3), (7, 3))
"""What midpoints are multiples of, and how many bits more than the significand's fraction the product has."""

TABLE_BITS: Final = 3
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
        multiple = before.multiple or self.multiples(m, before.scale)
        return Midpoints(before.lanes, before.nan, before.scale, multiple)

    def multiples(self, m: Module, code: Value) -> ScaleMultiples:
        """Return the multiples of a scale from its code."""
        form, scale = self.form, self.form.scale
        decoded = decode(m, scale, code, "scale")
        offset = form.input.bias - scale.bias + ELEMENT_LEAST
        least = Signal(least_bits(form))
        if scale.powers_of_two:
            m.d.comb += least.eq(decoded.exponent + offset)
            return ScaleMultiples(least, None, None)
        significand, zeros = normalise(m, decoded.significand)
        m.d.comb += least.eq(decoded.exponent - zeros + offset)
        fractions: list[Value] = [significand[:-1]]
        wraps: list[Value] = []
        for factor, more in _FACTORS:
            bits = scale.mantissa_bits + more
            product = wire(m, (significand * factor)[: bits + 1], f"times_{factor}")
            wraps.append(product[-1])
            below = Mux(product[-1], product[:-1], Cat(Const(0, 1), product[:-2]))
            fractions.append(wire(m, below, f"fraction_{factor}"))
        return ScaleMultiples(least, tuple(fractions), Cat(*wraps))


def tabled_multiples(
    m: Module, form: QuantizerForm, at: Sequence[Value], significands: Sequence[int], least: Value, name: str
) -> ScaleMultiples:
    """Return the multiples of a scale whose significand is told by one bit of many, from a table.

    Args:
        m: The module to build in.
        form: How the quantizer is built.
        at: For each significand whether it is the scale's; one at most is set.
        significands: Integers below ``2**(mantissa_bits + 1)``; one that is not normalised is shifted up.
        least: See `ScaleMultiples`.
        name: What the wires' names begin with.
    """
    bits = form.scale.significand_bits
    normalised = [value << (bits - value.bit_length()) if value else 0 for value in significands]
    mask = (1 << form.scale.mantissa_bits) - 1
    first = chosen(at, [one & mask for one in normalised], form.scale.mantissa_bits)
    fractions = [wire(m, first, f"{name}_fraction_1")]
    wraps: list[Value] = []
    for factor, more in _FACTORS:
        width = form.scale.mantissa_bits + more
        products = [value * factor for value in normalised]
        wraps.append(wire(m, chosen(at, [one >> width for one in products], 1), f"{name}_wrap_{factor}"))
        table = [(one if one >> width else one << 1) & ((1 << width) - 1) for one in products]
        fractions.append(wire(m, chosen(at, table, width), f"{name}_fraction_{factor}"))
    return ScaleMultiples(least, tuple(fractions), Cat(*wraps))


def chosen(at: Sequence[Value], table: Sequence[int], width: int) -> Value:
    """Return the entry of a table at the place whose bit is set."""
    return Cat(
        *(any_of([one for one, entry in zip(at, table, strict=True) if entry >> i & 1]) for i in range(width))
    )
