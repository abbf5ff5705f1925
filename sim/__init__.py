"""Running the hardware: stimulus from the model, engines that play it, and the comparison of the bits."""

from .check import Comparison, Mismatch, command, compare
from .engines import BUILD_DIR, ENGINES, Engine, run
from .stream import EngineError, Response, Rule, StreamError
from .tile import matmul
from .tools import Tool, ToolError
from .vectors import Stimulus, from_blocks, random

__all__ = [
    "BUILD_DIR",
    "ENGINES",
    "Comparison",
    "Engine",
    "EngineError",
    "Mismatch",
    "Response",
    "Rule",
    "Stimulus",
    "StreamError",
    "Tool",
    "ToolError",
    "command",
    "compare",
    "from_blocks",
    "matmul",
    "random",
    "run",
]
