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


def _require_buildable(spec: DequantizerSpec) -> None:
    """Raise ValueError for what the contract allows and no unit can be built of."""
    if spec.element_format.name != "e2m1":
        raise ValueError(f"element must be e2m1 for a dequantizer unit, not {spec.element_format.name}")
    scale = spec.scale_format
    if scale.top is Top.IEEE:
        raise ValueError(f"scale must have no infinity for a dequantizer unit, which {scale.name!r} has")
    if scale.exponent_bits > 7 and not scale.powers_of_two:
        raise ValueError(
            "scale must have at most 7 exponent bits or no mantissa for a dequantizer unit, which "
            f"{scale.name!r} has not"
        )


@dataclass(frozen=True)
class DequantizerConfig(PipelineConfig[DequantizerSpec]):
    """How a dequantizer is built. What it computes is the specification alone.

    A configuration is checked when it is made, and `dataclasses.replace` checks what it changes. Two
    configurations that are equal make the same unit.

    Args:
        spec: What the unit computes.
        stages: Registers between input and output, from 0 to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `DequantizerUnit`. Without
            stages there is no pipeline, and it reads ``stream``.
        order: Seed of the order in which elements enter trees. There is none here: it changes nothing.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    _example: ClassVar[str] = "dequantize_e2m1_ue4m3_n16_bf16_s1"

    def __post_init__(self) -> None:
        if not isinstance(self.spec, DequantizerSpec):
            raise TypeError(f"spec must be a DequantizerSpec, not {self.spec!r}")
        _require_buildable(self.spec)
        self._check_form()
        self._check_stages()

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""
        return DEQUANTIZER_STEPS

    @classmethod
    def _parse_spec(cls, name: str) -> DequantizerSpec:
        return DequantizerSpec.parse(name)

    # The hardware.

    def build(self) -> "DequantizerUnit":
        """Return the unit."""
        from .dequantizer_unit import DequantizerUnit

        return DequantizerUnit.of(self)
