"""NVFP4 as other packages make it, bit for bit: float32 throughout, one rounding at each step.

Each class says in which order its package multiplies and divides, and which scales it allows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from .formats import Format
from .scale_selection import Blocks

__all__ = ["RECIPE_CLASSES", "QuantizeRecipe"]

QuantizeRecipe = Literal["transformer_engine", "compressed_tensors", "modelopt", "torchao"]

_Codes = npt.NDArray[np.unsignedinteger]
_Floats = npt.NDArray[np.float32]

_LARGEST: Final = np.finfo(np.float32).max
_SIX: Final = np.float32(6)
_RANGE: Final = np.float32(6 * 448)  # the largest element times the largest scale


@dataclass(frozen=True)
class _Recipe(ABC):
    """What the recipes have in common.

    Attributes:
        element: ``e2m1``.
        scale: ``ue4m3``.
        largest: The largest magnitude of the tensor.
    """

    element: Format
    scale: Format
    largest: float

    @property
    @abstractmethod
    def tensor_scale(self) -> float:
        """What every element is multiplied by."""

    @abstractmethod
    def choose(self, blocks: Blocks) -> _Codes:
        """Return the scale codes of some blocks."""

    @abstractmethod
    def encode(self, rows: _Floats, scales: _Codes) -> _Codes:
        """Return the element codes of blocks, one a row, under their scale codes."""

    @property
    def is_staircase(self) -> bool:
        """Not where a block of zeros has a scale of its own, as most packages give it."""
        return False

    def _spread(self, factors: _Floats, rows: _Floats) -> _Floats:
        return np.repeat(factors, rows.shape[1]).reshape(rows.shape)

    def _values(self, scales: _Codes) -> _Floats:
        return self.scale.values.astype(np.float32)[scales]


class _TransformerEngine(_Recipe):
    """NVIDIA's Transformer Engine."""

    @property
    def is_staircase(self) -> bool:
        return True

    @cached_property
    def _multiplier(self) -> np.float32:
        with np.errstate(over="ignore"):
            encode = np.float32(448 * 6) / np.float32(self.largest) if self.largest else np.float32(1)
        return min(encode, _LARGEST)

    @property
    def _divisor(self) -> np.float32:
        return np.float32(1) / self._multiplier

    @property
    def tensor_scale(self) -> float:
        return float(self._divisor)

    def choose(self, blocks: Blocks) -> _Codes:
        multiplier_over_six = self._multiplier * (np.float32(1) / np.float32(6))
        with np.errstate(over="ignore", under="ignore"):
            return self.scale.encode_nearest(blocks.largest * multiplier_over_six)

    def encode(self, rows: npt.NDArray[np.float32], scales: _Codes) -> _Codes:
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            factors = np.minimum(np.float32(1) / (self._values(scales) * self._divisor), _LARGEST)
            spread = self._spread(factors, rows)
            return self.element.encode_nearest(np.multiply(rows, spread, out=spread))


class _CompressedTensors(_Recipe):
    """compressed-tensors 0.20, on float32 weights.

    A scale of zero becomes 0.125. A number that rounds to zero keeps its sign, but zero has none.
    """

    @cached_property
    def _divisor(self) -> np.float32:
        """What its checkpoints call the global scale."""
        with np.errstate(over="ignore"):
            divisor = _RANGE / np.maximum(np.float32(self.largest), np.finfo(np.float32).tiny)
        return divisor if np.isfinite(divisor) else np.float32(1)

    @property
    def tensor_scale(self) -> float:
        return float(np.float32(1) / self._divisor)

    def choose(self, blocks: Blocks) -> _Codes:
        with np.errstate(over="ignore", under="ignore"):
            codes = self.scale.encode_nearest(self._divisor * (blocks.largest / _SIX))
        return np.where(codes == 0, self.scale.encode_nearest(np.array([0.125], np.float32)), codes)

    def encode(self, rows: _Floats, scales: _Codes) -> _Codes:
        with np.errstate(over="ignore", under="ignore"):
            quotients = rows / self._spread(self._values(scales) / self._divisor, rows)
        return self.element.encode_nearest(quotients + np.float32(0))


class _DividingRecipe(_Recipe):
    """A recipe whose scale for the tensor is a divisor of all numbers.

    Where the package's own would be zero, and so its scales NaN, 1 stands here.
    """

    @cached_property
    def _factor(self) -> np.float32:
        with np.errstate(under="ignore"):
            return np.float32(self.largest) / _RANGE or np.float32(1)

    @property
    def tensor_scale(self) -> float:
        return float(self._factor)


class _ModelOpt(_DividingRecipe):
    """ModelOpt 0.47, on float32 weights.

    A block of zeros has the scale 1, and no scale is below 2**-9. A number that rounds to zero keeps its
    sign, but zero has none.
    """

    def choose(self, blocks: Blocks) -> _Codes:
        with np.errstate(over="ignore", under="ignore"):
            scales = blocks.largest / (_SIX * self._factor)
        scales = np.where(scales == 0, np.float32(1), scales)
        return self.scale.encode_nearest(np.clip(scales, np.float32(2**-9), np.float32(448)))

    def encode(self, rows: _Floats, scales: _Codes) -> _Codes:
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            quotients = rows / self._spread(self._values(scales) * self._factor, rows)
        return self.element.encode_nearest(quotients + np.float32(0))


class _TorchAO(_DividingRecipe):
    """torchao 0.18's ``nvfp4_quantize`` with a scale for the tensor; no scale is below 2**-6."""

    def choose(self, blocks: Blocks) -> _Codes:
        with np.errstate(over="ignore", under="ignore"):
            scales = (blocks.largest / _SIX) / self._factor
        return self.scale.encode_nearest(np.clip(scales, np.float32(2**-6), np.float32(448)))

    def encode(self, rows: _Floats, scales: _Codes) -> _Codes:
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            reciprocals = np.minimum((np.float32(1) / self._factor) / self._values(scales), _LARGEST)
            return self.element.encode_nearest(rows * self._spread(reciprocals, rows))


RECIPE_CLASSES: Final[dict[QuantizeRecipe, type[_Recipe]]] = {
    "transformer_engine": _TransformerEngine,
    "compressed_tensors": _CompressedTensors,
    "modelopt": _ModelOpt,
    "torchao": _TorchAO,
}
