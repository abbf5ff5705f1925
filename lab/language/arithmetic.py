"""How the products of a model are computed: in float32, or with operands quantized in blocks."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from ...base.argument_checks import require_int
from ...model import BlockTensor, DotSpec, matmul
from ...model.spec import Accumulate
from ..quality.quantization_error import Quantization
from .transformer import FloatProducts, Linear
from .weights import FloatValues, Weights

if TYPE_CHECKING:
    from .model import LanguageModel

__all__ = [
    "LEFT_ALONE",
    "NARROWEST",
    "OPERANDS",
    "Arithmetic",
    "LeftAlone",
    "Operands",
    "QuantizedProducts",
    "check_columns",
]

LeftAlone = Literal["embeddings", "head", "first", "last"]

LEFT_ALONE: Final[tuple[LeftAlone, ...]] = ("embeddings", "head", "first", "last")
"""What need not be quantized: the table of embeddings, the head, the first layer, the last layer."""

NARROWEST: Final = 32
"""Binary orders by which weights can be made narrower, or wider, at most."""

Operands = Literal["weights", "both"]

OPERANDS: Final[tuple[Operands, ...]] = ("weights", "both")
"""What is quantized of a product: its weights, or its activations too."""


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How the products with a model's weights are computed.

    Attributes:
        quantization: How operands are quantized, along the axis that products are summed over; None where
            everything stays in float32.
        operands: What is quantized.
        accumulate: ``none`` for products in float32 of what the codes are worth; else the accumulation of a
            unit, whose bits `blockdot.model.matmul` gives.
        blocks: Blocks that the unit takes at once; see `DotSpec`.
        guard: Likewise.
        fraction: Likewise.
        narrow: Weights are divided by ``2**narrow`` before they are quantized, and their products multiplied
            by it: what a model with weights so much narrower would show, whose norms make up for it. It
            changes nothing where scales reach far enough, and nothing at all in float32.
        left_alone: What is not quantized.
    """

    quantization: Quantization | None = None
    operands: Operands = "weights"
    accumulate: Accumulate = "none"
    blocks: int = 1
    guard: int = 16
    fraction: int = 35
    narrow: int = 0
    left_alone: tuple[LeftAlone, ...] = ("embeddings", "head")

    def __post_init__(self) -> None:
        if not -NARROWEST <= require_int("narrow", self.narrow) <= NARROWEST:
            raise ValueError(f"narrow must be from {-NARROWEST} to {NARROWEST}, not {self.narrow}")
        if self.operands not in OPERANDS:
            raise ValueError(f"operands must be one of {', '.join(OPERANDS)}, not {self.operands!r}")
        for name in self.left_alone:
            if name not in LEFT_ALONE:
                raise ValueError(f"left_alone must be of {', '.join(LEFT_ALONE)}, not {name!r}")
        if self.accumulate != "none" and (self.quantization is None or self.operands != "both"):
            raise ValueError(
                f"operands must be 'both' for accumulate {self.accumulate!r}, as units take codes of both, "
                f"not {self.operands!r}"
            )
        # A unit that is none is refused here, not after an hour.
        _ = self.spec

    @property
    def spec(self) -> DotSpec | None:
        """What the unit computes; None where products are in float32."""
        way = self.quantization
        if way is None or self.accumulate == "none":
            return None
        return DotSpec(
            element=way.element,
            scale=way.scale,
            block_size=way.block_size,
            blocks=self.blocks,
            accumulate=self.accumulate,
            guard=self.guard,
            fraction=self.fraction,
        )

    @property
    def label(self) -> str:
        """A short name."""
        if self.quantization is None:
            return "not quantized"
        way = self.quantization
        words = [way.label if way.element == "e2m1" else f"{way.element} {way.label}"]
        words += [way.rounding] if way.rounding != "nearest_even" else []
        words += ["activations too"] if self.operands == "both" else []
        words += [] if self.spec is None else [self.accumulate]
        words += [f"weights / 2**{self.narrow}"] if self.narrow else []
        return ", ".join(words)


def combine(
    quantizations: Sequence[Quantization],
    operands: Sequence[Operands] | None = None,
    accumulates: Sequence[Accumulate] = ("none",),
    *,
    blocks: int = 1,
    guard: int = 16,
    fraction: int = 35,
    narrows: Sequence[int] = (0,),
    left_alone: tuple[LeftAlone, ...] = ("embeddings", "head"),
) -> list[Arithmetic]:
    """Return the model as it is, and every combination that there is, once.

    Args:
        quantizations: How operands are quantized.
        operands: What is quantized; where it is None the weights, or both where a unit accumulates. Where
            there are several, those that do not go with an accumulation are left out.
        accumulates: How products are accumulated.
        blocks: See `Arithmetic`; of one without an accumulation it is 1.
        guard: See `Arithmetic`.
        fraction: See `Arithmetic`.
        narrows: How much narrower weights are made; see `Arithmetic`.
        left_alone: See `Arithmetic`.

    Raises:
        ValueError: If a combination is none.
    """
    found = [Arithmetic(left_alone=left_alone)]
    for narrow, way, accumulate in itertools.product(narrows, quantizations, accumulates):
        fitting: Sequence[Operands] = operands or (("weights",) if accumulate == "none" else ("both",))
        for of in fitting:
            if accumulate != "none" and of != "both" and len(fitting) > 1:
                continue
            found.append(
                Arithmetic(
                    quantization=way,
                    operands=of,
                    accumulate=accumulate,
                    blocks=1 if accumulate == "none" else blocks,
                    guard=guard,
                    fraction=fraction,
                    narrow=narrow,
                    left_alone=left_alone,
                )
            )
    return list(dict.fromkeys(found))


class QuantizedProducts:
    """Products whose operands are quantized in blocks.

    Activations are quantized window by window: a tensor scale is that of one window, and nothing depends on
    how windows are taken together.

    Args:
        arithmetic: How they are computed.
        layers: How many layers the model has.
        seed: Of rounding at random.
    """

    def __init__(self, arithmetic: Arithmetic, layers: int, seed: int = 0) -> None:
        assert arithmetic.quantization is not None
        self.arithmetic, self.quantization = arithmetic, arithmetic.quantization
        self.spec, self.layers, self.seed = arithmetic.spec, layers, seed
        self._float = FloatProducts()
        # Powers of two, which round nothing.
        self._shrink, self._grow = (
            np.float32(2.0**power) for power in (-arithmetic.narrow, arithmetic.narrow)
        )

    def leaves_alone(self, name: str) -> bool:
        """Return whether a matrix is not quantized."""
        places = {"head": "head", "layers.0": "first", f"layers.{self.layers - 1}": "last"}
        place = name.rpartition(".")[0] or name
        alone = self.arithmetic.left_alone
        # A model of one layer has the first for the last as well.
        return places.get(place) in alone or (place == "layers.0" and "first" in alone)

    def linear(self, name: str, weight: FloatValues) -> Linear:
        """See `ModelProducts.linear`."""
        if self.leaves_alone(name):
            return self._float.linear(name, weight)
        weights = self._quantize(name, weight * self._shrink)
        if self.arithmetic.operands == "weights":
            return self._float.linear(name, weights.dequantize() * self._grow)

        def by_window(x: FloatValues) -> FloatValues:
            products = [self._product(self._quantize(name, window), weights) for window in x]
            return np.stack(products) * self._grow

        def by_value(x: FloatValues) -> FloatValues:
            return multiply(np.stack([self._quantize(name, window).dequantize() for window in x]))

        if self.spec is not None:
            return by_window
        multiply = self._float.linear(name, weights.dequantize() * self._grow)
        return by_value

    def embedding(self, table: FloatValues) -> FloatValues:
        """See `ModelProducts.embedding`."""
        if "embeddings" in self.arithmetic.left_alone:
            return table
        return self._quantize("embedding", table * self._shrink).dequantize() * self._grow

    def _product(self, x: BlockTensor, weights: BlockTensor) -> FloatValues:
        assert self.spec is not None
        return matmul(self.spec, x, weights)

    def _quantize(self, name: str, x: FloatValues) -> BlockTensor:
        seed = self.seed
        if self.quantization.rounding == "stochastic":
            # Of its own for each matrix, and for each window's activations.
            dice = hashlib.sha256(f"{seed} {name} ".encode() + x.tobytes()).digest()
            seed = int.from_bytes(dice[:8], "little")
        return self.quantization.quantize(x, seed)


def _quantized(weights: Weights, layers: int, alone: tuple[LeftAlone, ...]) -> Iterator[tuple[str, int]]:
    """Yield the matrices of one layer, and what else is quantized, with the columns of each."""
    last = layers - 1
    left = {0} if "first" in alone else set()
    left |= {last} if "last" in alone else set()
    inside = [k for k in range(layers) if k not in left]
    parts = ("query_key_value", "query", "key", "value", "attention_output", "gate", "up", "down")
    for part in parts if inside else ():
        name = f"layers.{inside[0]}.{part}"
        weight = weights.find(name)
        if weight is not None:
            yield name, weight.shape[1]
    if not {"embeddings", "head"} <= set(alone):
        yield "embedding", weights.read("embedding").shape[1]


def check_columns(model: "LanguageModel", ways: Sequence[Arithmetic]) -> None:
    """Refuse blocks that do not fit a model's matrices.

    Raises:
        ValueError: If one that is to be quantized has columns that are no whole blocks, or groups of them.
    """
    # To know its columns a matrix is read: once, however many ways there are.
    known: dict[tuple[LeftAlone, ...], list[tuple[str, int]]] = {}
    for arithmetic in ways:
        way, alone = arithmetic.quantization, arithmetic.left_alone
        if way is None:
            continue
        if alone not in known:
            known[alone] = list(_quantized(model.weights, model.configuration.layers, alone))
        if not known[alone]:
            raise ValueError("left_alone must leave something to quantize, not everything")
        group = way.block_size * (1 if arithmetic.spec is None else arithmetic.blocks)
        for name, columns in known[alone]:
            if columns % group:
                raise ValueError(
                    f"blocks of {arithmetic.label} must fill the {columns} columns of {name}, "
                    f"not be {group} long"
                )
