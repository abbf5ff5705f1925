"""Bit-accurate hardware model, RTL generator and price lab for FP4 block dot products."""

__version__ = "0.1.0"
