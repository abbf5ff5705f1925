"""The hardware: block dot-product units, tiles and quantizers in Amaranth, and their Verilog.

Importing this package alone does not load Amaranth: a name is fetched when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .config import UnitConfig
    from .dequantizer_config import DequantizerConfig
    from .dequantizer_unit import DequantizerUnit
    from .dot_unit import DotUnit
    from .quantizer_config import QuantizerConfig
    from .quantizer_unit import QuantizerUnit
    from .serial_quantizer_unit import SerialQuantizerUnit
    from .stream_unit import Port
    from .tile import DotArray
    from .verilog import VerilogModule, to_cxxrtl, to_rtlil, to_verilog

__all__ = [
    "DequantizerConfig",
    "DequantizerUnit",
    "DotArray",
    "DotUnit",
    "Port",
    "QuantizerConfig",
    "QuantizerUnit",
    "SerialQuantizerUnit",
    "UnitConfig",
    "VerilogModule",
    "to_cxxrtl",
    "to_rtlil",
    "to_verilog",
]

_HOMES: Final = {
    "DequantizerConfig": "dequantizer_config",
    "DequantizerUnit": "dequantizer_unit",
    "DotArray": "tile",
    "DotUnit": "dot_unit",
    "Port": "stream_unit",
    "QuantizerConfig": "quantizer_config",
    "QuantizerUnit": "quantizer_unit",
    "SerialQuantizerUnit": "serial_quantizer_unit",
    "UnitConfig": "config",
    "VerilogModule": "verilog",
    "to_cxxrtl": "verilog",
    "to_rtlil": "verilog",
    "to_verilog": "verilog",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
