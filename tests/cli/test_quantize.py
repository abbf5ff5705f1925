import csv
import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
from blockdot.lab.quality import quantized_checkpoints
from blockdot.model import quantize
from blockdot.model.io.checkpoint import LAYOUTS, Checkpoint
from blockdot.model.io.model_files import ModelFiles
from blockdot.model.io.nvfp4_files import write_checkpoint
from blockdot.model.io.tensor_files import TensorInfo
from blockdot.model.theory import expected_error
from messages import untyped
from safetensors import safe_open
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


@pytest.fixture
def model(rng, tmp_path):
    """A model of two matrices, one of them wide, and of what goes along with them."""
    tensors = {
        "layer.0.weight": (0.02 * rng.standard_normal((24, 64))).astype(np.float32),
        "layer.1.weight": rng.standard_normal((8, 32)).astype(np.float16),
        "layer.1.bias": rng.standard_normal(8).astype(np.float32),
        "layer.2.weight": rng.standard_normal((4, 24)).astype(np.float32),
        "conv.weight": rng.standard_normal((2, 2, 16)).astype(np.float32),
        "table": rng.standard_normal((4, 32)).astype(np.float32),
        "ids": np.arange(32).reshape(1, 32),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    return tensors


def test_reports_every_way_beside_theory(blockdot, model, tmp_path):
    done = blockdot(
        "quantize", "model.safetensors", "--method", "all", "--scale", "ue4m3", "--scale", "ue8m0",
        "--include", "layer.*", "-o", "r.csv", "-o", "r.json", "-o", "r.md",
    )  # fmt: skip
    assert done.code == 0
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads((tmp_path / "r.json").read_text())
    assert len(rows) == 3 * (4 + 7)
    x = model["layer.0.weight"].astype(np.float64)
    sigma = np.sqrt((x**2).mean())
    for row in rows:
        if row["tensor"] == "layer.0.weight":
            tensor = quantize(model["layer.0.weight"], scale=row["scale"], method=untyped(row["method"]))
            mse = ((x - tensor.dequantize()) ** 2).mean() / sigma**2
            assert float(row["mse"]) == pytest.approx(mse)
            assert float(row["sigma"]) == pytest.approx(sigma)
            if row["method"] == "absmax":
                expected = expected_error(float(row["sigma"]), scale=row["scale"]).mse
                assert float(row["expected"]) == pytest.approx(expected, rel=1e-12)
    assert [row["tensor"] for row in rows[-10:]] == ["(all)"] * 10
    assert document["left_out"]["table"] == "it is not included"
    assert "All 2 tensors, 1792 elements alike" in done.out
    assert "prevent_zero" in (tmp_path / "r.md").read_text()


def test_rounding_tensor_scale_and_recipe_are_what_quantize_has(blockdot, model):
    x = model["layer.0.weight"]
    for options, parameters in (
        (["--scale", "ue5m3", "--tensor-scale"], {"scale": "ue5m3", "tensor_scale": True}),
        (["--scale", "ue5m3", "--rounding", "toward_zero"], {"scale": "ue5m3", "rounding": "toward_zero"}),
        (["--recipe", "transformer_engine"], {"scale": "ue4m3", "recipe": "transformer_engine"}),
        (
            ["--scale", "ue4m3", "--rounding", "stochastic", "--seed", 5],
            {"scale": "ue4m3", "rounding": "stochastic", "rng": np.random.default_rng(5)},
        ),
    ):
        done = blockdot("quantize", "model.safetensors:layer.0.weight", *options, "--json")
        (error,) = json.loads(done.out)["tensors"][0]["errors"]
        tensor = quantize(x, **untyped(parameters))
        back = tensor.dequantize().astype(np.float64)
        assert error["mse"] == pytest.approx(((x - back) ** 2).mean() / (x.astype(np.float64) ** 2).mean())
        assert error["tensor_scale"] == tensor.tensor_scale


def tensor_of(path, name):
    with safe_open(path, "numpy") as file:
        return file.get_tensor(name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_writes_a_checkpoint(blockdot, model, layout, tmp_path):
    done = blockdot(
        "quantize", "model.safetensors", "-o", "q.safetensors", "--layout", layout,
        "--method", "four_over_six", "-o", "q.json",
    )  # fmt: skip
    assert done.code == 0
    assert "wrote q.safetensors" in done.out
    written = Checkpoint(tmp_path / "q.safetensors")
    assert written.layouts == {"layer.0": layout, "layer.1": layout}
    for name in written.layouts:
        wanted = quantize(model[f"{name}.weight"], scale="ue4m3", method="four_over_six", tensor_scale=True)
        seen = written.read(name)
        np.testing.assert_array_equal(seen.codes, wanted.codes)
        np.testing.assert_array_equal(seen.scales, wanted.scales)
        assert seen.tensor_scale == pytest.approx(wanted.tensor_scale, rel=2.0**-23)
    for name in ("layer.1.bias", "layer.2.weight", "conv.weight", "table", "ids"):
        kept = tensor_of(tmp_path / "q.safetensors", name)
        assert kept.dtype == model[name].dtype
        np.testing.assert_array_equal(kept, model[name])
    document = json.loads((tmp_path / "q.json").read_text())
    assert [tensor["tensor"] for tensor in document["tensors"]] == ["layer.0.weight", "layer.1.weight"]
    assert document["left_out"]["table"] == "its name does not end in .weight"
    assert document["left_out"]["conv.weight"] == "it has more than two axes"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.safetensors",
        "q.json",
        "q.safetensors",
    ]


def test_a_checkpoint_changes_its_layout_and_nothing_else(blockdot, model, tmp_path):
    first, second, third = (tmp_path / f"{k}.safetensors" for k in "123")
    blockdot("quantize", "model.safetensors", "-o", first, "--layout", "modelopt", "--exclude", "*.1.*")
    assert Checkpoint(first).layouts == {"layer.0": "modelopt"}
    done = blockdot("quantize", first, "-o", second, "--exclude", "*")
    assert done.code == 0
    assert "as it is NVFP4 already" in done.out
    blockdot("quantize", second, "-o", third, "--layout", "modelopt", "--exclude", "*")
    a, b, c = (Checkpoint(path).read("layer.0") for path in (first, second, third))
    for other in (b, c):
        np.testing.assert_array_equal(other.codes, a.codes)
        np.testing.assert_array_equal(other.scales, a.scales)
    kept = tensor_of(third, "layer.1.weight")
    assert kept.dtype == np.float16
    np.testing.assert_array_equal(kept, model["layer.1.weight"])


def test_saturated_blocks_are_told_of(blockdot, tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1e5] + [0] * 15 + [1.0] * 48], np.float32))
    done = blockdot("quantize", "x.npy", "--scale", "ue4m3", "--scale", "ue5m3")
    told = " ".join(done.out.split())
    assert "x.npy: 25.000 % of the blocks are beyond the largest scale of ue4m3 N=16 absmax" in told
    assert told.count("are beyond") == 1


def test_a_conversion_passes_on_what_is_not_nvfp4_and_tells_of_nan_scales(blockdot, tmp_path, rng):
    tensor = quantize(rng.standard_normal((4, 64)).astype(np.float32), scale="ue4m3")
    scales = tensor.scales.copy()
    scales[1, 2] = 0x7F
    tensor = dataclasses.replace(tensor, scales=scales)
    others = {"b.weight_packed": np.arange(128, dtype=np.uint8), "b.weight_scale": np.ones(8, np.uint8)}
    write_checkpoint(
        tmp_path / "a.safetensors",
        {"a": tensor.shape},
        lambda _: tensor,
        others=[TensorInfo(name, (4, array.size // 4), "U8") for name, array in others.items()],
        read_other=others.__getitem__,
    )
    done = blockdot("quantize", "a.safetensors", "-o", "b.safetensors", "--layout", "modelopt")
    assert done.code == 0
    assert "1 of its 16 block scales are NaN" in " ".join(done.out.split())
    written = Checkpoint(tmp_path / "b.safetensors")
    assert written.layouts == {"a": "modelopt"}
    np.testing.assert_array_equal(written.read("a").scales, scales)
    for name, array in others.items():
        np.testing.assert_array_equal(written.raw(name), array)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.usefixtures("model")
def test_what_goes_wrong_on_the_way_leaves_nothing_behind(blockdot, monkeypatch, tmp_path, failure):
    (tmp_path / "q.safetensors").write_bytes(b"old")
    honest, names = quantized_checkpoints.examine_tensors, []

    def failing(name, *arguments, **options):
        names.append(name)
        if len(names) == 2:
            raise failure
        return honest(name, *arguments, **options)

    monkeypatch.setattr(quantized_checkpoints, "examine_tensors", failing)
    done = blockdot("quantize", "model.safetensors", "-o", "q.safetensors", "-o", "q.csv")
    assert done.code == (130 if failure is KeyboardInterrupt else 2)
    assert len(names) == 2
    assert (tmp_path / "q.safetensors").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "q.safetensors"]


def test_memory_holds_one_tensor(blockdot, rng, tmp_path):
    """Of six tensors of 2 MiB, and their reports."""
    tensors = {f"{k}.weight": rng.standard_normal((512, 1024)).astype(np.float32) for k in range(6)}
    save_file(tensors, tmp_path / "model.safetensors")
    blockdot("quantize", "model.safetensors", "--include", "0.*", "--json")  # whatever is imported only once
    tracemalloc.start()
    done = blockdot("quantize", "model.safetensors", "-o", "q.safetensors")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.code == 0
    # The tensor, its codes and scales, and the chunks on which errors and expectations are computed.
    assert peak < 1.4 * tensors["0.weight"].nbytes + (12 << 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "best"], "method must be one of absmax, prevent_zero, four_over_six, search, floor, "
         "even, ceil, not 'best'"),
        (["--scale", "ue5m3", "--recipe", "transformer_engine"],
         "scale must be ue4m3 for recipe 'transformer_engine', not 'ue5m3'"),
        (["--recipe", "modelopt", "--no-tensor-scale"],
         "--recipe must go without --tensor-scale, which it says itself"),
        (["-o", "q.gguf"], "output must end in .csv, .json, .md or .safetensors, not q.gguf"),
        (["-o", "nowhere/q.csv"], "output must be in a folder that exists, not nowhere/q.csv"),
        (["-o", "a.safetensors", "-o", "b.safetensors"], "output must name one checkpoint, not 2"),
        (["-o", "q.safetensors", "--block-size", "8"],
         "a checkpoint must be e2m1 with ue4m3 scales in blocks of 16, in one way, not ue4m3 N=8 absmax +g"),
        (["-o", "q.safetensors", "--method", "absmax", "--method", "search", "--no-tensor-scale"],
         "a checkpoint must be e2m1 with ue4m3 scales in blocks of 16, in one way, not ue4m3 N=16 absmax, "
         "ue4m3 N=16 search"),
        (["-o", "q.safetensors", "--include", "table"],
         "model.safetensors must hold a matrix to quantize, but none of its tensors is one"),
        (["--include", "*bias"],
         "model.safetensors must hold a floating-point tensor of two axes or more whose last axis is a "
         "multiple of 16, and whose name is asked for, but none of its 7 tensors is one"),
        (["--exclude", "table", "--exclude", "*.head"],
         "exclude must match the name of a tensor in model.safetensors, not '*.head'"),
        (["--include", "Table"], "include must match the name of a tensor in model.safetensors, not 'Table'"),
        (["-o", "q.safetensors", "--exclude", "lm_head*"],
         "exclude must match the name of a tensor in model.safetensors, not 'lm_head*'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("model")
def test_refuses(refused, arguments, message):
    assert refused("quantize", "model.safetensors", *arguments) == message


@pytest.mark.usefixtures("model")
def test_a_checkpoint_is_made_of_a_whole_safetensors_file(refused, matrix):
    assert refused("quantize", "model.safetensors:table", "-o", "q.safetensors") == (
        "a checkpoint must be written of a whole file, not of 'table' alone"
    )
    assert refused("quantize", matrix, "-o", "q.safetensors") == (
        f"checkpoint must end in .safetensors, not {str(matrix)!r}"
    )


@pytest.mark.usefixtures("model")
def test_patterns_are_of_several_tensors(refused, blockdot, tmp_path):
    assert refused("quantize", "model.safetensors:table", "--include", "table") == (
        "include must be left out where one tensor is named, not be 'table'"
    )
    np.savez(tmp_path / "one.npz", table=np.ones((2, 32), np.float32))
    assert blockdot("quantize", "one.npz", "--include", "t*").code == 0
    assert refused("quantize", "one.npz", "--exclude", "x") == (
        "exclude must match the name of a tensor in one.npz, not 'x'"
    )
    # It does not hide that nothing is left.
    assert "none of its 1 tensors is one" in refused("quantize", "one.npz", "--exclude", "t*")


PROJECTIONS = ("q_proj", "k_proj", "v_proj")
HEADS = {"embed.weight": (8, 32), "lm_head.weight": (8, 32)}


@pytest.fixture
def folder(rng, tmp_path):
    """A model in two files, between which a group of layers that is run as one is split."""
    tensors = {f"l.attn.{name}.weight": (4, 32) for name in PROJECTIONS} | HEADS | {"l.norm.weight": (32,)}
    values = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in tensors.items()}
    values["l.attn.v_proj.weight"][0, 0] = 64  # what the three must have room for
    names = list(values)
    where = {name: f"model-{1 + k % 2}.safetensors" for k, name in enumerate(names)}
    path = tmp_path / "model"
    path.mkdir()
    for file in set(where.values()):
        save_file({name: values[name] for name in names if where[name] == file}, path / file, {"by": file})
    index = {"metadata": {"kept": 1, "total_size": 0}, "weight_map": where}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (path / "tokenizer").mkdir()
    (path / "tokenizer" / "vocab.txt").write_text("a b c")
    (path / "old.bin").write_bytes(b"weights")
    return values


def served(path):
    return json.loads((path / "config.json").read_text())["quantization_config"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_becomes_one_that_serves(blockdot, folder, layout, tmp_path):
    done = blockdot("quantize", "model", "-o", "out", "--layout", layout, "-o", "r.json")
    assert done.code == 0
    out = tmp_path / "out"
    files = ModelFiles(out)
    written = Checkpoint(out)
    assert written.layouts == {f"l.attn.{name}": layout for name in PROJECTIONS}
    largest = max(np.abs(folder[f"l.attn.{name}.weight"]).max() for name in PROJECTIONS)
    for name in written.layouts:
        wanted = quantize(
            folder[f"{name}.weight"], scale="ue4m3", tensor_scale=True, tensor_largest=float(largest)
        )
        seen = written.read(name)
        np.testing.assert_array_equal(seen.codes, wanted.codes)
        np.testing.assert_array_equal(seen.scales, wanted.scales)
        assert seen.tensor_scale == pytest.approx(wanted.tensor_scale, rel=2.0**-23)
    assert len({written.read(name).tensor_scale for name in written.layouts}) == 1
    # The parts of a matrix stay in the file that held it, and the index says so.
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: files.file_name(name) for name in files.infos}
    assert index["metadata"] == {
        "kept": 1, "total_size": sum(info.byte_count for info in files.infos.values())
    }  # fmt: skip
    assert files.file_name("l.attn.k_proj.weight_scale") == "model-2.safetensors"
    with safe_open(out / "model-2.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt", "by": "model-2.safetensors"}
    for name in HEADS:
        np.testing.assert_array_equal(files.values(name), folder[name])
    config = served(out)
    assert config["quant_method"] == layout.replace("_", "-")
    assert config["ignore"] == ["embed", "lm_head"]
    assert json.loads((out / "config.json").read_text())["model_type"] == "llama"
    assert (out / "tokenizer" / "vocab.txt").read_text() == "a b c"
    assert (out / "hf_quant_config.json").exists() == (layout == "modelopt")
    if layout == "modelopt":
        told = json.loads((out / "hf_quant_config.json").read_text())["quantization"]
        assert told["exclude_modules"] == ["embed", "lm_head"]
        assert told["quant_algo"] == "W4A16_NVFP4"
    notes = json.loads((tmp_path / "r.json").read_text())["notes"]
    assert notes == [
        "one tensor scale for each of 1 groups of layers that engines run as one",
        "other weight files are not copied: old.bin",
    ]
    assert not (out / "old.bin").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out", "r.json"]


def test_scales_may_be_each_matrix_own_and_heads_quantized(blockdot, folder, tmp_path):
    blockdot("quantize", "model", "-o", "out", "--no-share-scales", "--all-matrices")
    written = Checkpoint(tmp_path / "out")
    assert set(written.layouts) == {name.removesuffix(".weight") for name in folder} - {"l.norm"}
    for name in written.layouts:
        wanted = quantize(folder[f"{name}.weight"], scale="ue4m3", tensor_scale=True)
        np.testing.assert_array_equal(written.read(name).codes, wanted.codes)
    assert served(tmp_path / "out")["ignore"] == []


@pytest.mark.usefixtures("folder")
def test_activation_scales_go_along_from_layout_to_layout(blockdot, tmp_path):
    blockdot("quantize", "model", "-o", "a", "--layout", "modelopt")
    first = tmp_path / "a" / "model-1.safetensors"
    with safe_open(first, "numpy") as file:
        names = set(file.keys())
    # One for each matrix, one of them that of a layer that no input ever reached.
    extra = {f"l.attn.{name}.input_scale": np.float32(value) for name, value in zip(
        PROJECTIONS, (0.25, 0.5, 0.0), strict=True)}  # fmt: skip
    read = Checkpoint(tmp_path / "a")
    here = [name for name in read.layouts if f"{name}.weight" in names]
    write_checkpoint(
        first,
        {name: read.shape(name) for name in here},
        {name: read.read(name) for name in here}.__getitem__,
        "modelopt",
        others=[i for i in read.others if i.name in names] + [TensorInfo(n, (), "F32") for n in extra],
        read_other=lambda name: np.asarray(extra[name]) if name in extra else read.raw(name),
    )
    index = tmp_path / "a" / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    document["weight_map"] |= dict.fromkeys(extra, "model-1.safetensors")
    index.write_text(json.dumps(document))
    done = blockdot("quantize", "a", "-o", "b", "--exclude", "*")
    assert done.code == 0
    told = " ".join(done.out.split())
    assert "3 NVFP4 matrices changed their layout to compressed_tensors" in told
    assert "3 activation scales became input_global_scale, as 1 / x" in told
    files = ModelFiles(tmp_path / "b")
    for name, value in zip(PROJECTIONS, (4.0, 2.0, 1.0), strict=True):
        info = files.infos[f"l.attn.{name}.input_global_scale"]
        assert (info.shape, info.dtype) == ((1,), "F32")
        assert files.values(info.name).tolist() == [value]
        assert f"l.attn.{name}.input_scale" not in files.infos
    config = served(tmp_path / "b")
    assert config["config_groups"]["group_0"]["input_activations"]["dynamic"] == "local"
    assert not (tmp_path / "b" / "hf_quant_config.json").exists()
    blockdot("quantize", "b", "-o", "c", "--exclude", "*", "--layout", "modelopt")
    back = ModelFiles(tmp_path / "c")
    assert [back.values(f"l.attn.{name}.input_scale").item() for name in PROJECTIONS] == [0.25, 0.5, 1.0]
    assert served(tmp_path / "c")["quant_algo"] == "NVFP4"


def test_what_an_engine_would_stumble_over_is_said(blockdot, folder, tmp_path):
    done = blockdot("quantize", "model", "-o", "a", "--exclude", "*.q_proj.weight")
    told = " ".join(done.out.split())
    assert "which engines run as one, only l.attn.v_proj, l.attn.k_proj are NVFP4" in told
    blockdot("quantize", "model", "-o", "b", "--no-share-scales")
    told = " ".join(blockdot("quantize", "b", "-o", "c").out.split())
    assert "which engines run as one, differ in their tensor scale" in told
    (tmp_path / "model" / "config.json").unlink()
    done = blockdot("quantize", "model", "-o", "d")
    assert "no config.json is written" in " ".join(done.out.split())
    assert folder


@pytest.mark.usefixtures("folder")
def test_a_folder_is_written_whole_or_not_at_all(blockdot, refused, monkeypatch, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert refused("quantize", "model", "-o", "full") == (
        "output must be a new folder or an empty one, not full"
    )
    assert refused("quantize", "model", "-o", "q.safetensors") == (
        "output must be a folder for the checkpoint of a folder, not q.safetensors"
    )
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({"quantization_config": {"quant_method": "bitsandbytes"}}))
    assert refused("quantize", "model", "-o", "out") == (
        "quantization of 'model/config.json' must be compressed-tensors or modelopt to be written again, "
        "not 'bitsandbytes'"
    )
    config.write_text("{}")

    def failing(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quantized_checkpoints, "examine_tensors", failing)
    assert blockdot("quantize", "model", "-o", "out").code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "model"]


def test_a_dead_expert_is_kept_and_stops_no_conversion(blockdot, rng, tmp_path):
    """Its block scales are NaN, 0 / 0, under a tensor scale of 0."""
    # 1 / 1e-40 is beyond float32: such a scale cannot be a divisor.
    names = {"a": 0.5, "dead": 0.0, "tiny": 1e-40}
    with (tmp_path / "m.safetensors").open("wb") as file:
        header, data = {}, b""
        for name, scale in names.items():
            for part, dtype, shape, raw in (
                ("weight", "U8", [2, 8], rng.bytes(16)),
                ("weight_scale", "F8_E4M3", [2, 1], b"\x38\x38" if scale else b"\x7f\x7f"),
                ("weight_scale_2", "F32", [], np.float32(scale).tobytes()),
            ):
                header[f"{name}.{part}"] = {
                    "dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]
                }  # fmt: skip
                data += raw
        text = json.dumps(header).encode()
        file.write(len(text).to_bytes(8, "little") + text + data)
    done = blockdot("quantize", "m.safetensors", "-o", "q.safetensors")
    assert done.code == 0
    assert (
        "dead is kept as it is: tensor 'dead.weight_scale_2' of 'm.safetensors' must be above zero"
        in done.out
    )
    before, after = Checkpoint(tmp_path / "m.safetensors"), Checkpoint(tmp_path / "q.safetensors")
    assert (
        "tiny is kept as it is: matrix 'tiny' must have a tensor scale with a finite reciprocal" in done.out
    )
    assert after.layouts == {"a": "compressed_tensors", "dead": "modelopt", "tiny": "modelopt"}
    for name in ("dead", "tiny"):
        for part in ("weight", "weight_scale", "weight_scale_2"):
            np.testing.assert_array_equal(after.raw(f"{name}.{part}"), before.raw(f"{name}.{part}"))


@pytest.mark.parametrize("method", ["absmax", "four_over_six"])
def test_a_matrix_of_next_to_nothing_stops_no_conversion(method, blockdot, rng, tmp_path):
    x = rng.standard_normal((4, 64)).astype(np.float32)
    small = {"dead": 1e-45, "faint": 1e-37, "least": 1e-30}
    tensors = {f"{name}.weight": x / np.abs(x).max() * np.float32(size) for name, size in small.items()}
    save_file({"a.weight": x} | tensors, tmp_path / "m.safetensors")
    done = blockdot("quantize", "m.safetensors", "--method", method, "-o", "q.safetensors")
    assert done.code == 0, done.err
    read = Checkpoint(tmp_path / "q.safetensors")
    assert list(read.layouts) == ["a", "dead", "faint", "least"]
    assert not read.read("dead").dequantize().any()
    for name in ("a", "least"):
        values = x if name == "a" else tensors["least.weight"]
        error = read.read(name).dequantize() - values
        assert np.abs(error).max() < 0.2 * np.abs(values).max()
    # A matrix that cannot be quantized is named.
    x[1, 3] = np.nan
    save_file({"a.weight": x[2:], "bad.weight": x}, tmp_path / "m.safetensors")
    done = blockdot("quantize", "m.safetensors", "--method", method, "-o", "r.safetensors")
    assert done.code == 2
    assert done.err == (
        "blockdot: matrix 'bad' must be finite, not NaN or Inf in 1 of 256 values, the first nan at [1, 3]\n"
    )
    assert not (tmp_path / "r.safetensors").exists()
    assert blockdot("quantize", "m.safetensors").err == done.err.replace(
        "matrix 'bad'", "tensor 'bad.weight'"
    )


def test_a_broken_matrix_hides_none_of_the_others_in_a_report(blockdot, refused, rng, tmp_path):
    x = rng.standard_normal((4, 64)).astype(np.float32)
    save_file({f"{name}.weight": x for name in "abc"}, tmp_path / "x.safetensors")
    path = tmp_path / "m.safetensors"
    assert blockdot("quantize", "x.safetensors", "--exclude", "c*", "-o", path).code == 0
    raw = bytearray(path.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    begin, end = json.loads(raw[8 : 8 + length])["b.weight_global_scale"]["data_offsets"]
    raw[8 + length + begin : 8 + length + end] = bytes(4)
    path.write_bytes(raw)
    why = (
        "tensor 'b.weight_global_scale' of 'm.safetensors' must be above zero and finite, as its reciprocal, "
        "not 0.0"
    )
    done = blockdot("quantize", "m.safetensors", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["left_out"]["b"] == why
    assert [row["name"] for row in found["stored"]] == ["a"]
    assert len(found["tensors"]) == 1
    assert refused("quantize", "m.safetensors:b") == why


def test_stored_matrices_are_reported_as_they_are(blockdot, refused, rng, tmp_path):
    x = rng.standard_normal((4, 64)).astype(np.float32)
    save_file({"a.weight": x, "b.weight": x}, tmp_path / "x.safetensors")
    tensor = quantize(x, scale="ue4m3", tensor_scale=True)
    scales = tensor.scales.copy()
    scales[0, :4] = 0, 1, 0x7E, 0x7F
    tensor = dataclasses.replace(tensor, scales=scales)
    powers = quantize(x, scale="ue8m0", block_size=32)
    others = {"b.weight": powers.pack(), "b.weight_scale": powers.scales}
    write_checkpoint(
        tmp_path / "q.safetensors", {"a": tensor.shape}, lambda _: tensor, "modelopt",
        others=[TensorInfo(name, array.shape, "U8") for name, array in others.items()],
        read_other=others.__getitem__,
    )  # fmt: skip
    done = blockdot("quantize", "q.safetensors", "--json", "-o", "r.csv")
    assert done.code == 0
    a, b = json.loads(done.out)["stored"]
    assert (a["name"], a["format"], a["shape"], b["format"]) == ("a", "NVFP4", [4, 64], "MXFP4")
    for kind in ("zero", "largest", "nan"):
        wanted = {"zero": 0, "largest": 0x7E, "nan": 0x7F}[kind]
        assert a[f"{kind}_scales"] == (scales == wanted).mean()
    assert a["subnormal_scales"] == ((scales > 0) & (scales < 8)).mean()
    values = tensor.dequantize()
    assert a["largest"] == pytest.approx(np.abs(values[np.isfinite(values)]).max(), rel=1e-6)
    assert b["largest"] == np.abs(powers.dequantize()).max()
    assert (a["mse"], b["sqnr"]) == (None, None)
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [row["tensor"] for row in csv.DictReader(file)] == ["a", "b"]
    # Given the original, the error.
    done = blockdot("quantize", "q.safetensors:b", "--original", "x.safetensors", "--json")
    (b,) = json.loads(done.out)["stored"]
    mse = ((x - powers.dequantize()) ** 2).sum(dtype=np.float64) / (x.astype(np.float64) ** 2).sum()
    assert b["mse"] == pytest.approx(mse)
    assert b["sqnr"] == pytest.approx(-10 * np.log10(mse))
    told = blockdot("quantize", "q.safetensors", "--original", "x.safetensors").out
    assert "As they are stored" in told
    assert f"{mse:.5f}" in told
    assert refused("quantize", "x.safetensors", "--original", "q.safetensors") == (
        "original must be left out where x.safetensors holds no FP4 matrix, not be q.safetensors"
    )
    save_file({"a.weight": x.T.copy()}, tmp_path / "y.safetensors")
    assert refused("quantize", "q.safetensors:a", "--original", "y.safetensors") == (
        "tensor 'a.weight' of 'y.safetensors' must be shaped (4, 64), not (64, 4)"
    )
    assert refused("quantize", "q.safetensors:b", "--original", "y.safetensors") == (
        "original must hold 'b.weight', but 'y.safetensors' does not"
    )


EXPERTS = "l.0.experts"


@pytest.fixture
def llama4(rng, tmp_path):
    """A model of three experts, stacked as Llama 4's are, whose stacks lie in two files."""
    shapes = {
        f"{EXPERTS}.gate_up_proj": (3, 32, 96),
        f"{EXPERTS}.down_proj": (3, 48, 32),
        "l.0.router.weight": (3, 32),
    }
    values = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    values[f"{EXPERTS}.gate_up_proj"][1, 0, 0] = 64  # of a gate: what its up must have room for
    path = tmp_path / "model"
    path.mkdir()
    where = {name: f"model-{1 + ('down' in name)}.safetensors" for name in values}
    for file in set(where.values()):
        save_file({name: values[name] for name in values if where[name] == file}, path / file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (path / "config.json").write_text(json.dumps({"model_type": "llama4_text", "hidden_size": 32}))
    return values


def test_stacks_of_experts_become_what_modelopt_writes(blockdot, llama4, tmp_path):
    done = blockdot("quantize", "model", "-o", "out", "--layout", "modelopt", "-o", "r.json")
    assert done.code == 0
    read = Checkpoint(tmp_path / "out")
    for name in (f"{EXPERTS}.gate_up_proj", f"{EXPERTS}.down_proj"):
        # Blocks run along the axis that is the input: the middle one of the model's own tensor.
        wanted = quantize(np.ascontiguousarray(llama4[name].swapaxes(1, 2)), scale="ue4m3", tensor_scale=True)
        for e in range(3):
            seen = read.read(f"{name}[{e}]")
            np.testing.assert_array_equal(seen.codes, wanted.codes[e])
            np.testing.assert_array_equal(seen.scales, wanted.scales[e])
            assert seen.tensor_scale == wanted.tensor_scale
        assert read.files.file_name(name) == read.files.file_name(f"{name}_weight_scale_2")
    assert read.files.infos[f"{EXPERTS}.down_proj"].shape == (3, 24, 32)
    assert served(tmp_path / "out")["ignore"] == ["l.0.router", "lm_head"]
    names = [tensor["tensor"] for tensor in json.loads((tmp_path / "r.json").read_text())["tensors"]]
    assert sorted(names) == [f"{EXPERTS}.down_proj", f"{EXPERTS}.gate_up_proj"]
    # Given the original, the error is that of its values, turned as they are.
    done = blockdot("quantize", "out", "--original", "model", "--json")
    stored = {one["name"]: one for one in json.loads(done.out)["stored"]}
    x = llama4[f"{EXPERTS}.down_proj"].swapaxes(1, 2)
    back = quantize(np.ascontiguousarray(x), scale="ue4m3", tensor_scale=True).dequantize()
    mse = ((x - back) ** 2).sum(dtype=np.float64) / (x**2).sum(dtype=np.float64)
    assert stored[f"{EXPERTS}.down_proj"]["mse"] == pytest.approx(mse)
    # So is that of the model's report.
    report = json.loads(blockdot("quantize", "model", "--scale", "ue4m3", "--tensor-scale", "--json").out)
    seen = {one["tensor"]: one["errors"][0]["mse"] for one in report["tensors"]}
    assert seen[f"{EXPERTS}.down_proj"] == pytest.approx(mse)


def test_stacks_of_experts_become_a_matrix_for_each(blockdot, llama4, tmp_path):
    assert blockdot("quantize", "model", "-o", "out").code == 0
    read = Checkpoint(tmp_path / "out")
    names = [f"{EXPERTS}.{e}.{part}_proj" for e in range(3) for part in ("down", "gate", "up")]
    assert sorted(read.layouts) == names
    largest, errors = [], {}
    for e in range(3):
        rows = llama4[f"{EXPERTS}.gate_up_proj"][e].T
        for part, x in (
            ("gate", rows[:48]),
            ("up", rows[48:]),
            ("down", llama4[f"{EXPERTS}.down_proj"][e].T),
        ):
            seen = read.read(f"{EXPERTS}.{e}.{part}_proj")
            most = float(np.abs(x if part == "down" else rows).max())
            wanted = quantize(np.ascontiguousarray(x), scale="ue4m3", tensor_scale=True, tensor_largest=most)
            np.testing.assert_array_equal(seen.codes, wanted.codes)
            np.testing.assert_array_equal(seen.scales, wanted.scales)
            noise = ((x - seen.dequantize()) ** 2).sum(dtype=np.float64)
            errors[f"{EXPERTS}.{e}.{part}_proj"] = noise / (x**2).sum(dtype=np.float64)
        largest.append(read.read(f"{EXPERTS}.{e}.gate_proj").tensor_scale)
        assert largest[-1] == read.read(f"{EXPERTS}.{e}.up_proj").tensor_scale
    assert largest[1] > 5 * largest[0]
    assert served(tmp_path / "out")["ignore"] == ["l.0.router", "lm_head"]
    done = blockdot("quantize", "out", "--original", "model", "--json")
    assert {one["name"]: one["mse"] for one in json.loads(done.out)["stored"]} == pytest.approx(errors)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_experts_of_which_a_part_is_quantized_are_told_of(blockdot, llama4, layout):
    done = blockdot("quantize", "model", "-o", "out", "--layout", layout, "--exclude", "*down_proj")
    both = f"{EXPERTS}.gate_up_proj, {EXPERTS}.down_proj"
    only = f"only {EXPERTS}.gate_up_proj are NVFP4"
    assert f"of {both}, which engines run as one, {only}" in " ".join(done.out.split())
    assert "which engines run as one, only" not in blockdot("quantize", "model", "-o", "b").out
    assert llama4


@pytest.mark.parametrize("why", ["gpt_oss", "unknown", "excluded"])
def test_experts_that_are_kept_are_told_to_the_engine(blockdot, llama4, tmp_path, why):
    if why != "excluded":
        (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": why, "hidden_size": 32}))
    extra = ["--exclude", "*experts*"] if why == "excluded" else []
    done = blockdot("quantize", "model", "-o", "out", "--all-matrices", *extra)
    assert done.code == 0
    reason = {
        "gpt_oss": "2, as engines load the experts of this model as modelopt alone",
        "unknown": "2, as it holds experts of a model for which it is not known which axis is K",
        "excluded": "2, as it is excluded",
    }[why]
    assert reason in " ".join(done.out.split())
    read = Checkpoint(tmp_path / "out")
    assert list(read.layouts) == ["l.0.router"]
    for name in (f"{EXPERTS}.gate_up_proj", f"{EXPERTS}.down_proj"):
        np.testing.assert_array_equal(read.files.values(name), llama4[name])
    assert served(tmp_path / "out")["ignore"] == [EXPERTS, "lm_head"]
    # A report does not take an axis for K either.
    done = blockdot("quantize", "model", "--json", *extra)
    left = json.loads(done.out)["left_out"]
    assert (f"{EXPERTS}.down_proj" in left) == (why != "gpt_oss")


def test_a_model_of_stacks_is_written_again_as_it_is(blockdot, llama4, tmp_path):
    blockdot("quantize", "model", "-o", "a", "--layout", "modelopt")
    done = blockdot("quantize", "a", "-o", "b", "--layout", "modelopt", "--all-matrices")
    assert done.code == 0
    assert "tells nothing" not in done.out
    before, after = ModelFiles(tmp_path / "a"), ModelFiles(tmp_path / "b")
    kept = [name for name in before.infos if name.startswith(EXPERTS)]
    assert len(kept) == 6
    for name in kept:
        assert after.infos[name] == before.infos[name]
        np.testing.assert_array_equal(after.raw(name), before.raw(name))
    assert served(tmp_path / "b")["ignore"] == ["lm_head"]
    # In the other layout they are strange, and said to be.
    done = blockdot("quantize", "a", "-o", "c", "--all-matrices")
    assert f"{EXPERTS}.down_proj is kept as it is, and config.json tells nothing of its format" in done.out
    assert llama4
