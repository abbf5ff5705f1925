"""The specifications of all kinds of units, by their names."""

from typing import TypeAlias

from .dequantizer import DequantizerSpec
from .presets import preset
from .quantizer import QuantizerSpec
from .spec import DotSpec

__all__ = ["Specification", "parse_specification"]

Specification: TypeAlias = DotSpec | QuantizerSpec | DequantizerSpec
"""What a dot product, a quantizer or a dequantizer computes."""


def parse_specification(name: str) -> Specification:
    """Return the specification of that name: of a quantizer, a dequantizer, or else a dot product.

    A dot product may be named as a published tensor core is, such as ``hopper-e4m3``: see `DotSpec.preset`.

    Raises:
        ValueError: If it is none's name, or a part of it is not allowed.
    """
    if "-" in str(name):  # which no other specification has in its name
        return preset(name)
    kinds = {"quantize": QuantizerSpec, "dequantize": DequantizerSpec}
    return kinds.get(str(name).split("_")[0], DotSpec).parse(name)
