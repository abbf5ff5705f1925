"""How the products of a model are computed: in float32, or with operands quantized in blocks."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from ...base.argument_checks import require_int
from ...model import BlockTensor, DotSpec, formats, matmul
from ...model.quantize import Method, require_method
from ...model.spec import Accumulate
from ..quality.quantization_error import Quantization
from .transformer import FloatProducts, Linear
from .weights import FloatValues, Weights

if TYPE_CHECKING:
    from .model import LanguageModel

__all__ = [
    "LEFT_ALONE",
    "MATRICES",
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

MATRICES: Final = ("query_key_value", "query", "key", "value", "attention_output", "gate", "up", "down")
"""The matrices that a layer may have."""

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
        activation_method: How scales of activations are chosen, where not as those of weights are; None for
            no difference. Weights are quantized once, by software; activations again and again, by hardware.
        accumulate: ``none`` for products in float32 of what the codes are worth; else the accumulation of a
            unit, whose bits `blockdot.model.matmul` gives.
        blocks: Blocks that the unit takes at once; see `DotSpec`.
        guard: Likewise.
        fraction: Likewise.
        preset: The published tensor core that the unit is; see `blockdot.model.presets`. Its formats, block
            size, accumulation, blocks and fraction are those above.
        narrow: Weights are divided by ``2**narrow`` before they are quantized, and their products multiplied
            by it: what a model with weights so much narrower would show, whose norms make up for it. It
            changes nothing where scales reach far enough, and nothing at all in float32.
        left_alone: What is not quantized.
        only: The one layer that is quantized, such as ``layers.3``, or ``embeddings`` or ``head``; None for
            all that are not left alone.
    """

    quantization: Quantization | None = None
    operands: Operands = "weights"
    activation_method: Method | None = None
    accumulate: Accumulate = "none"
    blocks: int = 1
    guard: int = 16
    fraction: int = 35
    preset: str | None = None
    narrow: int = 0
    left_alone: tuple[LeftAlone, ...] = ("embeddings", "head")
    only: str | None = None

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
        if self.activation_method is not None:
            self._check_activation_method(self.activation_method)
        if self.preset is not None:
            self._check_preset(self.preset)
        # A unit that is none is refused here, not after an hour.
        _ = self.spec

    def _check_preset(self, name: str) -> None:
        spec, way = DotSpec.preset(name), self.quantization
        for fact, value, only in (
            ("element", way and way.element, spec.element),
            ("scale", way and way.scale, spec.scale),
            ("block_size", way and way.block_size, spec.block_size),
            ("accumulate", self.accumulate, spec.accumulate),
            ("blocks", self.blocks, spec.blocks),
            ("fraction", self.fraction, spec.fraction),
        ):
            if value != only:
                raise ValueError(f"{fact} must be {only} for preset {name!r}, not {value!r}")

    def _check_activation_method(self, method: Method) -> None:
        way = self.quantization
        if way is None or self.operands != "both":
            raise ValueError(
                f"operands must be 'both' for activation_method {method!r}, not {self.operands!r}"
            )
        if way.recipe is not None:
            raise ValueError(f"recipe must be None for activation_method {method!r}, not {way.recipe!r}")
        require_method(method, formats.get(way.element), formats.get(way.scale))

    @property
    def activations(self) -> Quantization | None:
        """How activations are quantized; None where they are not."""
        if self.quantization is None or self.operands != "both":
            return None
        return replace(self.quantization, method=self.activation_method or self.quantization.method)

    @property
    def spec(self) -> DotSpec | None:
        """What the unit computes; None where products are in float32."""
        way = self.quantization
        if way is None or self.accumulate == "none":
            return None
        if self.preset is not None:
            return DotSpec.preset(self.preset)
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
        if self.operands == "both":
            words.append(
                "activations too"
                if self.activation_method is None
                else f"activations {self.activation_method}"
            )
        words += [] if self.spec is None else [self.preset or self.accumulate]
        words += [f"weights / 2**{self.narrow}"] if self.narrow else []
        words += [f"{self.only} alone"] if self.only else []
        return ", ".join(words)


def combine(
    quantizations: Sequence[Quantization],
    operands: Sequence[Operands] | None = None,
    accumulates: Sequence[Accumulate] = ("none",),
    *,
    activation_methods: Sequence[Method | None] = (None,),
    blocks: int = 1,
    guard: int = 16,
    fraction: int = 35,
    preset: str | None = None,
    narrows: Sequence[int] = (0,),
    left_alone: tuple[LeftAlone, ...] = ("embeddings", "head"),
) -> list[Arithmetic]:
    """Return the model as it is, and every combination that there is, once.

    Args:
        quantizations: How operands are quantized.
        operands: What is quantized; where it is None the weights, or both where a unit accumulates or
            activations have a method of their own. Where there are several, those that do not go with
            these are left out.
        accumulates: How products are accumulated.
        activation_methods: How scales of activations are chosen; None for as those of weights.
        blocks: See `Arithmetic`; of one without an accumulation it is 1.
        guard: See `Arithmetic`.
        fraction: See `Arithmetic`.
        preset: See `Arithmetic`.
        narrows: How much narrower weights are made; see `Arithmetic`.
        left_alone: See `Arithmetic`.

    Raises:
        ValueError: If a combination is none.
    """
    found = [Arithmetic(left_alone=left_alone)]
    needs_both = any(method is not None for method in activation_methods)
    for narrow, way, accumulate in itertools.product(narrows, quantizations, accumulates):
        plain: Sequence[Operands] = ("weights",) if accumulate == "none" and not needs_both else ("both",)
        fitting: Sequence[Operands] = operands or plain
        for of, method in itertools.product(fitting, activation_methods):
            if (accumulate != "none" or method is not None) and of != "both" and len(fitting) > 1:
                continue
            found.append(
                Arithmetic(
                    quantization=way,
                    operands=of,
                    activation_method=None if method == way.method else method,
                    accumulate=accumulate,
                    blocks=1 if accumulate == "none" else blocks,
                    guard=guard,
                    fraction=fraction,
                    preset=preset,
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
        """Return whether a matrix, or the table of embeddings, is not quantized."""
        places = {
            "embeddings": "embeddings",
            "head": "head",
            "layers.0": "first",
            f"layers.{self.layers - 1}": "last",
        }
        place = name.rpartition(".")[0] or name
        alone, only = self.arithmetic.left_alone, self.arithmetic.only
        if only not in (None, place):
            return True
        # A model of one layer has the first for the last as well.
        return places.get(place) in alone or (place == "layers.0" and "first" in alone)

    def linear(self, name: str, weight: FloatValues) -> Linear:
        """See `ModelProducts.linear`."""
        if self.leaves_alone(name):
            return self._float.linear(name, weight)
        weights = self.weights(name, weight)
        activations = self.arithmetic.activations
        if activations is None:
            return self._float.linear(name, weights.dequantize() * self._grow)

        def by_window(x: FloatValues) -> FloatValues:
            codes = (self._quantize(name, window, activations) for window in x)
            return np.stack([self._product(window, weights) for window in codes]) * self._grow

        def by_value(x: FloatValues) -> FloatValues:
            codes = (self._quantize(name, window, activations) for window in x)
            return multiply(np.stack([window.dequantize() for window in codes]))

        if self.spec is not None:
            return by_window
        multiply = self._float.linear(name, weights.dequantize() * self._grow)
        return by_value

    def embedding(self, table: FloatValues) -> FloatValues:
        """See `ModelProducts.embedding`."""
        if self.leaves_alone("embeddings"):
            return table
        return self.weights("embedding", table).dequantize() * self._grow

    def narrowed(self, weight: FloatValues) -> FloatValues:
        """Return a matrix as narrow as it is quantized."""
        return weight * self._shrink

    def weights(self, name: str, weight: FloatValues) -> BlockTensor:
        """Return the codes of a matrix, made narrower."""
        return self._quantize(name, self.narrowed(weight), self.quantization)

    def _product(self, x: BlockTensor, weights: BlockTensor) -> FloatValues:
        assert self.spec is not None
        return matmul(self.spec, x, weights)

    def _quantize(self, name: str, x: FloatValues, way: Quantization) -> BlockTensor:
        seed = self.seed
        if way.rounding == "stochastic":
            # Of its own for each matrix, and for each window's activations.
            dice = hashlib.sha256(f"{seed} {name} ".encode() + x.tobytes()).digest()
            seed = int.from_bytes(dice[:8], "little")
        try:
            return way.quantize(x, seed)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _quantized(weights: Weights, layers: int, alone: tuple[LeftAlone, ...]) -> Iterator[tuple[str, int]]:
    """Yield the matrices of one layer, and what else is quantized, with the columns of each."""
    last = layers - 1
    left = {0} if "first" in alone else set()
    left |= {last} if "last" in alone else set()
    inside = [k for k in range(layers) if k not in left]
    for part in MATRICES if inside else ():
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
