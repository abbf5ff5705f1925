import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from blockdot.base import external_tools
from blockdot.hw import DotUnit, to_verilog
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.sim import DequantizerStimulus, QuantizerStimulus, Stimulus, quantizer_stimulus
from blockdot.sim.random_stimulus import random
from blockdot.verify.conformance import read, spec_digest, write
from blockdot.verify.coverage.directed import directed

FP32 = DotSpec(scale="ue5m3", accumulate="fp32")
DOCS = Path(__file__).parents[2] / "docs" / "vectors.md"


@pytest.fixture(scope="module")
def fp32(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    write(FP32, folder, vectors=500, seed=3)
    return folder


def numbers(path: Path) -> list[int]:
    return [int(line, 16) for line in path.read_text().splitlines()]


def test_every_file_says_the_same(fp32):
    about = json.loads((fp32 / f"{FP32.name}.json").read_text())
    assert {path.name for path in fp32.iterdir()} == {*about["files"], f"{FP32.name}.json"}
    for name, digest in about["files"].items():
        assert hashlib.sha256((fp32 / name).read_bytes()).hexdigest() == digest
    stimulus, expected = read(fp32 / f"{FP32.name}.json")
    assert isinstance(stimulus, Stimulus)
    assert (stimulus.vectors, len(expected)) == (about["vectors"], about["results"])
    np.testing.assert_array_equal(expected, stimulus.expected())
    corners, rest = directed(FP32), random(FP32, 500, seed=3)
    assert about["directed"] == corners.vectors
    np.testing.assert_array_equal(stimulus.a, np.concatenate([corners.a, rest.a]))
    np.testing.assert_array_equal(stimulus.last, np.concatenate([corners.last, rest.last]))
    for port in about["ports"]:
        lines = (fp32 / f"{FP32.name}.{port['name']}.hex").read_text().splitlines()
        assert {len(line) for line in lines} == {-(-port["width"] // 4)}
    a = [sum(int(code) << 4 * k for k, code in enumerate(row[0])) for row in stimulus.a]
    assert numbers(fp32 / f"{FP32.name}.i_a.hex") == a
    assert numbers(fp32 / f"{FP32.name}.i_b_scale.hex") == stimulus.b_scale[:, 0].tolist()
    assert numbers(fp32 / f"{FP32.name}.i_first.hex") == stimulus.first.astype(int).tolist()
    assert numbers(fp32 / f"{FP32.name}.o_result.hex") == expected.tolist()


@pytest.mark.parametrize(
    "spec",
    [
        DotSpec(scale=("ue4m3", "ue2m1"), block_size=2, blocks=4),
        DotSpec(element=("e2m3", "e5m2"), scale="ue8m0", block_size=2, blocks=2, accumulate="aligned"),
        DotSpec(block_size=2, accumulate="fp32", takes_c=True),
        DotSpec(scale="ue2m0", block_size=2, accumulate="fp32", tensor_scale=True),
    ],
    ids=str,
)
def test_odd_widths_are_packed_as_ports_are(spec, tmp_path):
    about = write(spec, tmp_path, vectors=20)
    stimulus, _ = read(tmp_path / f"{spec.name}.json")
    for port, fmt in zip(about["ports"], spec.elements + spec.scales, strict=False):
        codes = getattr(stimulus, port["name"].removeprefix("i_")).reshape(stimulus.vectors, -1)
        assert (port["codes"], port["bits"], port["format"]) == (codes.shape[1], fmt.bits, fmt.name)
        wanted = [sum(int(code) << fmt.bits * k for k, code in enumerate(row)) for row in codes]
        assert numbers(tmp_path / f"{spec.name}.{port['name']}.hex") == wanted
    if spec.takes_c:
        assert isinstance(stimulus, Stimulus)
        assert stimulus.c is not None
        assert numbers(tmp_path / f"{spec.name}.i_c.hex") == stimulus.c.tolist()
    if spec.tensor_scale:
        assert isinstance(stimulus, Stimulus)
        assert stimulus.g is not None
        assert numbers(tmp_path / f"{spec.name}.i_g.hex") == stimulus.g.tolist()


@pytest.mark.parametrize(
    "spec",
    [
        QuantizerSpec(scale="ue2m1", block_size=4),
        QuantizerSpec(input="fp32", scale="ue8m0", block_size=2, rounding="stochastic", tensor_scale=True),
    ],
    ids=str,
)
def test_quantizers_have_vectors(spec, tmp_path):
    about = write(spec, tmp_path, vectors=50, seed=2)
    assert {path.name for path in tmp_path.iterdir()} == {*about["files"], f"{spec.name}.json"}
    stimulus, expected = read(tmp_path / f"{spec.name}.json")
    assert isinstance(stimulus, QuantizerStimulus)
    corners, rest = quantizer_stimulus.directed(spec), quantizer_stimulus.random(spec, 50, seed=2)
    assert (about["directed"], about["results"]) == (corners.vectors, corners.vectors + 50)
    np.testing.assert_array_equal(stimulus.x, np.concatenate([corners.x, rest.x]))
    np.testing.assert_array_equal(expected, stimulus.expected())
    codes, scales = spec.compute(stimulus.x, stimulus.random, stimulus.g)
    files = {port["name"]: numbers(tmp_path / f"{spec.name}.{port['name']}.hex") for port in about["ports"]}
    bits = spec.input_format.bits
    assert files["i_x"] == [sum(int(c) << bits * k for k, c in enumerate(row)) for row in stimulus.x]
    assert files["o_codes"] == [sum(int(c) << 4 * k for k, c in enumerate(row)) for row in codes]
    assert files["o_scale"] == scales.tolist()
    assert ("i_random" in files, "i_g" in files) == (spec.stochastic, spec.tensor_scale)
    with pytest.raises(
        ValueError, match=r"^long must be False for a quantizer, which sums nothing: quantize_"
    ):
        write(spec, tmp_path, long=True)


@pytest.mark.parametrize("size", [2, 4])
def test_those_of_a_dequantizer(size, tmp_path):
    spec = DequantizerSpec(scale="ue2m1", block_size=size)
    about = write(spec, tmp_path, vectors=30, seed=2)
    stimulus, expected = read(tmp_path / f"{spec.name}.json")
    assert isinstance(stimulus, DequantizerStimulus)
    assert about["directed"] == about["results"] - 30 == 16 << 3
    np.testing.assert_array_equal(expected, stimulus.expected())
    files = {port["name"]: numbers(tmp_path / f"{spec.name}.{port['name']}.hex") for port in about["ports"]}
    assert files["i_codes"] == [sum(int(c) << 4 * k for k, c in enumerate(row)) for row in stimulus.codes]
    assert files["i_scale"] == stimulus.scales.tolist()
    made = spec.compute(stimulus.codes, stimulus.scales)
    assert files["o_x"] == [sum(int(c) << 16 * k for k, c in enumerate(row)) for row in made]


def test_the_same_arguments_give_the_same_bytes_and_replace_what_is_there(tmp_path):
    spec = DotSpec(scale="ue2m0", block_size=2)
    first, second = tmp_path / "one", tmp_path / "two"
    write(spec, first, vectors=9, seed=1)
    write(spec, second, vectors=0)
    assert json.loads((second / f"{spec.name}.json").read_text())["vectors"] == directed(spec).vectors
    write(spec, second, vectors=9, seed=1)
    assert [path.name for path in sorted(first.iterdir())] == [path.name for path in sorted(second.iterdir())]
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_the_digest_is_of_the_specification_alone():
    text = (
        '{"accumulate":"fp32","block_size":16,"blocks":1,"element":"e2m1","fraction":35,"guard":16,'
        '"scale":"ue5m3"}'
    )
    assert spec_digest(FP32) == hashlib.sha256(text.encode()).hexdigest()


def blocks(language: str) -> str:
    """Return a code block of the documentation, with a folder of ours in it."""
    match = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(), re.S)
    assert match
    return match[1]


def test_the_python_reader_of_the_documentation_reads_them(fp32):
    reader = blocks("python")
    assert len([line for line in reader.splitlines() if line.strip()]) == 9
    sums: list[tuple[np.ndarray, ...]] = []

    def compute(a, b, a_scale, b_scale, first):
        if first:
            sums.clear()
        sums.append((a, b, a_scale, b_scale))
        return FP32.compute(*(np.stack(part) for part in zip(*sums, strict=True))).view(np.uint32)

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(reader.replace("DIR/", f"{fp32}/"), {"compute": compute})
    count = len(read(fp32 / f"{FP32.name}.json")[1])
    assert out.getvalue() == f"{count} of {count} results are right\n"


@pytest.mark.skipif(shutil.which("iverilog") is None, reason=str(external_tools.find("icarus").problem))
def test_the_verilog_reader_of_the_documentation_reads_them(tmp_path):
    spec = DotSpec(scale="ue5m3")
    about = write(spec, tmp_path, vectors=300)
    unit = to_verilog(DotUnit(spec, stages=0))
    renamed = unit.text.replace(f"module {unit.name}(", "module my_dot_ports(")
    wrapper = """
        module my_dot (input [63:0] a, b, input [7:0] a_scale, b_scale, output [31:0] result);
            my_dot_ports unit (.i_a(a), .i_b(b), .i_a_scale(a_scale), .i_b_scale(b_scale), .o_result(result));
        endmodule
    """
    bench = blocks("verilog").replace("DIR/", f"{tmp_path}/")
    bench = bench.replace("2299", str(about["vectors"] - 1)).replace("2300", str(about["vectors"]))
    for faulty in (False, True):
        text = renamed + (wrapper.replace(".o_result(result)", ".o_result(right)") if faulty else wrapper)
        if faulty:
            text = text.replace(
                "my_dot_ports unit", "wire [31:0] right; assign result = right ^ 1; my_dot_ports unit"
            )
        (tmp_path / "all.v").write_text(text + bench)
        subprocess.run(["iverilog", "-o", tmp_path / "all", tmp_path / "all.v"], check=True, timeout=60)
        done = subprocess.run(
            ["vvp", tmp_path / "all"], check=True, timeout=60, capture_output=True, text=True
        )
        wrong = about["vectors"] if faulty else 0
        assert done.stdout == f"{wrong} of {about['vectors']} results are wrong\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about | {"vectors_version": 2}, r"vectors must be of version 1, not 2, in '.*'"),
        (
            lambda about: about | {"spec_sha256": "0"},
            r"spec_sha256 must be that of e2m1_ue2m0_n2_none, not another, in '.*'",
        ),
        (lambda about: about | {"files": {}}, r"'.*\.npz' must be the file that '.*' describes, not another"),
        (lambda about: [about], r"vectors must be described by a JSON file, not '.*': .*"),
        (lambda about: about | {"spec": {"name": "x"}}, r"vectors must be described by a JSON file, not .*"),
    ],
)
def test_read_refuses_what_is_not_whole(change, message, tmp_path):
    spec = DotSpec(scale="ue2m0", block_size=2)
    about = write(spec, tmp_path, vectors=1)
    path = tmp_path / f"{spec.name}.json"
    path.write_text(json.dumps(change(about)))
    with pytest.raises(ValueError, match=f"^{message}$"):
        read(path)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    spec = DotSpec(scale="ue2m0", block_size=2)
    write(spec, tmp_path, vectors=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left on device"):
        write(spec, tmp_path, vectors=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vectors": -1}, "vectors must be at least 0, not -1"),
        ({"seed": -2}, "seed must be at least 0, not -2"),
    ],
)
def test_refuses_what_cannot_be(options, message, tmp_path):
    with pytest.raises(ValueError, match=f"^{message}$"):
        write(FP32, tmp_path / "made", **options)
    assert not (tmp_path / "made").exists()
