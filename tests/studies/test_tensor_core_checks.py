"""What is checked of each tensor core: the part of the page, of made-up records."""

from blockdot.model.presets import PRESETS

from studies.integer_steps import CORES
from studies.tensor_core_checks import check_lines, table_lines

COUNTS = {"empty": 100, "cancelled": 0, "cut": 2500, "subnormal": 1, "overflowed": 9, "special": 10}
STEPS = [
    {"preset": "hopper-e4m3", "steps": 10000, "differ": 0, **COUNTS},
    {"preset": "volta-fp16-fp16", "steps": 20000, "differ": 3, **COUNTS},
]
PROVEN = {"leaf": "contract", "outcome": "agrees"}
PROOFS = {
    ("hopper-e4m3", "area"): {"count": 2, "claims": [PROVEN, {"leaf": "tree", "outcome": "proven"}]},
    ("volta-fp16-fp16", "area"): {"count": 3, "claims": [PROVEN, {"leaf": "tree", "outcome": "open"}]},
    ("volta-fp16-fp16", "delay"): {"count": 1, "claims": [PROVEN]},
}
KILLED = {"killed": 48, "refuted": 1, "equivalent": 1, "survived": 0}
MUTANTS = {
    "hopper-e4m3": {"netlist": KILLED, "source": KILLED},
    "volta-fp16-fp16": {"netlist": KILLED, "source": KILLED | {"survived": 3}},
}
VOLUME = {
    "units": {
        "e4m3_none_n32_aligned_f13_t1_z133_e8m13_s1": {"vectors": 9000, "equal": True},
        "e4m3_none_n32_aligned_f13_t1_z133_e8m13_s4_delay": {"vectors": 5000, "equal": False},
        "e2m1_ue5m3_n16_fp32_s1": {"vectors": 4000, "equal": False},
    },
}


def test_each_row_of_the_table_has_a_command_that_runs_its_presets() -> None:
    rows = [line.strip("| ").split(" | ") for line in table_lines() if "preset_steps" in line]
    assert len(rows) == len({tuple(row[:-1]) for row in rows})
    run = [row[-1].strip("`").removeprefix("python -m studies.preset_steps ").split() for row in rows]
    assert {name for names in run for name in names} == CORES.keys()
    # Of each preset the row of its generation runs the one that computes the same.
    assert sum(map(len, run)) == len(PRESETS)
    for row, names in zip(rows, run, strict=True):
        cores = [CORES[name] for name in names]
        assert row[1].split(", ") == [core.element for core in cores]
        assert {(str(core.products), str(core.fraction), str(core.zero_exponent)) for core in cores} == {
            (row[3], row[5], row[6])
        }
        assert {core.grouped for core in cores} == {row[4] == "16"}
    sums = ["binary32, toward zero", "`python -m studies.preset_steps blackwell-mxfp4`"]
    assert ["Blackwell", "e2m1", "ue8m0 of 16", "64", "16", "35", "-139", *sums] in rows


def test_each_preset_tells_its_steps_and_its_units() -> None:
    text = "\n".join(check_lines(STEPS, VOLUME, PROOFS, MUTANTS))
    assert (
        "| `hopper-e4m3` | 10000 | 1.0% | 0 | 25.0% | 1e-04 | 9e-04 | 0.1% | 9000, 5000 | 2 of 2 | 98 of 98 |"
        in text
    )
    assert (
        "| `volta-fp16-fp16` | 20000 | 0.5% | 0 | 12.5% | 5e-05 | 4e-04 | 5e-04 | - | 1 of 3 | 98 of 101 |"
        in text
    )
    told = text.replace("\n ", "")
    assert "of 2 presets, 10000 or more each. 3 results differ in a bit." in told
    # The unit of fp32 is no tensor core.
    assert "2 of 58 have had 5000 random inputs or more" in told
    assert "1 of them have had 9000. 1 differ." in told
    assert "- **Proofs**: of 1 of 2 presets every claim on the unit holds\n" in text
    assert "- **Faults**: put into the units of 2 of 2 presets. Of 1 of these every one is found" in told
    assert "Of 1 presets it can decide a bit: `volta-fp16-fp16`. " in told
    assert "Of the other 1 no input shows it" in told


def test_that_no_unit_was_run_or_proven_is_told() -> None:
    text = "\n".join(check_lines(STEPS, {"units": {}}, {}, {}))
    assert "- **Units**: none of 58 has had random inputs yet, beside the model.\n" in text
    assert "- **Proofs**: of 0 of 2 presets every claim on the unit holds\n" in text
    assert "- **Faults**: put into the units of 0 of 2 presets." in text
    assert "0.1% | - | - | - |\n" in text
