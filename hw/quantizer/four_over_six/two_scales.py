"""The first step: the scale that brings the largest magnitude to 6, and the one that brings it to 4."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hierarchy import add_submodule
from ...leaves.bits import wire
from ...steps.records import Step
from ..form import QuantizerForm
from ..largest_magnitude import searched_bits
from ..records import LargestMagnitude, TensorScale
from ..scale_choice import ScaleStep
from .records import TwoScales
from .tensor_scale_ports import connect_tensor_scale, tensor_scale_ports

__all__ = ["RoundedScale", "TwoScalesStep"]


class RoundedScale(wiring.Component):
    """Choose the scale that brings the largest magnitude to `top`.

    Combinational.

    Args:
        form: How the quantizer is built.
        top: 6 or 4.

    Attributes:
        largest: The largest magnitude, see `LargestMagnitude`.
        g_exponent: See `TensorScale`; only where there is one.
        g_fraction: Likewise.
        code: The scale's code.
    """

    largest: Signal
    g_exponent: Signal
    g_fraction: Signal
    code: Signal

    def __init__(self, form: QuantizerForm, top: int) -> None:
        self.form = form
        self.top = top
        bits, sticky = searched_bits(form)
        super().__init__(
            {
                "largest": In(form.input.exponent_bits + bits + sticky),
                **tensor_scale_ports(form),
                "code": Out(form.scale.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chooser = ScaleStep(self.form)
        if self.form.spec.tensor_scale:
            g = TensorScale(self.g_exponent, self.g_fraction)
            m.d.comb += self.code.eq(chooser.divided(m, self.largest, g, self.top))
            return m
        exponent, fraction, below = chooser.normalised(m, self.largest)
        code, _ = chooser.nearest(m, self.largest, exponent, fraction, below, self.top)
        m.d.comb += self.code.eq(code)
        return m


class TwoScalesStep(Step[LargestMagnitude, TwoScales]):
    """Choose both scales from the largest magnitude, as `ScaleStep` does one."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        one = ScaleStep(form)
        super().__init__("scales", one.depth, one.bits + form.scale.bits)

    def build(self, m: Module, platform: object, before: LargestMagnitude) -> TwoScales:
        codes: list[Value] = []
        # A scale's register may be named as the component would be, where there are so many stages.
        name = "scale_of" if self.form.spec.stochastic else "scale"
        for top in (6, 4):
            one = RoundedScale(self.form, top)
            add_submodule(m, platform, f"{name}_{top}", one)
            m.d.comb += one.largest.eq(before.largest)
            connect_tensor_scale(m, before.lanes, one)
            codes.append(one.code)
        nan = wire(m, before.largest[-self.form.input.exponent_bits :].all(), "nan")
        return TwoScales(before.lanes, nan, codes[0], codes[1])
