"""Running a unit: stimulus, the rules of its streams, and the engines that play it."""

from ..base.external_tools import Tool, ToolError
from .engines.run import BUILD_DIR, ENGINES, Engine, run
from .stimulus import Stimulus, from_blocks, random
from .stream_rules import EngineError, Response, Rule, StreamError
from .tile_matmul import matmul

__all__ = [
    "BUILD_DIR",
    "ENGINES",
    "Engine",
    "EngineError",
    "Response",
    "Rule",
    "Stimulus",
    "StreamError",
    "Tool",
    "ToolError",
    "from_blocks",
    "matmul",
    "random",
    "run",
]
