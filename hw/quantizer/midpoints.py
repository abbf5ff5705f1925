"""From the scale's code to the elements' midpoints under it: once a block, for all lanes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..leaves.bits import normalise, wire
from ..leaves.decode import decode
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import ELEMENT_LEAST, QuantizerForm
from .records import ChosenScale, Midpoints

__all__ = ["MidpointsStep", "least_bits"]


def least_bits(form: QuantizerForm) -> int:
    """Return the width of the least midpoint's exponent field.

    It is a field of the input's, which is large enough as no scale's exponent is above that of the largest
    magnitude; with a sign above where a midpoint may be below the input's normal numbers.
    """
    return form.input.exponent_bits + (form.element_depth > 0)


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
        decoded = decode(m, scale, before.scale, "scale")
        offset = form.input.bias - scale.bias + ELEMENT_LEAST
        least = Signal(least_bits(form))
        if scale.powers_of_two:
            m.d.comb += least.eq(decoded.exponent + offset)
            return Midpoints(before.lanes, before.void, before.scale, least, None, None)
        significand, zeros = normalise(m, decoded.significand)
        m.d.comb += least.eq(decoded.exponent - zeros + offset)
        fractions: list[Value] = [significand[:-1]]
        wraps: list[Value] = []
        for factor, more in ((3, 2), (5, 3), (7, 3)):
            bits = scale.mantissa_bits + more
            product = wire(m, (significand * factor)[: bits + 1], f"times_{factor}")
            wraps.append(product[-1])
            below = Mux(product[-1], product[:-1], Cat(Const(0, 1), product[:-2]))
            fractions.append(wire(m, below, f"fraction_{factor}"))
        return Midpoints(before.lanes, before.void, before.scale, least, tuple(fractions), Cat(*wraps))
