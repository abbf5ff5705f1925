import dataclasses
import json
import re

import numpy as np
import pytest
from blockdot.cli.simulated_inputs import read_operand, tensor_stimulus
from blockdot.hw import DotUnit
from blockdot.model import DotSpec, matmul, quantize
from blockdot.model.io.nvfp4_files import write_checkpoint
from blockdot.sim import Response
from messages import untyped

SMALL = ("--block-size", 4, "--engine", "pysim", "--vectors", 40)


def test_random_inputs_agree_with_the_model(blockdot):
    done = blockdot("simulate", "--scale", "ue4m3", "--accumulate", "exact", "--stages", 2, *SMALL, "--json")
    assert done.code == 0
    run = json.loads(done.out)
    assert run["unit"] == "blockdot_e2m1_ue4m3_n4_exact_s2"
    assert (run["vectors"], run["mismatches"], run["first_mismatch"]) == (40, 0, "")
    assert run["results"] > 0


def test_a_published_tensor_core_agrees_with_the_model(blockdot):
    name = "volta-fp16-fp16"
    done = blockdot("simulate", "--preset", name, "--engine", "pysim", "--vectors", 12, "--json")
    assert done.code == 0
    run = json.loads(done.out)
    assert run["unit"] == f"blockdot_{DotSpec.preset(name)}_s1"
    assert (run["vectors"], run["mismatches"]) == (12, 0)


def test_a_unit_whose_sums_start_at_c_agrees_with_the_model(blockdot):
    done = blockdot("simulate", "--accumulate", "aligned", "--takes-c", *SMALL, "--json")
    assert done.code == 0
    run = json.loads(done.out)
    assert run["unit"] == "blockdot_e2m1_ue5m3_n4_aligned_c_s1"
    assert (run["vectors"], run["mismatches"]) == (40, 0)


def test_a_quantizer_agrees_with_the_model(blockdot, refused):
    quantizer = (
        "simulate",
        "--unit",
        "quantizer",
        "--scale",
        "ue2m0",
        "--block-size",
        2,
        "--engine",
        "pysim",
    )
    done = blockdot(*quantizer, "--method", "prevent_zero", "--stages", 1, "--vectors", 40, "--json")
    assert done.code == 0
    run = json.loads(done.out)
    assert run["unit"] == "blockdot_quantize_bf16_e2m1_ue2m0_n2_prevent_zero_s1"
    assert (run["vectors"], run["results"], run["mismatches"]) == (40, 40, 0)
    done = blockdot(*quantizer, "--directed")
    assert done.code == 0
    assert "results equal the model's, bit for bit" in done.out
    drawn = (*quantizer, "--rounding", "stochastic", "--random-bits", 3, "--vectors", 40)
    done = blockdot(*drawn, "--tensor-scale")
    assert done.code == 0
    assert "40 of 40 results equal the model's, bit for bit" in done.out
    assert refused(*quantizer, "--random-bits", 3) == (
        "--random-bits must go with --rounding stochastic, not with nearest_even"
    )
    assert refused(*quantizer, "--blocks", 2) == "--blocks must go with --unit dot, not with quantizer"
    assert refused("simulate", "--method", "ceil") == "--method must go with --unit quantizer, not with dot"


def test_a_serial_quantizer_agrees_with_the_model(blockdot, refused):
    command = ("simulate", "--unit", "quantizer", "--serial", "--scale", "ue2m0", "--block-size", 4)
    done = blockdot(*command, "--engine", "pysim", "--vectors", 20, "--json")
    assert done.code == 0
    run = json.loads(done.out)
    assert run["unit"] == "blockdot_serial_quantize_bf16_e2m1_ue2m0_n4_absmax_s1"
    assert (run["vectors"], run["results"], run["mismatches"]) == (80, 80, 0)
    assert refused(*command, "--rounding", "stochastic") == (
        "rounding must be nearest_even for a serial quantizer, not stochastic"
    )
    assert refused("simulate", "--serial") == "--serial must go with --unit quantizer, not with dot"


def test_a_dequantizer_agrees_with_the_model(blockdot, refused):
    command = (
        "simulate",
        "--unit",
        "dequantizer",
        "--scale",
        "ue2m0",
        "--block-size",
        2,
        "--engine",
        "pysim",
    )
    done = blockdot(*command, "--output-format", "fp32", "--directed", "--json")
    assert done.code == 0
    run = json.loads(done.out)
    assert run["unit"] == "blockdot_dequantize_e2m1_ue2m0_n2_fp32_s0"
    assert (run["vectors"], run["mismatches"]) == (64, 0)
    assert refused(*command, "--tensor", "x.npy") == (
        "--tensor must go with --unit dot or quantizer, not with dequantizer"
    )
    assert refused("simulate", "--output-format", "fp32") == (
        "--output-format must go with --unit dequantizer, not with dot"
    )


def test_a_tensor_s_blocks_go_through_the_unit(blockdot, matrix):
    done = blockdot("simulate", "--block-size", 16, "--engine", "pysim", "--tensor", matrix)
    assert done.code == 0
    assert "24 inputs" in done.out  # 6 rows of 4 blocks
    assert "24 of 24 results equal the model's, bit for bit" in done.out


def test_a_tensor_s_numbers_go_through_a_quantizer(blockdot, refused, matrix):
    command = ("simulate", "--unit", "quantizer", "--block-size", 4, "--engine", "pysim", "--tensor", matrix)
    done = blockdot(*command, "--method", "prevent_zero")
    assert done.code == 0
    assert "96 of 96 results equal the model's, bit for bit" in done.out  # 6 rows of 16 blocks
    assert refused(*command[:3], "--block-size", 128, "--tensor", matrix) == (
        f"tensor {matrix} must have blocks of 128 along its last axis, not shape (6, 64)"
    )
    assert refused(*command, "--vectors", 3) == (
        "vectors must not be given with a tensor, whose blocks are the vectors"
    )
    assert refused(*command, "--directed") == (
        "directed must come without a tensor and without vectors, which it chooses"
    )


def test_a_row_is_one_sum_where_the_unit_accumulates(blockdot, matrix, rng):
    np.save("other.npy", rng.normal(size=(2, 64)).astype(np.float32))
    done = blockdot(
        "simulate", "--accumulate", "fp32", "--blocks", 2, "--engine", "pysim",
        "--tensor", matrix, "--against", "other.npy", "--json",
    )  # fmt: skip
    run = json.loads(done.out)
    assert (run["vectors"], run["results"], run["mismatches"]) == (12, 6, 0)


def test_tensor_scales_of_both_operands_multiply_each_result(rng):
    spec = DotSpec(scale="ue4m3", block_size=4, accumulate="fp32", tensor_scale=True)
    pair = [
        quantize(rng.normal(size=(3, 8)).astype(np.float32), scale="ue4m3", block_size=4, tensor_scale=True)
        for _ in range(2)
    ]
    stimulus = tensor_stimulus(spec, *pair)
    wanted = np.diag(matmul(spec, *pair))
    assert pair[0].tensor_scale != 1
    np.testing.assert_array_equal(stimulus.expected(), wanted.copy().view(np.uint32))


def test_the_whole_of_a_tensor_agrees_on_the_compiled_engine(blockdot, matrix, tmp_path):
    done = blockdot("simulate", "--block-size", 8, "--tensor", matrix, "--build-dir", "made")
    assert done.code == 0
    assert "48 of 48 results equal the model's, bit for bit" in done.out
    assert list((tmp_path / "made" / "sim").glob("*.so"))


def test_an_nvfp4_checkpoint_s_own_blocks_go_through_the_unit(blockdot, refused, rng, tmp_path):
    """Not those of quantizing it again: a scale that no quantizer would choose tells them apart."""
    x = rng.normal(size=(6, 64)).astype(np.float32)
    tensor = quantize(x, scale="ue4m3", tensor_scale=True)
    tensor = dataclasses.replace(tensor, scales=rng.integers(0, 0x7F, tensor.scales.shape, np.uint8))
    path = tmp_path / "m.safetensors"
    write_checkpoint(path, {"layer.0": tensor.shape}, lambda _: tensor, "modelopt")
    for name in ("layer.0", "layer.0.weight"):
        done = blockdot(
            "simulate", "--scale", "ue4m3", "--engine", "pysim", "--tensor", f"{path}:{name}", "--no-stalls",
            "--build-dir", tmp_path / "made",
        )  # fmt: skip
        assert "24 of 24 results equal the model's, bit for bit" in done.out
    seen = read_operand(DotSpec(scale="ue4m3"), 0, f"{path}:layer.0")
    np.testing.assert_array_equal(seen.scales, tensor.scales)
    assert refused("simulate", "--scale", "ue5m3", "--tensor", f"{path}:layer.0") == (
        f"tensor {path}:layer.0 must be e2m1 with ue5m3 scales in blocks of 16 for e2m1_ue5m3_n16_none, "
        "not e2m1 with ue4m3 in blocks of 16"
    )


def test_a_mismatch_is_told_with_the_command_that_repeats_it(blockdot, monkeypatch):
    from blockdot import sim

    honest = sim.run

    def lying(unit: DotUnit, *arguments: object, **options: object) -> Response:
        response = honest(unit, *untyped(arguments), **untyped(options))
        response.results[7] ^= 1 << 12
        return response

    monkeypatch.setattr(sim, "run", lying)
    done = blockdot("simulate", "--stages", 1, *SMALL, "--seed", 5)
    assert done.code == 1
    assert "39 of 40 results equal the model's, bit for bit" in done.out
    assert "result 7 (vector 7," in done.out
    repeat = re.search(r"repeat: blockdot (.+)", done.out)
    assert repeat
    assert "--seed 5 --vectors 40" in repeat[1]
    assert "--stages 1" in repeat[1]
    monkeypatch.setattr(sim, "run", honest)
    assert blockdot(*repeat[1].split()).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vectors", 0], "vectors must be at least 1, not 0"),
        (["--seed", -1], "seed must be at least 0, not -1"),
        (["--against", "matrix.npy"], "against must come with a tensor, not alone"),
        (
            ["--tensor", "matrix.npy", "--vectors", 3],
            "vectors must not be given with a tensor, whose blocks are the vectors",
        ),
        (
            ["--tensor", "matrix.npy", "--scale", "ue4m3xue5m3"],
            "against must be given where the operands' formats differ, not left out",
        ),
        (["--tensor", "matrix.npy", "--blocks", 8], "blocks must divide the 4 blocks of a row, not be 8"),
        (["--tensor", "nowhere.npy"], "tensor file must exist, not 'nowhere.npy'"),
        (
            ["--preset", "hopper-e4m3", "--fraction", 9, "--accumulate", "aligned"],
            "--preset must go without --accumulate, which it says itself",
        ),
        (
            # Also where it is what it is by default.
            ["--preset", "hopper-e4m3", "--block-size", 16],
            "--preset must go without --block-size, which it says itself",
        ),
        (
            ["--unit", "quantizer", "--accumulate", "none"],
            "--accumulate must go with --unit dot, not with quantizer",
        ),
        (
            ["--unit", "quantizer", "--random-bits", 8],
            "--random-bits must go with --rounding stochastic, not with nearest_even",
        ),
        (["--takes-c"], "takes_c must be False for accumulate='none', not True"),
        (
            ["--tensor-scale", "--result", "binary16"],
            "tensor_scale must be False for result='binary16', not True",
        ),
        (
            ["--unit", "dequantizer", "--tensor-scale"],
            "--tensor-scale must go with --unit quantizer, not with dequantizer",
        ),
        (
            ["--unit", "quantizer", "--preset", "hopper-e4m3"],
            "--preset must go with --unit dot, not with quantizer",
        ),
    ],
)
@pytest.mark.usefixtures("matrix")
def test_refuses_what_cannot_be(refused, arguments, message):
    assert refused("simulate", "--engine", "pysim", *arguments) == message


def test_a_missing_tool_is_named_with_how_to_get_it(refused, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert refused("simulate", "--engine", "cxxrtl") == (
        "c++ must be installed for engines cxxrtl and verilator, not missing: apt install g++, or set CXX"
    )
