"""Directed stimulus of whatever a specification is of."""

import functools

from ..model import DequantizerSpec, DotSpec, QuantizerSpec
from ..model.specifications import Specification
from ..sim import dequantizer_stimulus, quantizer_stimulus
from ..sim.unit_stimulus import UnitStimulus
from .coverage import directed

__all__ = ["directed_stimulus"]


# Of a unit it is asked several times in a row, and it takes seconds where there are many corners.
@functools.lru_cache(maxsize=2)
def directed_stimulus(spec: Specification, *, long: bool = False) -> UnitStimulus:
    """Return the inputs that go to the corners of a specification.

    Args:
        spec: What the unit computes.
        long: Whether there are sums of 65536 groups; of a dot product alone.

    Raises:
        ValueError: If `long` is asked of what sums nothing.
    """
    if long and not isinstance(spec, DotSpec):
        kind = "dequantizer" if isinstance(spec, DequantizerSpec) else "quantizer"
        raise ValueError(f"long must be False for a {kind}, which sums nothing: {spec.name}")
    match spec:
        case QuantizerSpec():
            return quantizer_stimulus.directed(spec)
        case DequantizerSpec():
            return dequantizer_stimulus.directed(spec)
        case _:
            return directed.directed(spec, long=long)
