"""One layer of a model at a time: the ways that quantize it alone, and what that makes of its matrices."""

from collections.abc import Iterator
from dataclasses import replace

from ..quality.quantization_error import measure_errors, statistics, summarize
from .arithmetic import MATRICES, Arithmetic, QuantizedProducts
from .model import LanguageModel
from .report import LayerErrors
from .weights import FloatValues

__all__ = ["layer_errors", "layer_ways"]


def layer_ways(model: LanguageModel, arithmetic: Arithmetic) -> list[Arithmetic]:
    """Return a way to compute products for each layer: that layer quantized alone.

    Those that are left alone have none. The embeddings and the head count as layers.

    Args:
        model: The model.
        arithmetic: How all layers together are quantized.
    """
    layers = model.configuration.layers
    known = QuantizedProducts(arithmetic, layers)
    names = ["embeddings", *(f"layers.{k}" for k in range(layers)), "head"]
    return [
        replace(arithmetic, only=name)
        for name in names
        if not known.leaves_alone(f"{name}.query" if name.startswith("layers.") else name)
    ]


def layer_errors(model: LanguageModel, arithmetic: Arithmetic, seed: int = 0) -> LayerErrors:
    """Return what quantizing makes of the matrices of the one layer that `arithmetic` quantizes.

    Args:
        model: The model.
        arithmetic: One of `layer_ways`.
        seed: Of rounding at random.
    """
    assert arithmetic.quantization is not None
    products = QuantizedProducts(arithmetic, model.configuration.layers, seed)
    measured = []
    for name, weight in _matrices(model, str(arithmetic.only)):
        narrowed = products.narrowed(weight)
        known = statistics(narrowed)
        codes = products.weights(name, weight)
        error = measure_errors(narrowed, arithmetic.quantization, quantized=codes, known=known, seed=seed)
        measured.append((known, [error]))
    elements = sum(known.elements for known, _ in measured)
    energy = sum(known.elements * known.sigma**2 for known, _ in measured)
    (error,) = summarize(measured)
    return LayerErrors(len(measured), elements, (energy / elements) ** 0.5, error)


def _matrices(model: LanguageModel, layer: str) -> Iterator[tuple[str, FloatValues]]:
    """Yield the names and values of a layer's matrices."""
    if layer.startswith("layers."):
        for part in MATRICES:
            weight = model.weights.find(f"{layer}.{part}")
            if weight is not None:
                yield f"{layer}.{part}", weight
    else:
        # A head that the model does not have is its embedding.
        name = "embedding" if layer == "embeddings" or model.configuration.tied else "head"
        yield name if layer == "embeddings" else "head", model.weights.read(name)
