"""A few damaged files of each kind; `python -m studies.fuzz_readers` goes on for as long as one likes."""

from itertools import islice

import pytest
from blockdot.lab.quality import quantized_checkpoints
from blockdot.synth.liberty import Library
from blockdot.synth.neutral_library import liberty_text
from messages import whole

from studies.fuzz_readers import RARE, Fault, FuzzError, cases_of, fuzz, library_cases, run_case, tensor_cases
from studies.fuzz_readers import __main__ as command
from studies.fuzz_readers.__main__ import main
from studies.records import read_stored


def test_no_file_is_read_wrongly_or_refused_without_a_line(seed, tmp_path):
    cases = cases_of()
    outcomes = list(islice(fuzz(seed, tmp_path, cases), 8 * (len(cases) - len(RARE)) + len(RARE)))
    assert [outcome for _, outcome in outcomes if isinstance(outcome, Fault)] == []
    assert {kind for kind, _ in outcomes} == set(cases)
    assert {outcome for _, outcome in outcomes} >= {"read", "refused"}


def test_a_case_is_the_same_again(tmp_path):
    cases = cases_of()
    one, two = ([run_case("safetensors", k, 1, tmp_path, cases) for k in range(30)] for _ in range(2))
    assert one == two


def test_what_must_not_be_is_found_and_how_to_do_it_again_is_said(monkeypatch, tmp_path):
    cases = cases_of()
    again = "again by: python -m studies.fuzz_readers --seed 3 --case"

    def broken(_):
        raise KeyError("cell")

    def fails(kind: str, number: int, match: str) -> None:
        with pytest.raises(FuzzError, match=match):
            run_case(kind, number, 3, tmp_path, cases)

    with monkeypatch.context() as patch:
        patch.setattr(Library, "parse", broken)
        fails("liberty-damaged", 7, whole(f"KeyError: 'cell'; {again} liberty-damaged:7"))
        outcomes = list(islice(fuzz(3, tmp_path, cases), 2))
        assert [type(outcome) for _, outcome in outcomes] == [Fault, Fault]
    with monkeypatch.context() as patch:
        patch.setattr(library_cases, "analyse", lambda *_: type("Timing", (), {"period": 0.0}))
        fails("liberty-untimed", 0, "without timing must be refused by its name, not give None")
    with monkeypatch.context() as patch:
        patch.setattr(tensor_cases, "list_tensors", lambda _: [])
        patch.setattr(tensor_cases, "read_tensor", lambda _: 0)
        found = [
            outcome for _, outcome in islice(fuzz(3, tmp_path, {"safetensors": cases["safetensors"]}), 40)
        ]
        assert any("the package says" in outcome for outcome in found if isinstance(outcome, Fault))
    with monkeypatch.context() as patch:
        # What is kept beside the matrices comes out changed.
        write = quantized_checkpoints.write_checkpoint

        def changed(*arguments, read_other, **options):
            write(*arguments, read_other=lambda name: ~read_other(name), **options)

        patch.setattr(quantized_checkpoints, "write_checkpoint", changed)
        found = [outcome for _, outcome in islice(fuzz(3, tmp_path, {"checkpoint": cases["checkpoint"]}), 20)]
        assert any("must be kept as it is" in one for one in found if isinstance(one, Fault))


def test_another_library_is_damaged(tmp_path):
    path = tmp_path / "other.lib"
    path.write_text(liberty_text().replace("(neutral)", "(other)"))
    cases = cases_of((path,))
    found = [run_case("liberty-damaged", k, 0, tmp_path, cases) for k in range(8)]
    assert set(found) == {"read", "refused"}
    path.write_text("library (x) { }")
    with pytest.raises(ValueError, match=r"^Liberty file must be a readable Liberty file, not 'other\.lib'"):
        cases_of((path,))


def test_the_command(capsys, monkeypatch, tmp_path):
    assert main(["--case", "npy:3"]) == 0
    assert capsys.readouterr().out.strip() in ("read", "refused")
    assert main(["--case", "zip:3"]) == 2
    assert capsys.readouterr().err.startswith("studies.fuzz_readers: --case must be one of liberty-damaged, ")
    kept = tmp_path / "outcome.jsonl"
    monkeypatch.setattr(command, "KEPT", kept)
    other = tmp_path / "other.lib"
    other.write_text(liberty_text())
    assert main(["--minutes", "0", "--write", "--library", str(other)]) == 0
    assert "liberty-damaged" in capsys.readouterr().out
    stored = read_stored(kept)
    (run,) = stored["runs"]
    assert (run["seed"], run["cases"], run["faults"], run["libraries"]) == (0, 1, 0, "other.lib")
    assert [row["kind"] for row in stored["outcomes"]] == ["liberty-damaged"]
    # A second run is added to the first, and none counts twice.
    assert main(["--minutes", "0", "--write"]) == 2
    assert capsys.readouterr().err == (
        "studies.fuzz_readers: --seed must be none of 0, which are kept, not 0\n"
    )
    assert main(["--minutes", "0", "--seed", "5", "--write"]) == 0
    assert "2 runs are kept: 2 cases in 0.0 minutes of the processor, 0 faults" in capsys.readouterr().out
    stored = read_stored(kept)
    assert [run["seed"] for run in stored["runs"]] == [0, 5]
    assert (stored["cases"], sum(row["cases"] for row in stored["outcomes"])) == (2, 2)
    assert main(["--at-most", "0"]) == 0
    assert ", 1 cases in 0.0 minutes, 0.0 of them on the processor" in capsys.readouterr().out

    def broken(*_):
        raise KeyError("cell")

    monkeypatch.setattr(Library, "parse", broken)
    assert main(["--minutes", "0"]) == 1
    out, err = capsys.readouterr()
    assert "fault" in out
    assert "KeyError" in err
