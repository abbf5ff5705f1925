"""The stored rows of the answer: which unit each is about, and what it says of the bit."""

import itertools
from typing import Any, Final

from blockdot.hw.unit_grid import GRID_ACCUMULATES
from blockdot.lab.cost.switching_energy import ENERGY_VERSION

from ..attributions import attributed_decides

__all__ = [
    "ANSWER_BLOCK_SIZES",
    "ANSWER_SCHEMA",
    "ANSWER_VERSION",
    "BIT",
    "AnswerRow",
    "Question",
    "areas",
    "asked",
    "attributed_area",
    "compared_rows",
    "deciding_area",
    "energy",
    "is_plain",
    "period",
    "question_of",
    "selection",
    "units_by_verdict",
    "verdict",
    "whole_area",
    "without_older_energies",
]

ANSWER_SCHEMA: Final = "blockdot.answer"

ANSWER_VERSION: Final = 6
"""Version of the stored results' layout."""

ANSWER_BLOCK_SIZES: Final = (16, 8, 32)
"""Sizes that the question asks for, the most important first."""

BIT: Final = "ue5m3"
"""The scale format with the bit that the question is about."""

AnswerRow = dict[str, Any]
"""A JSON record."""

Question = tuple[int, int, int, str, int]
"""Number of the accumulation, blocks, elements under one scale, form of the components, stages."""

_DEPTHS: Final = {0: "combinational", 1: "1 stage"}


def deciding_area(row: AnswerRow) -> dict[str, float]:
    """Return the difference in area that decides."""
    return row["attribution"]["relative"] if attributed_decides(row) else row["deltas"]["area"]


def whole_area(row: AnswerRow) -> dict[str, float] | None:
    """Return the difference in area of the whole; None where the unit was not compared."""
    return row["deltas"].get("area")


def attributed_area(row: AnswerRow) -> dict[str, float] | None:
    """Return the difference in area by components; None where it was not measured."""
    return row["attribution"]["relative"] if "attribution" in row else None


def period(row: AnswerRow) -> dict[str, float] | None:
    """Return the difference in clock period; None where the unit was not compared."""
    return row["deltas"].get("period")


def energy(row: AnswerRow, vectors: str, what: str) -> dict[str, float] | None:
    """Return the difference in switching energy; None where it was not measured.

    Args:
        row: The row.
        vectors: What the unit is fed with: ``real`` or ``uniform``.
        what: ``total``, or ``settled``, which is without glitches.
    """
    return row["energy"].get(vectors, {"deltas": {}})["deltas"].get(what)


def verdict(estimate: dict[str, float]) -> str:
    """Return in words what a difference in area says of the bit."""
    if estimate["low"] > 0:
        return "costs area"
    return "saves area" if estimate["high"] < 0 else "cannot be told from free"


def question_of(row: AnswerRow) -> Question:
    """Return what a row is about but for its scale format, so that questions sort into the page's order."""
    return (
        GRID_ACCUMULATES.index(row["accumulate"]),
        row["blocks"],
        row["block_size"],
        row["optimise"],
        row["stages"],
    )


def asked(question: Question) -> str:
    """Return in words what a row is about."""
    accumulate, blocks, block_size, optimise, stages = question
    size = f"N={block_size}" if blocks == 1 else f"{blocks} blocks of {block_size}"
    form = "" if optimise == "area" else f", made for {optimise}"
    return f"{GRID_ACCUMULATES[accumulate]}, {size}{form}, {_DEPTHS.get(stages, f'{stages} stages')}"


def is_plain(row: AnswerRow) -> bool:
    """Return whether a row is of the least depth, and of the smallest form."""
    return row["stages"] == int(row["accumulate"] != "none") and row["optimise"] == "area"


def compared_rows(rows: list[AnswerRow], scale: str = BIT) -> list[AnswerRow]:
    """Return the rows of a scale format that were compared with UE4M3."""
    return [row for row in rows if row["scale"][0] == scale and "area" in row["deltas"]]


def units_by_verdict(stored: AnswerRow) -> dict[str, list[str]]:
    """Return the units by what the bit does to them."""
    count = len(stored["libraries"])
    rows = sorted(compared_rows(stored["rows"]), key=question_of)
    found: dict[str, list[str]] = {}
    for question, group in itertools.groupby(rows, question_of):
        verdicts = [verdict(deciding_area(row)) for row in group]
        same = len(set(verdicts)) == 1
        said = f"{verdicts[0]} in {_libraries(len(verdicts), count)}" if same else "depends on the library"
        found.setdefault(said, []).append(asked(question))
    return dict(sorted(found.items()))


def _libraries(measured: int, count: int) -> str:
    if measured == count:
        return "every library" if count > 1 else "the library"
    return f"the {measured} of {count} libraries that it was measured in"


def areas(stored: AnswerRow) -> dict[tuple[str, int, str], float]:
    """Return what units of the first library take for each product of two elements, in NAND2 equivalents.

    By scale format, block size and accumulation; at the least depth, in the smallest form. A unit of larger
    blocks does more at a time, so that their areas themselves do not compare.
    """
    first = stored["libraries"][0]["name"]
    return {
        (row["scale"][0], row["block_size"], row["accumulate"]): row["nand2"]
        / (row["block_size"] * row["blocks"])
        for row in stored["rows"]
        if row["library"] == first and is_plain(row)
    }


def selection(error: AnswerRow) -> str:
    """Return in words how the scales were chosen that an error is of."""
    return error["method"] + (" + tensor scale" if error["tensor_scale"] else "")


def without_older_energies(stored: AnswerRow) -> AnswerRow:
    """Return results without energies that were found in another way than they are today."""
    rows: list[AnswerRow] = []
    for row in stored["rows"]:
        kept = {kind: one for kind, one in row["energy"].items() if one["version"] == ENERGY_VERSION}
        rows.append(row | {"energy": kept})
    return stored | {"rows": rows}
