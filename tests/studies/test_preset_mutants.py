"""Mutants of presets: what is kept and where a run goes on; and that the page tells what is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from blockdot.hw import UnitConfig
from blockdot.model import DotSpec
from blockdot.verify.netlist_mutants import FATES, Fate, Mutant, Mutants

from studies.different_presets import different_presets
from studies.preset_mutants import (
    KEPT,
    MUTANTS_BEGIN,
    MUTANTS_END,
    Planted,
    found_told,
    main,
    mutant_place,
    page_with_mutants,
    survives,
)
from studies.preset_mutants import read_mutants as read
from studies.preset_study import PAGE
from studies.records import write_stored

# No solver has settled it: the page says why it changes nothing.
UNSETTLED = {"turing-fp16-fp16": {"const1 $and$unit.v:157$30 B 15"}}
KILLED: Fate = "killed"
CELL = r"$flatten\accumulate.\normalise_2.$and$unit.v:3672$1556"


class Tries:
    """Gives mutants of these fates, and counts the units; all mutants of the source are killed.

    Args:
        fates: What becomes of the first mutants of a netlist; the others are killed.
        stop: How many units are tried before it is interrupted.
    """

    def __init__(self, *fates: Fate, stop: int = 99) -> None:
        self._fates = fates
        self._stop = stop
        self.seen: list[str] = []

    def __call__(
        self, config: UnitConfig, count: int, seed: int, progress: Callable[[int, int], None]
    ) -> Planted:
        if len(self.seen) == self._stop:
            raise KeyboardInterrupt
        self.seen.append(config.name)
        progress(1, 2)
        fates: list[Fate] = [self._fates[k] if k < len(self._fates) else KILLED for k in range(count)]
        mutants = tuple(
            Mutant("accumulate", f"inv {CELL} B {k}", fate, 3 if fate == KILLED else None)
            for k, fate in enumerate(fates)
        )
        return Mutants(config.name, seed, 77, mutants), (Mutant("round", "ties go up", "killed", None),)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{MUTANTS_BEGIN}\n\nold\n{MUTANTS_END}\nafter\n")
    return path


def test_the_page_tells_what_is_kept() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page_with_mutants(text, read(KEPT))


def test_what_is_kept_is_of_todays_presets_and_what_survives_is_explained() -> None:
    specs = different_presets()
    for preset, record in read(KEPT).items():
        assert record["spec"] == specs[preset].name
        assert sum(record["netlist"].values()) == record["count"]
        assert sum(record["source"].values()) >= 10
        for part in ("netlist", "source"):
            assert list(record[part]) == list(FATES)
            left = [one["fate"] for one in record["left"] if one["of"] == part]
            assert {fate: left.count(fate) for fate in FATES[1:]} == {
                fate: record[part][fate] for fate in FATES[1:]
            }
        alive = {one["fault"] for one in record["left"] if one["fate"] == "survived"}
        assert alive <= UNSETTLED.get(preset, set())
        assert survives(record) == bool(alive)


def test_a_run_goes_on_where_it_was(tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "mutants.jsonl"
    names = ["volta-fp16", "volta-fp16-fp16"]

    def run(tries: Tries, *more: str, of: Sequence[str] = names[:1]) -> int:
        return main([*of, "--keep", str(kept), *more], page=page, tried=tries)

    first = Tries("equivalent", "survived", stop=1)
    assert run(first, "--count", "4", of=names) == 130
    (record,) = read(kept).values()
    assert (record["preset"], record["spec"]) == ("volta-fp16", DotSpec.preset("volta-fp16").name)
    assert (record["vectors"], record["count"], record["seed"]) == (77, 4, 0)
    assert record["netlist"] == {"killed": 2, "refuted": 0, "equivalent": 1, "survived": 1}
    assert record["source"] == {"killed": 1, "refuted": 0, "equivalent": 0, "survived": 0}
    assert [one["place"] for one in record["left"]] == ["accumulate.normalise"] * 2
    assert found_told(record) == "3 of 4"
    assert "old" in page.read_text()

    # What survived is tried again.
    second = Tries("equivalent", "survived")
    assert run(second, "--count", "4", of=names) == 1
    assert len(second.seen) == 2
    told = capsys.readouterr().out.splitlines()
    assert f"volta-fp16: survived: netlist: accumulate.normalise: inv {CELL} B 1" in told
    assert told[-1] == "2 presets: 2 faults survived"
    text = page.read_text()
    assert text.startswith(f"before\n{MUTANTS_BEGIN}\n\nThe units for area of 2 of the 29 different tensor")
    told_at_once = " ".join(text.split())
    assert (
        "cores have had 8 faults in their netlists and 2 in the source. 2 of them survived. "
        "Not tried: `turing-fp16`," in told_at_once
    )
    row = "| `volta-fp16` | 4 products, binary32, toward zero | 2 / 0 / 1 / 1 | 1 / 0 / 0 / 0 |"
    assert f"{row} `accumulate.normalise` 1 |" in text
    assert "Of those in netlists, 2 are equivalent: `accumulate.normalise` 2." in text
    assert f"Of `volta-fp16` survived: netlist, accumulate.normalise: inv {CELL} B 1." in told_at_once
    assert text.endswith(f"\n\n{MUTANTS_END}\nafter\n")

    third = Tries()
    assert run(third, "--count", "4") == 0
    assert len(third.seen) == 1
    assert " 1 of them survived." in " ".join(page.read_text().split())
    fourth = Tries()
    assert run(fourth, "--count", "4") == 0
    assert fourth.seen == []

    # Another number of faults, another choice, another netlist: each is another question.
    for more in (["--count", "5"], ["--count", "5", "--seed", "1"]):
        other = Tries()
        assert run(other, *more) == 0
        assert len(other.seen) == 1
    digest = read(kept)["volta-fp16"]["digest"]
    kept.write_text(kept.read_text().replace(digest, "0" * 64))
    fifth = Tries()
    assert run(fifth, "--count", "5", "--seed", "1") == 0
    assert fifth.seen == [UnitConfig(DotSpec.preset("volta-fp16"), stages=1).name]


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (f"inv {CELL} Y 0", "accumulate.normalise"),
        (r"const0 $flatten\term_13.$reduce_or$unit.v:5267$2270 Y 0", "term"),
        ("cnot1 $and$unit.v:12$3 A 4", "control"),
    ],
)
def test_a_fault_has_the_place_of_its_cell(fault: str, place: str) -> None:
    component = place.partition(".")[0]
    assert mutant_place(Mutant(component, fault, "killed", 1)) == place


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pascal"], "preset must be one of volta-fp16, "),
        (["--count", "0"], "count must be at least 1, not 0"),
        (["--seed", "-1"], "seed must be at least 0, not -1"),
        (["--write"], "faults must be tried before the page is written"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: Sequence[str], said: str, tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--keep", str(tmp_path / "none.jsonl")], page=page) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"preset_mutants: {said}")


def test_a_file_that_is_another_is_one_line(
    tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "mutants.jsonl"
    for tables, said in (
        ({}, "'units'"),
        ({"units": [], "left": [{"preset": "volta-fp16"}]}, "'volta-fp16'"),
    ):
        write_stored(kept, "a test", tables)
        assert main(["--write", "--keep", str(kept)], page=page) == 2
        wanted = f"preset_mutants: {kept} must have units and what is left, not without {said}\n"
        assert capsys.readouterr().err == wanted
