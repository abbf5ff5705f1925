"""Every unit against the model: what is run, and what is kept of it."""

from pathlib import Path
from typing import Any

import pytest
from blockdot.hw import DotUnit, UnitConfig
from blockdot.hw.unit_grid import GRID_ACCUMULATES, GRID_BLOCK_SIZES, GRID_SCALES, MOST_STAGES, SEGMENTS
from blockdot.model import DotSpec
from blockdot.model.accumulate.chain import chain_is_exact
from blockdot.model.presets import PRESETS

from studies.volume import (
    CHAINS,
    KEPT,
    chains,
    classes,
    every,
    grid,
    main,
    netlist,
    read_volume,
    tensor_cores,
)


def test_every_unit_is_there_in_both_forms() -> None:
    found = list(grid())
    assert len({variant.name for variant in found}) == len(found)
    stages = MOST_STAGES * len(GRID_ACCUMULATES) + 1
    kept = len(SEGMENTS) * MOST_STAGES
    assert len(found) == 2 * len(GRID_SCALES) * (len(GRID_BLOCK_SIZES) * stages + kept)
    names = {"e2m1_ue5m3_n16_fp32_s1_delay", "e2m1_ue8m0_n32_aligned_s5", "e2m1_ue4m3_n16_exact_s2_segment8"}
    assert names <= {one.name for one in found}
    units = {one.name: one.build() for one in found}
    fast = units["e2m1_ue5m3_n16_exact_s3_delay_segment1"]
    assert (fast.spec.name, fast.stages, fast.optimise, fast.segment) == (
        "e2m1_ue5m3_n16_exact",
        3,
        "delay",
        1,
    )


def test_chains_and_tensor_cores_are_there_beside_them() -> None:
    found = [one.name for one in every()]
    assert len(set(found)) == len(found)
    assert found == [one.name for units in (grid(), chains(), tensor_cores()) for one in units]
    small = {one.name for one in tensor_cores() if one.stages == 1}
    assert {one.name for one, vectors in every().items() if vectors == 10_000_000} == small
    assert {vectors for one, vectors in every().items() if one.name not in small} == {1_000_000}
    specs = {one.spec for one in chains()}
    assert len(specs) == len(CHAINS)
    # Those that are units of fp32 are not worth a run of their own.
    assert not any(chain_is_exact(spec) for spec in specs)
    cores = list(tensor_cores())
    assert {one.spec for one in cores} == {preset.spec for preset in PRESETS.values()}
    assert {(one.stages, one.optimise) for one in cores} == {(1, "area"), (4, "delay"), (2, "delay")}
    assert all(one.spec.result == "binary16" for one in cores if one.stages == 2)


def test_every_kind_of_scale_and_result_comes(seed: int) -> None:
    counts = classes(DotSpec(scale="ue5m3", accumulate="fp32"), 20_000, seed)
    assert counts.keys() == {"a_scale", "b_scale", "result"}
    assert sum(counts["a_scale"].values()) == 20_000
    assert min(counts["a_scale"].values()) > 0
    wide = classes(DotSpec(scale="ue8m0", accumulate="fp32"), 20_000, seed)
    assert min(wide["result"].values()) > 0
    assert wide["a_scale"]["zero"] == wide["a_scale"]["subnormal"] == 0
    narrow = classes(DotSpec.preset("ada-e5m2-fp16"), 20_000, seed)
    assert narrow.keys() == {"result"}
    assert min(narrow["result"].values()) > 0


def test_the_record_is_of_every_unit() -> None:
    kept = read_volume(KEPT)
    assert min(unit["vectors"] for unit in kept["units"].values()) >= 1_000_000
    # Of tensor cores the page tells how many were run.
    kinds = {variant.name for variant in grid()}, {variant.name for variant in every()}
    assert kinds[0] <= kept["units"].keys() <= kinds[1]
    assert all(unit["equal"] for unit in kept["units"].values())
    # What is computed is the same at every depth and in every form.
    digests: dict[tuple[str, int], set[str]] = {}
    for variant in every():
        if variant.name in kept["units"]:
            unit = kept["units"][variant.name]
            digests.setdefault((variant.spec.name, unit["vectors"]), set()).add(unit["digest"])
    assert {len(found) for found in digests.values()} == {1}
    assert kept["classes"].keys() == {spec for spec, _ in digests}


# A few that between them have every component; `make volume` looks at all, and runs those that changed.
@pytest.mark.parametrize(
    "name",
    [
        "e2m1_ue4m3_n8_none_s3",
        "e2m1_ue5m3_n8_none_s0_delay",
        "e2m1_ue8m0_n8_fp32_s1_delay",
        "e2m1_ue5m3_n8_fp32_s2_delay",
        "e2m1_ue4m4_n8_fp32_s1",
        "e2m1_ue4m3_n16_exact_s4_segment8",
        "e2m1_ue5m3_n8_exact_s1_delay",
        "e2m1_ue4m3_n8_aligned_s1",
        "e4m3_ue4m3_n4_chain_s1",
    ],
)
def test_the_record_is_of_the_units_that_there_are(name: str) -> None:
    (variant,) = (one for one in every() if one.name == name)
    kept = read_volume(KEPT)["units"][name]
    assert netlist(DotUnit.of(variant)) == kept["netlist"], f"{name} is another: run make volume"


@pytest.mark.matrix
def test_what_came_of_each_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "volume.jsonl"
    options = ["--vectors", "2000", "--build-dir", str(tmp_path / "build"), "--keep", str(kept)]
    assert main([*options, "--only", "e2m1_ue8m0_n8_none_s0"]) == 0
    assert capsys.readouterr().out == "1 units, 2000 inputs in all: 0 differ from the model\n"
    first = read_volume(kept)
    assert first["units"]["e2m1_ue8m0_n8_none_s0"]["results"] == 2000
    assert first["units"]["e2m1_ue8m0_n8_none_s0"]["vectors"] == 2000
    assert first["classes"].keys() == {"e2m1_ue8m0_n8_none"}
    assert main([*options, "--only", "e2m1_ue8m0_n8_none_s0*"]) == 0
    assert read_volume(kept)["units"].keys() == {
        "e2m1_ue8m0_n8_none_s0",
        "e2m1_ue8m0_n8_none_s0_delay",
    }
    # A netlist that was run is not run again, and one that is another is.
    name = "e2m1_ue8m0_n8_none_s0"
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")  # so that nothing can be compiled
        again = [*options[:2], "--build-dir", str(tmp_path / "other"), *options[4:], "--only", name]
        assert main(again) == 0
        record = read_volume(kept)
        assert record["units"][name] == first["units"][name]
        kept.write_text(kept.read_text().replace(record["units"][name]["netlist"], "another"))
        assert main(again) == 2
        kept.write_text(kept.read_text().replace("another", record["units"][name]["netlist"]))
        assert main([*again, "--again"]) == 2
        # More inputs are a run, and fewer are none.
        assert main([*again, "--vectors", "2001"]) == 2
        assert main([*again, "--vectors", "1999"]) == 0
    assert main([*options, "--only", name, "--again"]) == 0
    assert read_volume(kept)["units"][name] == first["units"][name]
    # Other inputs are another file.
    assert main([*options, "--only", "e2m1_ue8m0_n8_none_s0", "--seed", "1"]) == 0
    assert read_volume(kept)["units"].keys() == {"e2m1_ue8m0_n8_none_s0"}

    def differs(*_: object) -> list[tuple[UnitConfig, dict[str, Any]]]:
        return [
            (one, {"vectors": 2000, "results": 0, "digest": "", "equal": False})
            for one in every()
            if "n8_none_s0" in one.name
        ]

    assert main([*options, "--only", "nothing"], simulate=differs) == 1
    assert "e2m1_ue8m0_n8_none_s0 differs from the model: blockdot soak tells how" in capsys.readouterr().out
    assert main([*options, "--vectors", "1", "--only", "nothing", "--keep", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("volume: ")
