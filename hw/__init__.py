"""The hardware: block dot-product units and tiles in Amaranth, and their Verilog."""

from .array import DotArray
from .dot import DotUnit
from .unit import Port
from .verilog import VerilogModule, to_cxxrtl, to_rtlil, to_verilog

__all__ = ["DotArray", "DotUnit", "Port", "VerilogModule", "to_cxxrtl", "to_rtlil", "to_verilog"]
