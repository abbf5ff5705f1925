"""A few damaged files of each kind; `python -m studies.fuzz_readers` goes on for as long as one likes."""

from itertools import islice

import pytest
from blockdot.synth.liberty import Library
from messages import whole

from studies import fuzz_readers
from studies.fuzz_readers import KINDS, FuzzError, fuzz, main, run_case


def test_no_file_is_read_wrongly_or_refused_without_a_line(seed, tmp_path):
    outcomes = set(islice(fuzz(seed, tmp_path), 12 * len(KINDS)))
    assert {kind for kind, _ in outcomes} == set(KINDS)
    assert {outcome for _, outcome in outcomes} >= {"read", "refused"}


def test_a_case_is_the_same_again(tmp_path):
    assert [run_case("safetensors", k, 1, tmp_path) for k in range(30)] == [
        run_case("safetensors", k, 1, tmp_path) for k in range(30)
    ]


def test_what_must_not_be_is_found_and_how_to_do_it_again_is_said(monkeypatch, tmp_path):
    again = "again by: python -m studies.fuzz_readers --seed 3 --case"

    def broken(_):
        raise KeyError("cell")

    with monkeypatch.context() as patch:
        patch.setattr(Library, "parse", broken)
        with pytest.raises(FuzzError, match=whole(f"KeyError: 'cell'; {again} liberty-damaged:7")):
            run_case("liberty-damaged", 7, 3, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(fuzz_readers, "analyse", lambda *_: type("Timing", (), {"period": 0.0}))
        with pytest.raises(FuzzError, match="without timing must be refused by its name, not give None"):
            run_case("liberty-untimed", 0, 3, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(fuzz_readers, "list_tensors", lambda _: [])
        patch.setattr(fuzz_readers, "read_tensor", lambda _: 0)
        with pytest.raises(FuzzError, match=r"the package refuses it, and here: None|must have the values"):
            list(islice(fuzz(3, tmp_path), 500))


def test_the_command(capsys):
    assert main(["--case", "npy:3"]) == 0
    assert capsys.readouterr().out.strip() in ("read", "refused")
    assert main(["--case", "npz:3"]) == 2
    assert capsys.readouterr().err.startswith("studies.fuzz_readers: --case must be one of liberty-damaged, ")
    assert main(["--minutes", "0"]) == 0
    assert "liberty-damaged" in capsys.readouterr().out
