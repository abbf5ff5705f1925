"""What the numbers are: formats, quantizers, and the block dot product, in numpy alone."""

from . import formats
from .dequantizer import DequantizerSpec
from .formats import Format
from .matmul import matmul
from .quantize import quantize
from .quantizer import QuantizerSpec
from .spec import DotSpec
from .tensor import BlockTensor

__all__ = [
    "BlockTensor",
    "DequantizerSpec",
    "DotSpec",
    "Format",
    "QuantizerSpec",
    "formats",
    "matmul",
    "quantize",
]
