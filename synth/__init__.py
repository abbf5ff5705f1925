"""Synthesis: one netlist to gates, area and delay."""

from .flow import RECIPES, Netlist, Point, Recipe, SynthesisError, Synthesizer, synthesize
from .liberty import Library
from .metric import Metric
from .neutral_library import neutral

__all__ = [
    "RECIPES",
    "Library",
    "Metric",
    "Netlist",
    "Point",
    "Recipe",
    "SynthesisError",
    "Synthesizer",
    "neutral",
    "synthesize",
]
