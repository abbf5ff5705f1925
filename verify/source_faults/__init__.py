"""Faults in the generator's source, by the kind of unit that they are in."""

from .dequantizer import DEQUANTIZER_FAULTS
from .dot_product import FAULTS
from .quantizer import QUANTIZER_FAULTS
from .source_fault import SourceFault
from .tensor_scale import TENSOR_SCALE_FAULTS

__all__ = ["DEQUANTIZER_FAULTS", "FAULTS", "QUANTIZER_FAULTS", "TENSOR_SCALE_FAULTS", "SourceFault"]
