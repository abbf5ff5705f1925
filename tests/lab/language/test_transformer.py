"""The forward pass, and what quantized products are."""

from pathlib import Path

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import Arithmetic, QuantizedProducts, combine
from blockdot.lab.language.attention import attend
from blockdot.lab.language.configuration import from_hugging_face
from blockdot.lab.language.transformer import Transformer
from blockdot.lab.language.weights import HuggingFaceWeights
from blockdot.lab.quality.quantization_error import Quantization
from blockdot.model import DotSpec, matmul, quantize
from blockdot.model.io.model_files import ModelFiles
from messages import check_messages
from tiny_models import CONFIGS, HEAD, HEADS, SHARED, VOCABULARY, WIDTH, slow_logits, write_model

TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, (2, 11))


def opened(folder: Path, architecture: str = "llama") -> tuple:
    configuration = from_hugging_face(CONFIGS[architecture], "it")
    return configuration, HuggingFaceWeights(ModelFiles(write_model(folder, architecture)), configuration)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_forward_pass_is_what_a_token_by_token_loop_computes(architecture, tmp_path):
    configuration, weights = opened(tmp_path, architecture)
    assert weights.unknown() == []
    transformer = Transformer(configuration, weights)
    logits = transformer.logits(TOKENS)
    wanted = np.array([slow_logits(architecture, window.tolist()) for window in TOKENS])
    assert logits.shape == (2, 11, VOCABULARY)
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())
    likelihoods = wanted - np.log(np.exp(wanted).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(likelihoods[:, :-1], TOKENS[:, 1:, np.newaxis], axis=-1)[..., 0]
    np.testing.assert_allclose(transformer.log_likelihoods(TOKENS), chosen, atol=1e-4)


@pytest.mark.parametrize("reach", [None, 3, 50])
def test_attention_does_not_depend_on_how_queries_are_cut(reach, rng):
    q, k, v = (rng.normal(size=(20, count, HEAD)).astype(np.float32) for count in (HEADS, SHARED, SHARED))
    whole = attend(q, k, v, 0.3, reach)
    cut = attend(q, k, v, 0.3, reach, chunk=7 * HEADS * 20)
    np.testing.assert_allclose(cut, whole, atol=1e-6)


def quantized(**options) -> Arithmetic:
    ways = {key: options.pop(key) for key in list(options) if key in Quantization.__dataclass_fields__}
    return Arithmetic(quantization=Quantization(**{"block_size": 8, **ways}), **options)


def test_weights_are_quantized_along_their_rows(rng):
    weight, x = rng.normal(size=(6, 32)).astype(np.float32), rng.normal(size=(2, 5, 32)).astype(np.float32)
    linear = QuantizedProducts(quantized(scale="ue4m3"), 2).linear("layers.0.up", weight)
    wanted = x @ quantize(weight, scale="ue4m3", block_size=8).dequantize().T
    np.testing.assert_array_equal(linear(x), wanted)


def test_with_activations_a_tensor_scale_is_a_window_s(rng):
    weight, x = rng.normal(size=(6, 32)).astype(np.float32), rng.normal(size=(2, 5, 32)).astype(np.float32)
    x[1] *= 100
    way = quantized(scale="ue4m3", tensor_scale=True, operands="both")
    seen = QuantizedProducts(way, 2).linear("layers.0.up", weight)(x)
    w = quantize(weight, scale="ue4m3", block_size=8, tensor_scale=True).dequantize()
    for window, result in zip(x, seen, strict=True):
        a = quantize(window, scale="ue4m3", block_size=8, tensor_scale=True).dequantize()
        np.testing.assert_allclose(result, a @ w.T, rtol=1e-6, atol=1e-5 * np.abs(result).max())


@pytest.mark.parametrize(("accumulate", "blocks"), [("fp32", 1), ("exact", 1), ("aligned", 4)])
def test_a_unit_s_bits_are_matmul_s(accumulate, blocks, rng):
    weight, x = rng.normal(size=(6, 64)).astype(np.float32), rng.normal(size=(2, 5, 64)).astype(np.float32)
    x[..., 40:] *= 2.0**-9
    way = quantized(operands="both", accumulate=accumulate, blocks=blocks)
    seen = QuantizedProducts(way, 2).linear("layers.1.down", weight)(x)
    spec = DotSpec(block_size=8, accumulate=accumulate, blocks=blocks)
    for window, result in zip(x, seen, strict=True):
        wanted = matmul(spec, quantize(window, block_size=8), quantize(weight, block_size=8))
        np.testing.assert_array_equal(result.view(np.int32), wanted.view(np.int32))


@pytest.mark.parametrize("options", [{}, {"operands": "both"}, {"operands": "both", "accumulate": "exact"}])
def test_narrower_weights_are_those_of_a_model_that_makes_up_for_it(options, rng):
    weight, x = rng.normal(size=(6, 64)).astype(np.float32), rng.normal(size=(1, 5, 64)).astype(np.float32)

    def product(scale: str, narrow: int, weight: np.ndarray) -> np.ndarray:
        way = quantized(scale=scale, narrow=narrow, **options)
        return QuantizedProducts(way, 2).linear("layers.0.up", weight)(x)

    for scale in ("ue4m3", "ue5m3"):
        narrow = product(scale, 6, weight)
        np.testing.assert_array_equal(narrow, product(scale, 0, weight / np.float32(64)) * np.float32(64))
        same = bool((narrow == product(scale, 0, weight)).all())
        assert same == (scale == "ue5m3")  # whose scales reach far enough


def test_rounding_at_random_is_a_matrix_s_own_and_the_same_again(rng):
    weight = rng.normal(size=(16, 64)).astype(np.float32)
    x = np.eye(64, dtype=np.float32)[np.newaxis]

    def seen(name: str, seed: int) -> np.ndarray:
        return QuantizedProducts(quantized(rounding="stochastic"), 2, seed).linear(name, weight)(x)

    np.testing.assert_array_equal(seen("layers.0.up", 1), seen("layers.0.up", 1))
    assert (seen("layers.0.up", 1) != seen("layers.0.gate", 1)).any()
    assert (seen("layers.0.up", 1) != seen("layers.0.up", 2)).any()


@pytest.mark.parametrize(
    ("alone", "left"),
    [
        (("embeddings", "head"), {"head", "embedding"}),
        (("first",), {"layers.0.up"}),
        (("last", "head"), {"layers.2.up", "head"}),
        ((), set()),
    ],
)
def test_what_is_left_alone(alone, left, rng):
    products = QuantizedProducts(quantized(left_alone=alone), 3)
    weight = rng.normal(size=(4, 16)).astype(np.float32)
    names = ["layers.0.up", "layers.1.up", "layers.2.up", "head"]
    x = np.eye(16, dtype=np.float32)[np.newaxis]
    same = {name for name in names if (weight == products.linear(name, weight)(x)[0].T).all()}
    same |= {"embedding"} if (products.embedding(weight) == weight).all() else set()
    assert same == left


def test_a_model_of_one_layer_has_it_first_and_last():
    assert QuantizedProducts(quantized(left_alone=("first",)), 1).leaves_alone("layers.0.up")
    assert QuantizedProducts(quantized(left_alone=("last",)), 1).leaves_alone("layers.0.up")


def test_a_sweep_has_the_model_as_it_is_first_and_each_way_once():
    ways = [Quantization(block_size=size) for size in (8, 16, 8)]
    found = combine(ways, ["weights", "both"], ["none", "fp32"])
    assert [way.label for way in found] == [
        "not quantized",
        "ue5m3 N=8 absmax",
        "ue5m3 N=8 absmax, activations too",
        "ue5m3 N=8 absmax, activations too, fp32",
        "ue5m3 N=16 absmax",
        "ue5m3 N=16 absmax, activations too",
        "ue5m3 N=16 absmax, activations too, fp32",
    ]
    assert combine(ways[:1], None, ["exact"])[1].operands == "both"


def test_errors(tmp_path):
    configuration, weights = opened(tmp_path)
    transformer = Transformer(configuration, weights)
    check_messages(
        [
            (
                ValueError,
                "window must be at most the model's 64 tokens, not 65",
                lambda: transformer.logits(np.zeros((1, 65), int)),
            ),
            (
                ValueError,
                "tokens must be below the model's 256, not 256",
                lambda: transformer.logits(np.array([[256]])),
            ),
            (
                ValueError,
                "operands must be 'both' for accumulate 'fp32', as units take codes of both, not 'weights'",
                lambda: quantized(accumulate="fp32"),
            ),
            (
                ValueError,
                "left_alone must be of embeddings, head, first, last, not 'middle'",
                lambda: quantized(left_alone=("middle",)),
            ),
            (ValueError, "narrow must be from -32 to 32, not 33", lambda: quantized(narrow=33)),
            (
                ValueError,
                "operands must be one of weights, both, not 'neither'",
                lambda: quantized(operands="neither"),
            ),
        ]
    )
    assert configuration.width == WIDTH
