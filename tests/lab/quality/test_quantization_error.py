import dataclasses

import numpy as np
import pytest
from blockdot.lab.quality.quantization_error import (
    Quantization,
    combinations,
    expect,
    measure_errors,
    statistics,
    summarize,
)
from blockdot.lab.quality.tensor_report import QuantizationReport, examine_tensors
from blockdot.model import quantize
from blockdot.model.quantize import METHODS
from blockdot.model.scale_selection import POWER_OF_TWO_METHODS
from blockdot.model.theory import expected_error, sampled_error
from messages import check_messages


def test_combinations_are_those_that_go_together():
    ways = combinations(["ue4m3", "ue8m0"], [8, 32], METHODS, "e2m1", tensor_scale=True)
    assert [way.label for way in ways[:3]] == [
        "ue4m3 N=8 absmax +g",
        "ue4m3 N=32 absmax +g",
        "ue8m0 N=8 absmax +g",
    ]
    assert len(ways) == 2 * (4 + 7)
    assert not any(way.scale == "ue4m3" and way.method in POWER_OF_TWO_METHODS for way in ways)
    other = combinations(["ue8m0"], [8], METHODS, "e4m3")
    assert [way.method for way in other] == ["absmax", "prevent_zero", "search", "floor", "even", "ceil"]


def test_measures_what_quantize_makes(rng):
    x = rng.laplace(size=(4, 3, 64)).astype(np.float32)
    for way in (
        Quantization(scale="ue4m3", block_size=8, method="four_over_six", tensor_scale=True),
        Quantization(scale="ue4m3", recipe="transformer_engine"),
        Quantization("e4m3", "ue8m0", 32, "floor"),
        Quantization(rounding="stochastic"),
    ):
        seen = measure_errors(x, way, seed=3)
        tensor = quantize(
            x, way.element, way.scale, way.block_size, way.method, way.tensor_scale,
            rounding=way.rounding, rng=np.random.default_rng(3), recipe=way.recipe,
        )  # fmt: skip
        wanted = ((x.astype(np.float64) - tensor.dequantize()) ** 2).mean() / (
            x.astype(np.float64) ** 2
        ).mean()
        assert seen.mse == pytest.approx(wanted, rel=1e-12)
        assert seen.sqnr == pytest.approx(-10 * np.log10(wanted))
        assert seen.tensor_scale == tensor.tensor_scale
        assert measure_errors(x, way, quantized=tensor, known=statistics(x), seed=3) == seen


def test_expects_what_theory_says_under_the_tensor_scale(rng):
    x = (0.01 * rng.standard_normal((64, 256))).astype(np.float32)
    way = Quantization(scale="ue4m3", tensor_scale=True)
    seen = measure_errors(x, way)
    sigma = statistics(x).sigma
    assert seen.tensor_scale is not None
    assert seen.expected == expected_error(sigma / seen.tensor_scale, scale="ue4m3").mse
    # These are independent normal values, after all.
    assert seen.mse == pytest.approx(seen.expected, rel=0.05)
    plain = measure_errors(x, Quantization(scale="ue4m3"))
    assert plain.mse == pytest.approx(plain.expected, rel=0.05)
    assert plain.mse > 1.5 * seen.mse


def test_what_has_no_integral_is_sampled():
    way = Quantization(method="search")
    drawn = sampled_error(0.1, method="search", blocks=100, seed=2)
    seen = expect(0.1, way, blocks=100, seed=2)
    assert (seen.mse, seen.uncertainty, seen.sampled) == (drawn.mse, drawn.standard_error, True)
    random = Quantization(rounding="stochastic")
    assert expect(0.1, random, blocks=100).mse == sampled_error(0.1, rounding="stochastic", blocks=100).mse
    assert expect(0.1, Quantization(), blocks=100, sampled=True).mse == sampled_error(0.1, blocks=100).mse


def test_low_blocks_are_counted():
    x = np.zeros((2, 64), np.float32)
    x[0, 16] = 2.0**-12  # amax / 6 is below half of ue4m3's least scale, 2**-9
    x[0, 32] = 6 * 2.0**-8  # a subnormal scale
    x[1, 48] = 6.0
    error = measure_errors(x, Quantization(scale="ue4m3"))
    assert (error.zero_blocks, error.subnormal_blocks) == (1 / 8, 1 / 8)
    assert measure_errors(x, Quantization(scale="ue8m0")).subnormal_blocks == 0
    assert measure_errors(x, Quantization(scale="ue4m3", method="prevent_zero")).zero_blocks == 0


def test_saturated_blocks_are_counted(rng):
    x = rng.standard_normal((2, 64)).astype(np.float32)
    x[0, 16] = 6 * 448.0  # what the largest scale just reaches
    x[0, 32] = -6.01 * 448.0
    x[1, 48] = 1e5
    assert measure_errors(x, Quantization(scale="ue4m3")).saturated_blocks == 2 / 8
    assert measure_errors(x, Quantization(scale="ue5m3")).saturated_blocks == 0
    for x_of_one in (x, x * np.float32(1 / 3), x * np.float32(0.7)):
        assert measure_errors(x_of_one, Quantization(scale="ue4m3", tensor_scale=True)).saturated_blocks == 0


def test_a_tensor_of_zeros_has_no_error_and_no_expectation():
    error = measure_errors(np.zeros((2, 32), np.float32), Quantization(tensor_scale=True))
    assert (error.mse, error.sqnr, error.expected, error.uncertainty) == (0.0, float("inf"), None, None)
    assert (error.zero_blocks, error.subnormal_blocks, error.saturated_blocks) == (0.0, 0.0, 0.0)


def test_the_whole_is_what_its_elements_make(rng):
    """A summary is what one tensor of all elements would give, but for sigma, which is each tensor's own."""
    ways = combinations(["ue4m3"], [8], ["absmax", "four_over_six"])
    tensors = [(s * rng.standard_normal((n, 32))).astype(np.float32) for s, n in ((0.01, 20), (0.3, 60))]
    parts = [(statistics(x), [measure_errors(x, way) for way in ways]) for x in tensors]
    for k, whole in enumerate(summarize(parts)):
        assert whole.quantization == ways[k]
        assert whole.tensor_scale is None
        assert whole.mse == pytest.approx(0.25 * parts[0][1][k].mse + 0.75 * parts[1][1][k].mse)
        noise = sum(
            x.size * known.sigma**2 * errors[k].mse for x, (known, errors) in zip(tensors, parts, strict=True)
        )
        signal = sum(float((x.astype(np.float64) ** 2).sum()) for x in tensors)
        assert whole.sqnr == pytest.approx(10 * np.log10(signal / noise))
        assert whole.subnormal_blocks == pytest.approx(
            0.25 * parts[0][1][k].subnormal_blocks + 0.75 * parts[1][1][k].subnormal_blocks
        )
    assert summarize([]) == []


def test_a_report_s_rows_and_document_agree(rng):
    ways = combinations(["ue4m3", "ue5m3"], [16], ["absmax"])
    report = QuantizationReport("model.safetensors", left_out={"bias": "it has fewer than two axes"})
    for name in ("a", "b"):
        report.tensors.append(examine_tensors(name, rng.standard_normal((4, 32)).astype(np.float32), ways))
    rows, document = report.rows(), report.document()
    assert [row["tensor"] for row in rows] == ["a", "a", "b", "b", "(all)", "(all)"]
    assert all(list(row) == list(rows[0]) for row in rows)
    assert rows[2]["shape"] == "4x32"
    assert document["tensors"][1]["errors"][0]["mse"] == rows[2]["mse"]
    assert document["summary"][1]["scale"] == rows[5]["scale"] == "ue5m3"
    assert rows[5]["elements"] == 256
    assert document["left_out"] == report.left_out
    assert dataclasses.asdict(ways[0]).items() - {("tensor_scale", False)} <= rows[0].items()


def test_messages():
    check_messages(
        [
            (
                ValueError,
                f"method must be one of {', '.join(METHODS)}, not 'best'",
                lambda: combinations(["ue4m3"], [8], ["absmax", "best"]),
            ),
            (
                ValueError,
                "scale must be ue8m0 for method 'ceil', not 'ue5m3'",
                lambda: combinations(["ue5m3"], [8], ["ceil"]),
            ),
            (
                ValueError,
                "scale must be an unsigned format, not 'e4m3'",
                lambda: combinations(["ue4m3", "e4m3"], [8], ["absmax", "search"]),
            ),
        ]
    )
