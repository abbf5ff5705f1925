"""Synthesis: one netlist to gates, area and delay."""

from .flow import RECIPES, Netlist, Point, Recipe, SynthesisError, synthesize, synthesize_all
from .liberty import Library
from .metric import Metric
from .neutral import neutral

__all__ = [
    "RECIPES",
    "Library",
    "Metric",
    "Netlist",
    "Point",
    "Recipe",
    "SynthesisError",
    "neutral",
    "synthesize",
    "synthesize_all",
]
