import json

import numpy as np
import pytest
from blockdot.model import quantize
from safetensors.numpy import save_file


def test_reports_the_error_of_each_configuration(blockdot, matrix):
    done = blockdot("quantize", matrix, "--scale", "ue4m3", "--scale", "ue5m3", "--block-size", 8, "--json")
    (tensor,) = json.loads(done.out)["tensors"]
    x = np.load(matrix).astype(np.float64)
    assert tensor["shape"] == [6, 64]
    assert tensor["sigma"] == pytest.approx(np.sqrt((x**2).mean()))
    assert tensor["crest"] == pytest.approx(np.abs(x).max() / tensor["sigma"])
    for error in tensor["errors"]:
        back = quantize(np.load(matrix), scale=error["scale"], block_size=8).dequantize()
        mse = ((x - back) ** 2).mean() / (x**2).mean()
        assert error["mse"] == pytest.approx(mse)
        assert error["sqnr"] == pytest.approx(-10 * np.log10(mse))
    assert [error["scale"] for error in tensor["errors"]] == ["ue4m3", "ue5m3"]


def test_counts_blocks_whose_scale_is_zero_or_subnormal(blockdot):
    x = np.zeros((1, 64), np.float32)
    x[0, 16] = 2.0**-12  # amax / 6 is below half of ue4m3's least scale, 2**-9
    x[0, 32] = 6 * 2.0**-8  # a subnormal scale
    x[0, 48] = 6.0
    np.save("narrow.npy", x)
    done = blockdot("quantize", "narrow.npy", "--scale", "ue4m3", "--json")
    (error,) = json.loads(done.out)["tensors"][0]["errors"]
    assert (error["zero_blocks"], error["subnormal_blocks"]) == (0.25, 0.25)


def test_of_a_file_takes_the_matrices_and_says_what_is_left_out(blockdot, rng):
    save_file(
        {
            "weight": rng.normal(size=(4, 32)).astype(np.float32),
            "bias": np.ones(32, np.float32),
            "odd": np.ones((4, 9), np.float32),
            "ids": np.ones((4, 32), np.int64),
        },
        "model.safetensors",
    )
    done = blockdot("quantize", "model.safetensors")
    assert done.code == 0
    assert "weight" in done.out
    assert "fewer than two axes" in done.out
    assert "its last axis has 9 elements, no multiple of 16" in done.out
    assert "its type is I64" in done.out


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_is_not_finite(refused, bad):
    x = np.ones((2, 32), np.float32)
    x[1, 3] = bad
    np.save("bad.npy", x)
    assert "[1, 3]" in refused("quantize", "bad.npy")


def test_refuses_a_length_that_the_block_size_does_not_divide(refused):
    np.save("odd.npy", np.ones((2, 24), np.float32))
    assert refused("quantize", "odd.npy") == (
        "x must have a multiple of block_size=16 elements along axis -1, not 24"
    )


def test_refuses_a_missing_file_and_a_missing_tensor(refused, rng):
    assert "nowhere.safetensors" in refused("quantize", "nowhere.safetensors")
    save_file({"weight": rng.normal(size=(4, 32)).astype(np.float32)}, "model.safetensors")
    message = refused("quantize", "model.safetensors:wait")
    assert "'wait'" in message
    assert "weight" in message


def test_refuses_a_file_that_is_no_tensor_file(refused, tmp_path):
    (tmp_path / "junk.safetensors").write_bytes(b"\xff" * 40)
    assert "junk.safetensors" in refused("quantize", "junk.safetensors")
