"""Random stimulus of whatever a specification is of."""

from types import ModuleType

from ..model import DequantizerSpec, QuantizerSpec
from ..model.specifications import Specification
from . import dequantizer_stimulus, quantizer_stimulus, random_stimulus
from .unit_stimulus import UnitStimulus

__all__ = ["draw", "draw_bulk"]


def _of_kind(spec: Specification) -> ModuleType:
    """Return the module with the stimulus of a specification's kind."""
    match spec:
        case QuantizerSpec():
            return quantizer_stimulus
        case DequantizerSpec():
            return dequantizer_stimulus
        case _:
            return random_stimulus


def draw(spec: Specification, vectors: int, *, seed: int) -> UnitStimulus:
    """Return what `random` of the specification's kind draws, with gaps and back-pressure.

    Args:
        spec: What the unit computes.
        vectors: How many inputs, at least 1.
        seed: Seed of everything random; not negative.

    Raises:
        ValueError: If a number is outside its domain.
    """
    drawn: UnitStimulus = _of_kind(spec).random(spec, vectors, seed=seed)
    return drawn


def draw_bulk(spec: Specification, vectors: int, *, seed: int) -> UnitStimulus:
    """Return random stimulus that costs little to make, for runs of many millions.

    Args:
        spec: What the unit computes.
        vectors: How many inputs, at least 8.
        seed: Seed of everything random; not negative.

    Raises:
        ValueError: If a number is outside its domain.
    """
    drawn: UnitStimulus = _of_kind(spec).bulk(spec, vectors, seed=seed)
    return drawn
