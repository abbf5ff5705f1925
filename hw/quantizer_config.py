"""How a quantizer is built: its specification, and everything else that the hardware is made from."""

import functools
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..base.argument_checks import require_bool
from ..model.quantizer import QuantizerSpec
from .config import PLAIN_NAME, Optimise, PipelineConfig

if TYPE_CHECKING:
    from .quantizer_unit import QuantizerUnit
    from .serial_quantizer_unit import SerialQuantizerUnit

__all__ = ["SERIAL_METHODS", "QuantizerConfig"]

SERIAL_METHODS: Final = ("absmax", "prevent_zero", "floor", "ceil")
"""How a serial quantizer may choose scales: by the largest magnitude alone."""

SERIAL_STEPS: Final = 2
"""Steps of its datapath behind the buffer, behind each of which a register may stand."""


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
        serial: The unit takes a number a cycle, see `SerialQuantizerUnit`, not a whole block. It has a stage
            at least.

    The other parameters are those of every `PipelineConfig`.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    _pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?P<serial>serial_)?" + PLAIN_NAME)
    _spec_class: ClassVar[type[QuantizerSpec]] = QuantizerSpec
    _example: ClassVar[str] = "quantize_bf16_e2m1_ue4m3_n16_absmax_s1"

    _: KW_ONLY
    serial: bool = False

    def _check_spec(self) -> None:
        element, scale = self.spec.element_format, self.spec.scale_format
        if element.name != "e2m1":
            raise ValueError(f"element must be e2m1 for a quantizer unit, not {element.name}")
        if not (scale.subnormals or scale.powers_of_two):
            raise ValueError(
                "scale must have subnormals or no mantissa for a quantizer unit, which "
                f"{scale.name!r} has not"
            )

    def _check_form(self) -> None:
        super()._check_form()
        object.__setattr__(self, "serial", require_bool("serial", self.serial))
        if not self.serial:
            return
        spec = self.spec
        for name, value, allowed in (
            ("method", spec.method, SERIAL_METHODS),
            ("rounding", spec.rounding, ("nearest_even",)),
            ("tensor_scale", spec.tensor_scale, (False,)),
        ):
            if value not in allowed:
                rule = ("one of " if len(allowed) > 1 else "") + ", ".join(map(str, allowed))
                raise ValueError(f"{name} must be {rule} for a serial quantizer, not {value}")

    @property
    def _least_stages(self) -> int:
        return int(self.serial)

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""
        return SERIAL_STEPS if self.serial else _max_stages(self.spec, self.optimise)

    # Names.

    @property
    def _visible_name(self) -> str:
        return f"{'serial_' if self.serial else ''}{super()._visible_name}"

    @classmethod
    def _parse_more(cls, part: Mapping[str, str | None]) -> dict[str, Any]:
        return {"serial": part["serial"] is not None}

    # The hardware.

    def build(self) -> "QuantizerUnit | SerialQuantizerUnit":
        """Return the unit."""
        from .quantizer_unit import QuantizerUnit
        from .serial_quantizer_unit import SerialQuantizerUnit

        return SerialQuantizerUnit.of(self) if self.serial else QuantizerUnit.of(self)
