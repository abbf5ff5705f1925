"""How a quantizer is built: its specification, and everything else that the hardware is made from."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..model.quantizer import QuantizerSpec
from .config import Optimise, PipelineConfig

if TYPE_CHECKING:
    from .quantizer_unit import QuantizerUnit

__all__ = ["QuantizerConfig"]


@functools.cache
def _max_stages(spec: QuantizerSpec, optimise: Optimise) -> int:
    # The datapath loads Amaranth, which whoever only imports this module need not wait for.
    from .quantizer.datapath import QuantizerDatapath

    return len(QuantizerDatapath(spec, optimise=optimise, order=0).steps)


@dataclass(frozen=True)
class QuantizerConfig(PipelineConfig[QuantizerSpec]):
    """How a quantizer is built. What it computes is the specification alone.

    Args:
        spec: What the unit computes.

    The other parameters are those of every `PipelineConfig`.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    _spec_class: ClassVar[type[QuantizerSpec]] = QuantizerSpec
    _example: ClassVar[str] = "quantize_bf16_e2m1_ue4m3_n16_absmax_s1"

    def _check_spec(self) -> None:
        element, scale = self.spec.element_format, self.spec.scale_format
        if element.name != "e2m1":
            raise ValueError(f"element must be e2m1 for a quantizer unit, not {element.name}")
        if not (scale.subnormals or scale.powers_of_two):
            raise ValueError(
                "scale must have subnormals or no mantissa for a quantizer unit, which "
                f"{scale.name!r} has not"
            )

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""
        return _max_stages(self.spec, self.optimise)

    # The hardware.

    def build(self) -> "QuantizerUnit":
        """Return the unit."""
        from .quantizer_unit import QuantizerUnit

        return QuantizerUnit.of(self)
