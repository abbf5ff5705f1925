"""Synthesis: one netlist to gates, area and delay."""

from .flow import Synthesizer, synthesize
from .liberty import Library
from .metric import Metric
from .netlist import Netlist
from .neutral_library import neutral
from .recipes import RECIPES, Recipe
from .synthesis_point import SynthesisPoint
from .yosys import SynthesisError

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
