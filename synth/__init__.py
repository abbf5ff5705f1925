"""Synthesis: one netlist to gates, area and delay."""

from .flow import RECIPES, Netlist, Recipe, SynthesisError, SynthesisPoint, Synthesizer, synthesize
from .liberty import Library
from .metric import Metric
from .neutral_library import neutral

__all__ = [
    "RECIPES",
    "Library",
    "Metric",
    "Netlist",
    "Recipe",
    "SynthesisError",
    "SynthesisPoint",
    "Synthesizer",
    "neutral",
    "synthesize",
]
