"""How a dequantizer is built: its specification, and everything else that the hardware is made from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..model.dequantizer import DequantizerSpec
from ..model.formats import Top
from .config import PipelineConfig

if TYPE_CHECKING:
    from .dequantizer_unit import DequantizerUnit

__all__ = ["DEQUANTIZER_STEPS", "DequantizerConfig"]

DEQUANTIZER_STEPS = 2
"""Steps of its datapath, behind each of which a register may stand."""


@dataclass(frozen=True)
class DequantizerConfig(PipelineConfig[DequantizerSpec]):
    """How a dequantizer is built. What it computes is the specification alone.

    Args:
        spec: What the unit computes.

    The other parameters are those of every `PipelineConfig`; `order` changes nothing, as there is no tree.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    _spec_class: ClassVar[type[DequantizerSpec]] = DequantizerSpec
    _example: ClassVar[str] = "dequantize_e2m1_ue4m3_n16_bf16_s1"

    def _check_spec(self) -> None:
        element, scale = self.spec.element_format, self.spec.scale_format
        if element.name != "e2m1":
            raise ValueError(f"element must be e2m1 for a dequantizer unit, not {element.name}")
        if scale.top is Top.IEEE:
            raise ValueError(f"scale must have no infinity for a dequantizer unit, which {scale.name!r} has")
        if scale.exponent_bits > 7 and not scale.powers_of_two:
            raise ValueError(
                "scale must have at most 7 exponent bits or no mantissa for a dequantizer unit, which "
                f"{scale.name!r} has not"
            )

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""
        return DEQUANTIZER_STEPS

    # The hardware.

    def build(self) -> "DequantizerUnit":
        """Return the unit."""
        from .dequantizer_unit import DequantizerUnit

        return DequantizerUnit.of(self)
