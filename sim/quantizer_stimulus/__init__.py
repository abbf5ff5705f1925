"""What is put into a quantizer unit: numbers that go to its thresholds, its midpoints and its ends."""

from .directed_blocks import directed
from .random_blocks import bulk, random
from .stimulus import QuantizerStimulus, from_numbers
from .thresholds import scale_thresholds, step_parts

__all__ = [
    "QuantizerStimulus",
    "bulk",
    "directed",
    "from_numbers",
    "random",
    "scale_thresholds",
    "step_parts",
]
