"""The hardware: block dot-product units in Amaranth, and their Verilog."""

from .dot import DotUnit, Port
from .verilog import VerilogModule, to_cxxrtl, to_rtlil, to_verilog

__all__ = ["DotUnit", "Port", "VerilogModule", "to_cxxrtl", "to_rtlil", "to_verilog"]
