import hashlib
import json

import pytest


def test_writes_the_verilog_and_its_sidecar(blockdot, tmp_path):
    done = blockdot(
        "verilog", "--scale", "ue4m3", "--block-size", 4, "--accumulate", "fp32", "--stages", 2, "-o", "out"
    )
    assert done.code == 0
    text = (tmp_path / "out" / "blockdot_e2m1_ue4m3_n4_fp32_s2.v").read_text()
    sidecar = json.loads((tmp_path / "out" / "blockdot_e2m1_ue4m3_n4_fp32_s2.json").read_text())
    assert sidecar["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "blockdot_e2m1_ue4m3_n4_fp32_s2.json",
        "blockdot_e2m1_ue4m3_n4_fp32_s2.v",
    ]
    assert "latency 2" in done.out
    assert "i_a_scale" in done.out


def test_a_unit_with_a_tensor_scale_has_a_port_for_it_and_says_when_it_counts(blockdot, tmp_path):
    options = ("--scale", "ue4m3", "--block-size", 2, "--accumulate", "fp32", "--tensor-scale")
    printed = json.loads(blockdot("verilog", *options, "-o", "out", "--json").out)
    assert printed["name"] == "blockdot_e2m1_ue4m3_n2_fp32_tensor_s1"
    assert printed["spec"]["tensor_scale"]
    (port,) = (port for port in printed["ports"] if port["name"] == "i_g")
    assert (port["direction"], port["width"]) == ("in", 32)
    head = (tmp_path / "out" / f"{printed['name']}.v").read_text().partition("*/")[2][:4000]
    words = " ".join(head.replace("//", " ").split())
    assert "tensor scale a binary32 number, by which each result is multiplied, rounded once more" in words
    assert "Its result is multiplied by i_g, which counts with i_last alone." in words


def test_json_prints_what_the_sidecar_holds(blockdot, tmp_path):
    done = blockdot("verilog", "--block-size", 2, "-o", "out", "--json")
    printed = json.loads(done.out)
    assert printed.pop("files") == [f"out/{printed['name']}.v", f"out/{printed['name']}.json"]
    assert printed == json.loads((tmp_path / "out" / f"{printed['name']}.json").read_text())


def test_formats_may_differ_between_the_operands(blockdot):
    done = blockdot("verilog", "--block-size", 2, "--scale", "ue4m3xue8m0", "--json")
    assert json.loads(done.out)["name"] == "blockdot_e2m1_ue4m3xue8m0_n2_none_s0"


def test_a_tile_has_a_core_file_as_a_unit_has(blockdot, tmp_path):
    done = blockdot("verilog", "--block-size", 2, "--tile", "2x3", "--fusesoc", "-o", "out", "--json")
    sidecar = json.loads(done.out)
    name = "blockdot_array2x3_e2m1_ue5m3_n2_none_s0"
    assert (sidecar["name"], sidecar["rows"], sidecar["columns"]) == (name, 2, 3)
    core = (tmp_path / "out" / f"{name}.core").read_text()
    assert 'description: "Tile of 2x3 block dot-product units e2m1_ue5m3_n2_none, 0 register stages"' in core
    assert f'-file "*{name}.v"' in (tmp_path / "out" / f"{name}.vlt").read_text()


def test_a_dequantizer_is_written_as_a_dot_unit_is(blockdot, tmp_path):
    done = blockdot(
        "verilog", "--unit", "dequantizer", "--block-size", 2, "--stages", 1, "--fusesoc", "-o", "out"
    )
    name = "blockdot_dequantize_e2m1_ue5m3_n2_bf16_s1"
    assert done.code == 0
    text = (tmp_path / "out" / f"{name}.v").read_text()
    assert f"module {name}(" in text
    assert "// Dequantizer: makes numbers" in text
    assert f"blockdot:dequantizer:{name}" in (tmp_path / "out" / f"{name}.core").read_text()
    sidecar = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert (sidecar["spec"]["output"], sidecar["latency"]) == ("bf16", 1)


def test_a_quantizer_is_written_as_a_dot_unit_is(blockdot, tmp_path):
    options = (
        "--unit",
        "quantizer",
        "--scale",
        "ue8m0",
        "--method",
        "floor",
        "--block-size",
        2,
        "--stages",
        1,
    )
    done = blockdot("verilog", *options, "--input", "fp16", "--fusesoc", "-o", "out")
    name = "blockdot_quantize_fp16_e2m1_ue8m0_n2_floor_s1"
    assert done.code == 0
    assert f"module {name}(" in (tmp_path / "out" / f"{name}.v").read_text()
    assert f"blockdot:quantizer:{name}" in (tmp_path / "out" / f"{name}.core").read_text()
    sidecar = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert (sidecar["spec"]["method"], sidecar["spec"]["input"], sidecar["latency"]) == ("floor", "fp16", 1)
    assert "o_codes" in done.out


@pytest.mark.usefixtures("matrix")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--block-size", 12], "block_size must be a power of two from 2 to 128, not 12"),
        (["--blocks", 3], "blocks must be 1, 2, 4 or 8, not 3"),
        (["--tile", "4"], "tile must be ROWSxCOLUMNS, such as 4x4, not '4'"),
        (["--tile", "4x65"], "columns must be from 1 to 64, not 65"),
        (["--tile", "2x2", "--testbench", 9], "--testbench must go with one unit, not with a tile"),
        (["--testbench", 0], "vectors must be at least 1, not 0"),
        (["--scale", "e2m1"], "scale must be an unsigned format, not 'e2m1'"),
        (["--unit", "quantizer", "--blocks", 2], "--blocks must go with --unit dot, not with quantizer"),
        (
            ["--unit", "quantizer", "--tile", "2x2"],
            "--tile must go with --unit dot, not with quantizer",
        ),
        (["--method", "floor"], "--method must go with --unit quantizer, not with dot"),
        (
            ["--unit", "quantizer", "--method", "floor"],
            "scale must be ue8m0 for method 'floor', not 'ue5m3'",
        ),
        (["--stages", 99], "stages must be from 0 to 6 for e2m1_ue5m3_n16_none, not 99"),
        (
            ["--accumulate", "fp32", "--stages", 0],
            "stages must be from 1 to 7 for e2m1_ue5m3_n16_fp32, not 0",
        ),
        (["-o", "matrix.npy"], "output must be a folder, not the file matrix.npy"),
        (["--guard", 5], "--guard must go with --accumulate exact, not with none"),
        (["--seed", 1], "--seed must go with --testbench, whose vectors it draws"),
        (
            ["--accumulate", "exact", "--fraction", 9],
            "--fraction must go with --accumulate aligned, not with exact",
        ),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert refused("verilog", *arguments) == message


def test_an_unknown_format_is_told_with_those_there_are(refused):
    assert refused("verilog", "--scale", "ue9m9") == (
        "format must be one of e2m1, e2m3, e3m2, e4m3, e5m2, e3m4, int8, ue4m3, ue5m3, ue8m0, ue4m4, "
        "ue5m3_ieee, ue4m3_full or ue{E}m{M} with E from 2 to 8 and M from 0 to 5, not 'ue9m9'"
    )


def test_a_test_bench_and_a_core_file_stand_beside_the_verilog(blockdot, tmp_path):
    done = blockdot("verilog", "--block-size", 2, "--testbench", 20, "--seed", 5, "--fusesoc", "-o", "out")
    assert done.code == 0
    name = "blockdot_e2m1_ue5m3_n2_none_s0"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.core",
        f"{name}.json",
        f"{name}.v",
        f"{name}.vlt",
        f"{name}_tb.v",
    ]
    bench = (tmp_path / "out" / f"{name}_tb.v").read_text()
    assert "localparam VECTORS = 20;" in bench
    assert f"wrote out/{name}_tb.v" in done.out
    blockdot("verilog", "--block-size", 2, "--testbench", 20, "--seed", 5, "-o", "again")
    assert (tmp_path / "again" / f"{name}_tb.v").read_text() == bench


def test_a_flow_without_back_pressure_has_no_ready(blockdot):
    done = blockdot("verilog", "--block-size", 2, "--stages", 1, "--flow", "valid", "--json")
    printed = json.loads(done.out)
    assert printed["name"] == "blockdot_e2m1_ue5m3_n2_none_s1_valid"
    assert not {"i_ready", "o_ready"} & {port["name"] for port in printed["ports"]}


def test_aligned_keeps_as_many_bits_as_asked_for(blockdot):
    done = blockdot("verilog", "--block-size", 2, "--accumulate", "aligned", "--fraction", 12, "--json")
    assert json.loads(done.out)["spec"]["name"] == "e2m1_ue5m3_n2_aligned_f12"


def test_a_published_tensor_core_by_its_name(refused):
    # Refused for its stages alone: of all options these are looked at last.
    assert refused("verilog", "--preset", "blackwell-nvfp4", "--stages", 9) == (
        "stages must be from 1 to 5 for e2m1_ue4m3_n16_b4_aligned, not 9"
    )
    assert refused("verilog", "--preset", "hopper-e4m3", "--stages", 0) == (
        "stages must be from 1 to 2 for e4m3_none_n32_aligned_f13_t1_z133_e8m13, not 0"
    )
    assert refused("verilog", "--preset", "pascal").startswith("preset must be one of volta-fp16, ")
    assert refused("verilog", "--preset", "hopper-e4m3", "--blocks", 2) == (
        "--preset must go without --blocks, which it says itself"
    )
