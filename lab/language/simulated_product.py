"""A product of a model on a simulated tile, against the one that the evaluation uses."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...hw import DotArray
from ...hw.config import least_stages
from ...model import BlockTensor
from ...sim import simulate_matmul
from .arithmetic import MATRICES, Arithmetic, QuantizedProducts
from .model import LanguageModel
from .transformer import Linear, Transformer
from .weights import FloatValues

__all__ = ["SimulatedProduct", "simulate_product"]


@dataclass(frozen=True, eq=False)
class SimulatedProduct:
    """What a tile makes of a slice of a product, and what the evaluation uses.

    Attributes:
        name: The matrix.
        tile: The tile's name.
        length: Products in each sum.
        simulated: The tile's results, a row for each token and a column for each output.
        used: Those of the evaluation.
    """

    name: str
    tile: str
    length: int
    simulated: npt.NDArray[np.float32]
    used: npt.NDArray[np.float32]

    @property
    def equal(self) -> int:
        """How many results are the same, bit for bit."""
        return int((self.simulated.view(np.uint32) == self.used.view(np.uint32)).sum())

    def text(self) -> str:
        """Return what came of it, as one line."""
        tokens, outputs = self.used.shape
        return (
            f"{self.name} on {self.tile}: {self.equal} of {self.used.size} results equal those of the "
            f"evaluation, bit for bit; {tokens} tokens, {outputs} outputs, {self.length} products in each"
        )


class _FoundError(Exception):
    """The product that was looked for has been computed: the rest of the model need not be."""


class _Watched(QuantizedProducts):
    """Products as the evaluation has them, which keeps the operands and the result of one of them."""

    def __init__(self, arithmetic: Arithmetic, layers: int, seed: int, name: str) -> None:
        super().__init__(arithmetic, layers, seed)
        self.name = name
        self.seen: tuple[BlockTensor, BlockTensor, FloatValues] | None = None
        self._watching = False

    def linear(self, name: str, weight: FloatValues) -> Linear:
        """See `ModelProducts.linear`."""
        product = super().linear(name, weight)
        if name != self.name:
            return product

        def watched(x: FloatValues) -> FloatValues:
            self._watching = True
            return product(x)

        return watched

    def _product(self, x: BlockTensor, weights: BlockTensor) -> FloatValues:
        found = super()._product(x, weights)
        if self._watching:
            self.seen = x, weights, found
            raise _FoundError
        return found


def simulate_product(
    model: LanguageModel,
    windows: npt.NDArray[np.int64],
    arithmetic: Arithmetic,
    name: str,
    *,
    tokens: int = 8,
    outputs: int = 8,
    shape: tuple[int, int] = (2, 2),
    seed: int = 0,
    build_dir: Path,
) -> SimulatedProduct:
    """Evaluate a window until a product is there, and compute a slice of it on a simulated tile as well.

    Args:
        model: The model.
        windows: Tokens, shape (windows, tokens); the first window is taken.
        arithmetic: How products are computed: as a unit does.
        name: The matrix, such as ``layers.0.query``.
        tokens: Rows of activations that the tile is given, the window's first.
        outputs: Rows of weights, the matrix's first.
        shape: Rows and columns of the tile.
        seed: Of rounding at random.
        build_dir: Where compiled tiles are kept.

    Raises:
        ToolError: If a tool is missing.
        ValueError: If the model has no such matrix, it is not quantized, or no unit computes the product.
    """
    spec = arithmetic.spec
    if spec is None:
        raise ValueError(
            f"accumulate must name a unit's sums for a simulation, not {arithmetic.accumulate!r}"
        )
    array = DotArray(spec, rows=shape[0], columns=shape[1], stages=least_stages(spec))
    layers = model.configuration.layers
    known = [f"layers.{k}.{part}" for k in range(layers) for part in MATRICES]
    if name not in known or model.weights.find(name) is None:
        raise ValueError(f"simulate must be a matrix of the model, such as layers.0.query, not {name!r}")
    products = _Watched(arithmetic, layers, seed, name)
    if products.leaves_alone(name):
        raise ValueError(f"simulate must be a matrix that is quantized, not {name!r}, which is left alone")
    with contextlib.suppress(_FoundError):
        Transformer(model.configuration, model.weights, products).states(windows[:1])
    assert products.seen is not None
    x, weights, found = products.seen
    simulated = simulate_matmul(array, _first(x, tokens), _first(weights, outputs), build_dir=build_dir)
    used = np.ascontiguousarray(found[:tokens, :outputs])
    return SimulatedProduct(name, array.name, x.shape[-1], simulated, used)


def _first(tensor: BlockTensor, rows: int) -> BlockTensor:
    return replace(tensor, codes=tensor.codes[:rows], scales=tensor.scales[:rows])
