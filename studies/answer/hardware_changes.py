"""Whose hardware has changed since the answer was measured: what the page has to say of its own figures."""

from collections.abc import Callable
from typing import Any

from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.measurement_job import emit
from blockdot.synth.netlist import Netlist

from .answer_rows import AnswerRow

__all__ = ["change_sentences", "mark_changes", "netlist_today"]


def netlist_today(unit: str) -> str:
    """Return the hash of the netlist that the unit of a row has today, by its name."""
    return Netlist(*emit(UnitConfig.parse(unit), 0)).sha256


def mark_changes(stored: dict[str, Any], *, today: Callable[[str], str] = netlist_today) -> dict[str, Any]:
    """Note which units have other hardware now than was measured.

    Args:
        stored: What `measure_answer` returned.
        today: What tells a unit's netlist by its name.

    Returns:
        The same, where each row of ``rows`` whose unit has another netlist today is ``changed``.
    """
    # A unit has a row for each library.
    hashes = {unit: today(unit) for unit in {row["unit"]: None for row in stored["rows"]}}
    rows: list[AnswerRow] = []
    for row in stored["rows"]:
        facts = {key: value for key, value in row.items() if key != "changed"}
        rows.append(facts | ({"changed": True} if hashes[row["unit"]] != row["netlist"] else {}))
    return stored | {"rows": rows}


def change_sentences(stored: AnswerRow) -> list[str]:
    """Return a sentence for each accumulation whose figures are of hardware before a change."""
    marks: dict[str, dict[str, list[bool]]] = {}
    for row in stored["rows"]:
        of_library = marks.setdefault(row["accumulate"], {}).setdefault(row["library"], [])
        of_library.append(row.get("changed", False))
    sentences: list[str] = []
    for accumulate, libraries in marks.items():
        where = [
            f"`{name}`" if all(changed) else f"`{name}` ({sum(changed)} of {len(changed)} units)"
            for name, changed in libraries.items()
            if any(changed)
        ]
        if where:
            sentences.append(
                f"**The hardware of `{accumulate}` has changed since it was measured on {', '.join(where)}.**"
                " The figures are of the units before; [the ledger](ledger.md) has those of today on the "
                "built-in library."
            )
    return sentences
