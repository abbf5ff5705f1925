"""Running a unit: stimulus, the rules of its streams, and the engines that play it."""

from ..base.external_tools import Tool, ToolError
from .dequantizer_stimulus import DequantizerStimulus
from .engines.run import BUILD_DIR, ENGINES, Engine, run
from .quantizer_stimulus import QuantizerStimulus
from .random_stimulus import random
from .serial_stimulus import SerialStimulus
from .simulated_quantize import simulate_quantize
from .stimulus import Stimulus, from_blocks
from .stream_rules import EngineError, Response, StreamError, StreamRule
from .tile_matmul import simulate_matmul

__all__ = [
    "BUILD_DIR",
    "ENGINES",
    "DequantizerStimulus",
    "Engine",
    "EngineError",
    "QuantizerStimulus",
    "Response",
    "SerialStimulus",
    "Stimulus",
    "StreamError",
    "StreamRule",
    "Tool",
    "ToolError",
    "from_blocks",
    "random",
    "run",
    "simulate_matmul",
    "simulate_quantize",
]
