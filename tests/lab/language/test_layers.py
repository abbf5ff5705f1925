"""One layer quantized alone, against what is put together by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import Arithmetic, QuantizedProducts, combine
from blockdot.lab.language.layers import layer_errors, layer_ways
from blockdot.lab.language.model import open_model
from blockdot.lab.language.report import EvaluatedWay, EvaluationReport
from blockdot.lab.language.transformer import FloatProducts, Transformer
from blockdot.lab.quality.quantization_error import Quantization
from blockdot.model import quantize
from messages import check_messages
from tiny_models import write_model

pytest.importorskip("tokenizers")

WAY = Quantization(scale="ue4m3", block_size=8)
TOKENS = np.random.default_rng(0).integers(0, 256, (2, 24))


@pytest.fixture
def model(tmp_path: Path):
    return open_model(write_model(tmp_path / "model"))[0]


def names(model, **facts) -> list[str | None]:
    return [way.only for way in layer_ways(model, Arithmetic(quantization=WAY, **facts))]


def test_what_counts_as_a_layer(model):
    assert names(model) == ["layers.0", "layers.1"]
    assert names(model, left_alone=()) == ["embeddings", "layers.0", "layers.1", "head"]
    assert names(model, left_alone=("first", "head")) == ["embeddings", "layers.1"]
    assert names(model, left_alone=("last",)) == ["embeddings", "layers.0", "head"]


class _ByHand(FloatProducts):
    """Quantizes the weights whose names begin so."""

    def __init__(self, beginning: str) -> None:
        self.beginning = beginning

    def linear(self, name, weight):
        if name.startswith(self.beginning):
            weight = quantize(weight / np.float32(16), "e2m1", "ue4m3", 8).dequantize() * np.float32(16)
        return super().linear(name, weight)


@pytest.mark.parametrize("only", ["layers.1", "head"])
def test_one_layer_alone_is_quantized(model, only):
    way = Arithmetic(quantization=WAY, narrow=4, left_alone=(), only=only)
    config, weights = model.configuration, model.weights
    found = Transformer(config, weights, QuantizedProducts(way, config.layers)).log_likelihoods(TOKENS)
    wanted = Transformer(config, weights, _ByHand(only)).log_likelihoods(TOKENS)
    np.testing.assert_array_equal(found, wanted)
    assert not np.array_equal(found, Transformer(config, weights).log_likelihoods(TOKENS))


def test_the_embeddings_alone(model):
    products = QuantizedProducts(Arithmetic(quantization=WAY, left_alone=(), only="embeddings"), 2)
    table = model.weights.read("embedding")
    np.testing.assert_array_equal(products.embedding(table), quantize(table, "e2m1", "ue4m3", 8).dequantize())
    assert products.leaves_alone("head")
    assert products.leaves_alone("layers.0.query")


def test_errors_are_those_of_all_matrices_together(model):
    way = Arithmetic(quantization=WAY, narrow=6, only="layers.0")
    parts = ("query", "key", "value", "attention_output", "gate", "up", "down")
    found = layer_errors(model, way)
    # By hand: narrower, quantized, and every block looked at.
    narrow = [model.weights.read(f"layers.0.{part}") / np.float32(64) for part in parts]
    codes = [quantize(values, "e2m1", "ue4m3", 8) for values in narrow]
    flat = np.concatenate([values.reshape(-1) for values in narrow]).astype(np.float64)
    scales = np.concatenate([one.scales.reshape(-1) for one in codes])
    assert (found.matrices, found.elements) == (len(parts), flat.size)
    assert found.sigma == pytest.approx(np.sqrt(np.mean(flat**2)))
    each = [
        np.mean((values.astype(np.float64) - one.dequantize()) ** 2) / np.mean(values.astype(np.float64) ** 2)
        for values, one in zip(narrow, codes, strict=True)
    ]
    weights = [values.size for values in narrow]
    assert found.error.mse == pytest.approx(np.average(each, weights=weights))
    assert found.error.zero_blocks == pytest.approx(np.mean(scales == 0))
    assert found.error.subnormal_blocks == pytest.approx(np.mean((scales > 0) & (scales < 8)))
    assert found.error.zero_blocks > 0
    assert found.error.expected == pytest.approx(found.error.mse, rel=0.2)


def test_a_tied_head_is_the_embedding(model, tmp_path):
    way = Arithmetic(quantization=WAY, left_alone=(), only="head")
    tied = open_model(write_model(tmp_path / "tied", "gpt2"))[0]
    assert tied.configuration.tied
    assert layer_errors(tied, way) == layer_errors(tied, replace(way, only="embeddings"))
    assert layer_errors(model, way) != layer_errors(model, replace(way, only="embeddings"))


def test_the_report_has_a_row_for_each_layer(model, rng):
    sweep = combine([WAY], left_alone=("head",))
    alone = layer_ways(model, sweep[1])
    likely = rng.normal(-2, 1, (5, 45))
    report = EvaluationReport({}, {}, tuple(map(EvaluatedWay, sweep, likely)), 10)
    layers = tuple(
        report.layer(way, layer_errors(model, way.arithmetic)) for way in map(EvaluatedWay, alone, likely[2:])
    )
    report = replace(report, layers=layers)
    rows = report.rows()
    assert [row["layer"] for row in rows] == ["embeddings", "layers.0", "layers.1"]
    assert {row["way"] for row in rows} == {sweep[1].label}
    document = report.document()
    assert document["layers"] == rows
    assert len(document["ways"]) == 2
    for row, values in zip(rows, likely[2:], strict=True):
        assert row["percent"] == pytest.approx(100 * np.expm1(likely[0].mean() - values.mean()))
        assert row["percent_low"] < row["percent"] < row["percent_high"]


def test_activations_and_presets_that_do_not_fit():
    def way(**facts):
        return lambda: Arithmetic(quantization=WAY, **facts)

    nvfp4 = Quantization(scale="ue4m3", block_size=16)
    check_messages(
        [
            (
                ValueError,
                "operands must be 'both' for activation_method 'absmax', not 'weights'",
                way(activation_method="absmax"),
            ),
            (
                ValueError,
                "scale must be ue8m0 for method 'floor', not 'ue4m3'",
                way(activation_method="floor", operands="both"),
            ),
            (
                ValueError,
                "recipe must be None for activation_method 'absmax', not 'transformer_engine'",
                lambda: Arithmetic(
                    quantization=replace(nvfp4, recipe="transformer_engine"),
                    operands="both",
                    activation_method="absmax",
                ),
            ),
            (
                ValueError,
                "block_size must be 16 for preset 'blackwell-nvfp4', not 8",
                way(operands="both", accumulate="aligned", blocks=4, preset="blackwell-nvfp4"),
            ),
            (
                ValueError,
                "accumulate must be aligned for preset 'blackwell-nvfp4', not 'none'",
                lambda: Arithmetic(quantization=nvfp4, operands="both", preset="blackwell-nvfp4"),
            ),
        ]
    )


def test_activations_have_a_method_of_their_own(rng):
    weight = rng.normal(0, 0.1, (24, 32)).astype(np.float32)
    x = rng.normal(0, 1, (1, 6, 32)).astype(np.float32)
    way = replace(WAY, method="four_over_six")
    products = QuantizedProducts(Arithmetic(quantization=way, operands="both", activation_method="absmax"), 2)
    found = products.linear("layers.0.query", weight)(x)
    weights = quantize(weight, "e2m1", "ue4m3", 8, "four_over_six").dequantize()
    codes = quantize(x[0], "e2m1", "ue4m3", 8, "absmax").dequantize()
    np.testing.assert_allclose(found[0], codes @ weights.T, rtol=1e-6)
    both = combine([WAY, way], activation_methods=[None, "absmax"])[1:]
    assert [(one.quantization.method, one.activation_method) for one in both if one.quantization] == [
        ("absmax", None),
        ("four_over_six", None),
        ("four_over_six", "absmax"),
    ]
    assert {one.operands for one in both} == {"both"}


@pytest.mark.parametrize("way", [Quantization("e2m1", "ue8m0", 8, "floor"), replace(WAY, tensor_scale=True)])
def test_a_factor_of_two_changes_nothing_under_these_scales(way, rng):
    weight = rng.normal(0, 0.1, (24, 32)).astype(np.float32)
    x = rng.normal(0, 1, (1, 6, 32)).astype(np.float32)
    found = [
        QuantizedProducts(Arithmetic(quantization=way, operands="both", narrow=narrow), 2).linear("", weight)(
            x
        )
        for narrow in (0, 4)
    ]
    np.testing.assert_array_equal(found[0], found[1])
