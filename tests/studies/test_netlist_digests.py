"""Netlists are those whose digests are kept; `make matrix` looks at all of them."""

from pathlib import Path

import pytest

from studies import netlist_digests
from studies.netlist_digests import KEPT, digest, main, units
from studies.records import read_stored, write_stored

UNITS = list(units())


def _always(number: int) -> bool:
    """Whether `make test` has time for it."""
    spec, _unit = UNITS[number]
    return spec["scale"] in ("ue3m2", "ue4m3_full")


@pytest.mark.parametrize(
    "number",
    [pytest.param(k, marks=[] if _always(k) else [pytest.mark.matrix]) for k in range(len(UNITS))],
)
def test_a_netlist_is_what_it_was(number: int):
    kept = read_stored(KEPT)["units"][number]
    found = digest(UNITS[number])
    assert {name: found[name] for name in ("verilog", "rtlil")} == {
        name: kept[name] for name in ("verilog", "rtlil")
    }


def test_every_unit_is_kept_in_order():
    for (spec, unit), kept in zip(UNITS, read_stored(KEPT)["units"], strict=True):
        assert {k: list(v) if isinstance(v, tuple) else v for k, v in spec.items()} == kept["spec"]
        assert unit == kept["unit"]


def test_there_are_a_hundred_over_every_accumulation_form_depth_and_flow():
    assert len(UNITS) >= 100
    for accumulate in ("none", "fp32", "exact", "aligned"):
        of = [unit for spec, unit in UNITS if spec["accumulate"] == accumulate]
        assert {unit.get("optimise", "area") for unit in of} == {"area", "delay"}
        assert {unit.get("flow", "stream") for unit in of} == {"stream", "valid", "enable"}
        assert {unit["stages"] for unit in of} >= {1, 2, 3, 4, 5}


@pytest.mark.matrix
def test_what_changed_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    few = [one for one in UNITS if one[0].get("block_size") == 4][:2]
    monkeypatch.setattr(netlist_digests, "units", lambda: iter(few))
    monkeypatch.setattr(netlist_digests, "KEPT", tmp_path / "kept.jsonl")
    assert main(["--write"]) == 0
    assert main([]) == 0
    kept = read_stored(tmp_path / "kept.jsonl")
    kept["units"][0]["rtlil"] = "0" * 64
    write_stored(tmp_path / "kept.jsonl", "a test", kept)
    assert main([]) == 1
    assert "2 netlists, 1 changed" in capsys.readouterr().out
