"""The configurations of all kinds of units, by their specifications and by their names."""

from typing import Any, TypeAlias

from ..model.dequantizer import DequantizerSpec
from ..model.quantizer import QuantizerSpec
from ..model.specifications import Specification
from .config import UnitConfig
from .dequantizer_config import DequantizerConfig
from .quantizer_config import QuantizerConfig

__all__ = ["Configuration", "configure", "parse_configuration"]

Configuration: TypeAlias = UnitConfig | QuantizerConfig | DequantizerConfig
"""How a dot-product unit or a tile of them, a quantizer, or a dequantizer is built."""


def configure(spec: Specification, **form: Any) -> Configuration:
    """Return the configuration of a unit of that specification.

    Args:
        spec: What it computes.
        form: The other parameters of its configuration.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """
    match spec:
        case QuantizerSpec():
            return QuantizerConfig(spec, **form)
        case DequantizerSpec():
            return DequantizerConfig(spec, **form)
        case _:
            return UnitConfig(spec, **form)


def parse_configuration(name: str) -> Configuration:
    """Return the configuration of that name, of whatever kind of unit.

    Raises:
        ValueError: If it is no configuration's name, or a part of it is not allowed.
    """
    kinds = {"quantize": QuantizerConfig, "serial": QuantizerConfig, "dequantize": DequantizerConfig}
    return kinds.get(name.split("_")[0], UnitConfig).parse(name)
