"""From the scale's code to the elements' midpoints under it: once a block, for all lanes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ..leaves.bits import normalise, wire
from ..leaves.comparison import any_of
from ..leaves.decode import decode
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import G_BIAS, QuantizerForm, least_bits
from .records import ChosenScale, Midpoints, ScaleMultiples, TensorScale
from .tensor_scale import normalised, saturated, scaled_significand, times

__all__ = ["TABLE_BITS", "MidpointsStep", "chosen", "tabled_multiples"]

TABLE_BITS: Final = 3
"""Up to this many mantissa bits a table is shorter than a normaliser and an adder behind it."""


@dataclass(frozen=True)
class ScaledScale:
    """A scale times a tensor scale.

    Attributes:
        own_exponent: The field of the scale's own exponent, with a sign, as if there were no subnormals.
        own_significand: The scale's own, normalised.
        fraction: What is behind the leading one of the product's significand.
        least: See `ScaleMultiples`.
    """

    own_exponent: Value
    own_significand: Value
    fraction: Value
    least: Value


class MidpointsStep(Step[ChosenScale, Midpoints]):
    """Multiply the scale by the midpoints 1/4, 3/4, 5/4, 7/4, 5/2, 7/2 and 5 of neighbouring elements.

    Their significands are 1, 3, 5 and 7 times that of the scale: so many numbers serve all lanes. What
    differs between midpoints with the same number is their exponent, which is a lane's business. Under
    ``stochastic`` the scale alone is normalised.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        scale = form.scale
        fractions = 0
        if not form.bare:
            fractions = form.multiple_bits + sum(form.multiple_bits + more + 1 for _, more in form.factors)
        delay = 0 if scale.powers_of_two else 12
        if form.spec.tensor_scale:
            # Behind the product; without that step it is part of this one.
            delay = (18 if form.fast else 46) + (0 if scale.mantissa_bits else 24)
        super().__init__(
            "midpoints",
            StepDelay(delay, hidden=2),
            form.lane_bits + scale.bits + 1 + least_bits(form) + fractions,
        )

    def build(self, m: Module, platform: object, before: ChosenScale) -> Midpoints:
        if before.product is not None:
            multiple = self.scaled_multiples(m, before.product.fraction, before.product.least)
        else:
            multiple = before.multiple or self.multiples(m, before.scale, before.lanes.g)
        return Midpoints(before.lanes, before.nan, before.scale, multiple)

    def multiples(self, m: Module, code: Value, g: TensorScale | None = None) -> ScaleMultiples:
        """Return the multiples of a scale from its code, times a tensor scale if there is one."""
        if g is not None:
            scaled = self.scaled(m, code, g)
            return self.scaled_multiples(m, scaled.fraction, scaled.least)
        form, scale = self.form, self.form.scale
        decoded = decode(m, scale, code, "scale")
        offset = form.input.bias - scale.bias + form.element_least
        least = Signal(least_bits(form))
        if scale.powers_of_two:
            m.d.comb += least.eq(decoded.exponent + offset)
            return ScaleMultiples(least, None, None)
        significand, zeros = normalise(m, decoded.significand)
        m.d.comb += least.eq(decoded.exponent - zeros + offset)
        fractions: list[Value] = [significand[:-1]]
        wraps: list[Value] = []
        for factor, more in form.factors:
            bits = scale.mantissa_bits + more
            product = wire(m, (significand * factor)[: bits + 1], f"times_{factor}")
            wraps.append(product[-1])
            below = Mux(product[-1], product[:-1], Cat(Const(0, 1), product[:-2]))
            fractions.append(wire(m, below, f"fraction_{factor}"))
        return ScaleMultiples(least, tuple(fractions), Cat(*wraps) if wraps else None)

    def scaled(self, m: Module, code: Value, g: TensorScale) -> ScaledScale:
        """Return a scale from its code, times a tensor scale."""
        form, scale = self.form, self.form.scale
        decoded = decode(m, scale, code, "scale")
        significand, zeros = decoded.significand, Const(0, 1)
        if scale.subnormals and scale.mantissa_bits:
            significand, zeros = normalised(m, significand, "scale")
        fraction, wraps_once = scaled_significand(m, form, significand, g)
        offset = form.input.bias - scale.bias - G_BIAS + form.element_least
        own = Signal(signed(len(decoded.exponent) + 2), name="scale_exponent")
        least = Signal(signed(form.exponent_room), name="least")
        m.d.comb += [
            own.eq(decoded.exponent - zeros),
            least.eq(own + g.exponent + wraps_once + offset),
        ]
        return ScaledScale(own, significand, fraction, saturated(m, form, least))

    def scaled_multiples(self, m: Module, fraction: Value, least: Value) -> ScaleMultiples:
        """Return the multiples of a scale times a tensor scale.

        Args:
            m: The module to build in.
            fraction: What is behind the leading one of their product's significand.
            least: See `ScaleMultiples`.
        """
        form = self.form
        if form.spec.stochastic:
            return ScaleMultiples(least, (fraction,), None)
        whole = wire(m, Cat(fraction, Const(1, 1)), "scaled_whole")
        kept = form.input.mantissa_bits
        cut = len(fraction) - kept
        fractions: list[Value] = [fraction[cut:]]
        # An odd multiple has as many zeros at its end as the number itself: of what is cut off a multiple, no
        # more than carries is ever made.
        ends_in_zeros: list[Value] = [wire(m, ~fraction[:cut].any(), f"ends_in_{cut}_zeros")]
        for k in range(cut, cut + max(more for _, more in form.factors)):
            ends_in_zeros.append(wire(m, ends_in_zeros[-1] & ~fraction[k], f"ends_in_{k + 1}_zeros"))
        exact = ends_in_zeros[:1]
        wraps: list[Value] = []
        for factor, more in form.factors:
            product = times(m, whole, factor, f"times_{factor}", fast=form.fast)
            wraps.append(product[-1])
            top = product[-kept - 2 : -1]
            fractions.append(wire(m, Mux(product[-1], top[1:], top[:-1]), f"fraction_{factor}"))
            exact.append(Mux(product[-1], ends_in_zeros[more], ends_in_zeros[more - 1]))
        return ScaleMultiples(least, tuple(fractions), Cat(*wraps), wire(m, Cat(*exact), "exact"))


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
    for factor, more in form.factors:
        width = form.scale.mantissa_bits + more
        products = [value * factor for value in normalised]
        wraps.append(wire(m, chosen(at, [one >> width for one in products], 1), f"{name}_wrap_{factor}"))
        table = [(one if one >> width else one << 1) & ((1 << width) - 1) for one in products]
        fractions.append(wire(m, chosen(at, table, width), f"{name}_fraction_{factor}"))
    return ScaleMultiples(least, tuple(fractions), Cat(*wraps) if wraps else None)


def chosen(at: Sequence[Value], table: Sequence[int], width: int) -> Value:
    """Return the entry of a table at the place whose bit is set."""
    return Cat(
        *(any_of([one for one, entry in zip(at, table, strict=True) if entry >> i & 1]) for i in range(width))
    )
