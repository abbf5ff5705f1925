"""Test benches for a unit's Verilog: for cocotb, and in plain Verilog."""
