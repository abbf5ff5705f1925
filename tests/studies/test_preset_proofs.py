"""Proofs of presets: what is kept and where a run goes on; and that the page tells what is kept."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from blockdot.model import DotSpec
from blockdot.verify.proofs.claims import Claim, Proof, ProofOutcome

from studies.different_presets import different_presets
from studies.marked_part import with_part
from studies.preset_proofs import (
    HOLDS,
    KEPT,
    PROOFS_BEGIN,
    PROOFS_END,
    claims_told,
    holds,
    main,
    page_with_proofs,
)
from studies.preset_proofs import read_proofs as read
from studies.preset_study import PAGE
from studies.records import write_stored


class Settled:
    """Settles claims as it is told, and counts them; the other claims are proven.

    Args:
        outcomes: What comes of some claims.
        stop: How many claims are settled before it is interrupted.
    """

    def __init__(self, outcomes: dict[str, ProofOutcome] | None = None, stop: int = 99) -> None:
        self._outcomes = outcomes or {}
        self._stop = stop
        self.seen: list[str] = []

    def __call__(self, claim: Claim, seconds: float) -> Proof:
        if len(self.seen) == self._stop:
            raise KeyboardInterrupt
        self.seen.append(claim.leaf)
        outcome = self._outcomes.get(claim.leaf, "agrees" if claim.remains else "proven")
        remains = "" if outcome in HOLDS else f"not within {seconds:g} s"
        return Proof(claim.leaf, claim.text, "SAT", outcome, outcome == "proven", remains, 1.0)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{PROOFS_BEGIN}\n\nold\n{PROOFS_END}\nafter\n")
    return path


def test_the_page_tells_what_is_kept() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_proofs(PAGE.read_text(encoding="utf-8"), read(KEPT))


def test_what_is_kept_is_of_todays_presets_and_complete() -> None:
    specs = different_presets()
    for (preset, _), record in read(KEPT).items():
        assert record["spec"] == specs[preset].name
        leaves = [claim["leaf"] for claim in record["claims"]]
        assert len(set(leaves)) == len(leaves) <= record["count"]
        assert {"contract", "streams, 1 stages"} < set(leaves) or not holds(record)
        # These alone are shown by simulation.
        agrees = {claim["leaf"] for claim in record["claims"] if claim["outcome"] == "agrees"}
        assert agrees <= {"contract", "contract, in one stage"}
        assert all(claim["seconds"] >= 0 for claim in record["claims"])


def test_every_claim_holds_of_every_different_tensor_core() -> None:
    kept = read(KEPT)
    assert {name for name, optimise in kept if optimise == "area"} == different_presets().keys()
    assert [key for key, record in kept.items() if not holds(record)] == []


def test_a_run_goes_on_where_it_was(tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "proofs.jsonl"

    def run(settled: Settled, *more: str) -> int:
        return main(["volta-fp16", "--keep", str(kept), *more], page=page, settled=settled)

    first = Settled(stop=3)
    assert run(first) == 130
    assert len(first.seen) == 3
    (record,) = read(kept).values()
    assert (record["preset"], record["spec"]) == ("volta-fp16", DotSpec.preset("volta-fp16").name)
    assert [claim["leaf"] for claim in record["claims"]] == first.seen
    assert claims_told(record) == "3 of 12"
    assert "old" in page.read_text()

    second = Settled({"contract": "failed", "streams, 2 stages": "open"})
    assert run(second, "--seconds", "7") == 1
    assert len(second.seen) == 9
    assert not set(second.seen) & set(first.seen)
    (record,) = read(kept).values()
    assert [claim["leaf"] for claim in record["claims"]] == [*first.seen, *second.seen]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "volta-fp16: contract: failed: not within 7 s"
    assert told[-1] == "1 presets: 2 claims do not hold"
    text = page.read_text()
    said = "Every claim holds of 0 of the 29 different tensor cores. "
    assert text.startswith(f"before\n{PROOFS_BEGIN}\n\n{said}")
    assert "cores. Not tried: `volta-fp16-fp16`, `turing-fp16`," in text
    assert text.endswith(f"\n\n{PROOFS_END}\nafter\n")
    assert "| `volta-fp16` | 4 products, binary32, toward zero | 10 of 12 |" in text
    assert "Of `volta-fp16`, for area: contract is failed; streams, 2 stages is open.\n" in text

    third = Settled()
    assert run(third) == 0
    assert third.seen == ["contract", "streams, 2 stages"]
    (record,) = read(kept).values()
    assert holds(record)
    assert "Every claim holds of 1 of the 29 different tensor cores. Not" in page.read_text()
    assert "Of `volta-fp16`" not in page.read_text()

    # What was proven of another netlist, or by other sources, counts no more.
    kept.write_text(kept.read_text().replace(record["digest"], "0" * 64))
    fourth = Settled()
    assert run(fourth) == 0
    assert len(fourth.seen) == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pascal"], "preset must be one of volta-fp16, "),
        (["--seconds", "0.5"], "seconds must be at least 1, not 0.5"),
        (["--write"], "claims must be proven before the page is written"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: Sequence[str], said: str, tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--keep", str(tmp_path / "none.jsonl")], page=page) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"preset_proofs: {said}")


def test_a_file_that_is_another_is_one_line(
    tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "proofs.jsonl"
    made = {"units": [], "claims": [{"preset": "volta-fp16", "optimise": "area"}]}
    for tables, said in (({}, "'units'"), (made, r"('volta-fp16', 'area')")):
        write_stored(kept, "a test", tables)
        assert main(["--write", "--keep", str(kept)], page=page) == 2
        wanted = f"preset_proofs: {kept} must have units and their claims, not without {said}\n"
        assert capsys.readouterr().err == wanted


def test_a_page_must_have_both_marks_once() -> None:
    for page in ("", "a\n", "b\na\n", "a\nb\na\n", "a\nb\nb\n"):
        with pytest.raises(ValueError, match=r"^page must have a and b once each, in this order$"):
            with_part(page, "page", "a", "b", "text\n")
    assert with_part("1\na\n2\nb\n3\n", "page", "a", "b", "text\n") == "1\na\n\ntext\n\nb\n3\n"
