"""Whose hardware has changed since the answer was measured: what the page has to say of its own figures."""

from collections.abc import Callable, Sequence
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
    """Note beside each library which accumulations have other hardware now than was measured.

    Args:
        stored: What `measure_answer` returned.
        today: What tells a unit's netlist by its name.

    Returns:
        The same, where each library has ``changed``: the accumulations with a unit whose netlist is another
        today. It has none where all are the same.
    """
    # A unit has a row for each library.
    hashes = {unit: today(unit) for unit in {row["unit"]: None for row in stored["rows"]}}
    changed: dict[str, dict[str, None]] = {}
    for row in stored["rows"]:
        if hashes[row["unit"]] != row["netlist"]:
            changed.setdefault(row["library"], {})[row["accumulate"]] = None
    libraries: list[AnswerRow] = []
    for library in stored["libraries"]:
        facts = {key: value for key, value in library.items() if key != "changed"}
        found = list(changed.get(library["name"], ()))
        libraries.append(facts | ({"changed": found} if found else {}))
    return stored | {"libraries": libraries}


def change_sentences(libraries: Sequence[AnswerRow]) -> list[str]:
    """Return a sentence for each accumulation whose figures are of hardware before a change."""
    names: dict[str, list[str]] = {}
    for library in libraries:
        for accumulate in library.get("changed", ()):
            names.setdefault(accumulate, []).append(f"`{library['name']}`")
    return [
        f"**The hardware of `{accumulate}` has changed since it was measured on {', '.join(where)}.** The "
        "figures are of the units before; [the ledger](ledger.md) has those of today on the built-in library."
        for accumulate, where in names.items()
    ]
