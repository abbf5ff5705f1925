"""How a quantizer is built: its specification, and everything else that the hardware is made from."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..model.quantizer import QUANTIZER_METHODS, QUANTIZER_ROUNDINGS, QuantizerSpec
from .config import Optimise, PipelineConfig

if TYPE_CHECKING:
    from .quantizer_unit import QuantizerUnit

__all__ = ["QuantizerConfig"]


@functools.cache
def _max_stages(spec: QuantizerSpec, optimise: Optimise) -> int:
    # The datapath loads Amaranth, which whoever only imports this module need not wait for.
    from .quantizer.datapath import QuantizerDatapath

    return len(QuantizerDatapath(spec, optimise=optimise, order=0).steps)


def _require_buildable(spec: QuantizerSpec) -> None:
    """Raise ValueError for what the contract allows and no unit can be built of."""
    for name, value, allowed in (
        ("element", spec.element_format.name, ("e2m1",)),
        ("method", spec.method, QUANTIZER_METHODS),
        ("rounding", spec.rounding, QUANTIZER_ROUNDINGS),
    ):
        if value not in allowed:
            rule = "one of " * (len(allowed) > 1) + ", ".join(map(str, allowed))
            raise ValueError(f"{name} must be {rule} for a quantizer unit, not {value}")
    scale = spec.scale_format
    if not (scale.subnormals or scale.powers_of_two):
        raise ValueError(
            f"scale must have subnormals or no mantissa for a quantizer unit, which {scale.name!r} has not"
        )


@dataclass(frozen=True)
class QuantizerConfig(PipelineConfig[QuantizerSpec]):
    """How a quantizer is built. What it computes is the specification alone.

    A configuration is checked when it is made, and `dataclasses.replace` checks what it changes. Two
    configurations that are equal make the same unit.

    Args:
        spec: What the unit computes.
        stages: Registers between input and output, from 0 to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `QuantizerUnit`. Without
            stages there is no pipeline, and it reads ``stream``.
        order: Seed of the order in which elements enter trees: every order computes the same, through
            different wires.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    _example: ClassVar[str] = "quantize_bf16_e2m1_ue4m3_n16_absmax_s1"

    def __post_init__(self) -> None:
        if not isinstance(self.spec, QuantizerSpec):
            raise TypeError(f"spec must be a QuantizerSpec, not {self.spec!r}")
        _require_buildable(self.spec)
        self._check_form()
        self._check_stages()

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""
        return _max_stages(self.spec, self.optimise)

    @classmethod
    def _parse_spec(cls, name: str) -> QuantizerSpec:
        return QuantizerSpec.parse(name)

    # The hardware.

    def build(self) -> "QuantizerUnit":
        """Return the unit."""
        from .quantizer_unit import QuantizerUnit

        return QuantizerUnit.of(self)
