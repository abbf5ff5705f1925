"""The hardware: block dot-product units and tiles in Amaranth, and their Verilog."""

from .dot_unit import DotUnit
from .stream_unit import Port
from .tile import DotArray
from .verilog import VerilogModule, to_cxxrtl, to_rtlil, to_verilog

__all__ = ["DotArray", "DotUnit", "Port", "VerilogModule", "to_cxxrtl", "to_rtlil", "to_verilog"]
