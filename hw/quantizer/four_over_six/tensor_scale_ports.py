"""The ports by which a component takes the tensor scale, where there is one."""

from typing import Protocol

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..form import G_EXPONENT_BITS, G_MANTISSA_BITS, QuantizerForm
from ..records import Lanes

__all__ = ["connect_tensor_scale", "tensor_scale_ports"]


class _TakesTensorScale(Protocol):
    """A component with these ports."""

    g_exponent: Signal
    g_fraction: Signal


def tensor_scale_ports(form: QuantizerForm) -> dict[str, wiring.Member]:
    """Return the ports of a tensor scale, where there is one."""
    if not form.spec.tensor_scale:
        return {}
    return {"g_exponent": In(signed(G_EXPONENT_BITS)), "g_fraction": In(G_MANTISSA_BITS)}


def connect_tensor_scale(m: Module, lanes: Lanes, one: _TakesTensorScale) -> None:
    """Give a component the tensor scale, where there is one."""
    if lanes.g is not None:
        m.d.comb += [one.g_exponent.eq(lanes.g.exponent), one.g_fraction.eq(lanes.g.fraction)]
