"""The page of every unit that the answer is about: the tables."""

from collections.abc import Iterator

from blockdot.hw.unit_grid import GRID_ACCUMULATES, GRID_SCALES
from blockdot.lab.demo_weights import WEIGHT
from blockdot.lab.reports.records import markdown_lines

from ..intervals import interval_text
from .answer_rows import (
    ANSWER_BLOCK_SIZES,
    BIT,
    AnswerRow,
    areas,
    asked,
    attributed_area,
    compared_rows,
    energy,
    is_plain,
    period,
    question_of,
    selection,
    units_by_verdict,
    whole_area,
)
from .file_names import FIGURES, PAGE

__all__ = ["units_page"]


def units_page(stored: AnswerRow) -> Iterator[str]:
    """Yield the page of every unit, line by line, as Markdown."""
    yield "# What the bit costs: every unit"
    yield ""
    yield (
        f"The tables behind [the answer]({PAGE}), which explains the words. `make answer` writes them. "
        f"Every figure of every unit is in [{FIGURES}]({FIGURES}), one line for each unit and library."
    )
    yield ""
    yield from _everywhere(stored)
    yield from _at_equal_delay(stored)
    yield from _gates(stored)
    yield from _other_scales(stored)
    yield from _tiles(stored)
    if stored["errors"]:
        yield from _worth(stored)


def _everywhere(stored: AnswerRow) -> Iterator[str]:
    """The differences that the bit makes in every unit, library beside library."""
    compared = compared_rows(stored["rows"])
    yield "## What the bit costs in every unit"
    yield ""
    yield from (
        f"- **{said[0].upper()}{said[1:]}**: {'; '.join(units)}."
        for said, units in units_by_verdict(stored).items()
    )
    yield ""
    yield "UE5M3 against UE4M3."
    yield ""
    for told, of in (
        ("Area of the whole", whole_area),
        ("Area, attributed", attributed_area),
        ("Clock period, registers included; without any, the slowest path", period),
        ("Switching energy of one input on real vectors", lambda row: energy(row, "real", "total")),
        ("The same without glitches", lambda row: energy(row, "real", "settled")),
        ("Switching energy on uniform codes", lambda row: energy(row, "uniform", "total")),
        ("The same without glitches", lambda row: energy(row, "uniform", "settled")),
    ):
        found = [(row, estimate) for row in compared if (estimate := of(row)) is not None]
        if found:
            yield f"{told}:"
            yield ""
            yield from _beside(stored, found)
            yield ""
    if any(energy(row, "real", "total") for row in compared):
        yield (
            "Part of the difference in energy on real vectors comes from the data. UE4M3 holds many scales "
            "of these tensors as subnormal numbers, more of them where blocks are smaller. Their "
            "significands have bits that are zero and switch nothing. UE5M3 holds almost no scale that way. "
            "Of uniform codes one in 16 is zero or subnormal under UE4M3 and one in 32 under UE5M3, so that "
            "this difference comes from the hardware."
        )
        yield ""


def _beside(stored: AnswerRow, found: list[tuple[AnswerRow, dict[str, float]]]) -> Iterator[str]:
    """A table of one difference, with a line for each unit and a column for each library."""
    names = [library["name"] for library in stored["libraries"]]
    cells = {(question_of(row), row["library"]): interval_text(estimate) for row, estimate in found}
    questions = sorted({question_of(row) for row, _ in found})
    yield from markdown_lines(
        ("unit", *(f"`{name}`" for name in names)),
        [(asked(question), *(cells.get((question, name), "") for name in names)) for question in questions],
    )


def _at_equal_delay(stored: AnswerRow) -> Iterator[str]:
    """What the bit costs where both units are as fast."""
    if not stored["curves"]:
        return
    yield "## What the bit costs at equal delay"
    yield ""
    yield (
        "Each unit mapped in both forms that its components have, smallest and fastest, and for several "
        "delay targets; what counts at a delay is the least area that reaches it, on a straight line between "
        "two points. Delay is that of the gates, or the clock period where there are registers."
    )
    yield ""
    libraries = {library["name"]: library for library in stored["libraries"]}
    yield from markdown_lines(
        ("unit", "library", "at", "UE4M3", "UE5M3", "difference", "netlists"),
        [
            (
                asked(question_of(row)),
                f"`{row['library']}`",
                f"{point['delay']:.4g} {libraries[row['library']]['delay_unit']}",
                f"{point['base']:.1f}",
                f"{point['area']:.1f} {libraries[row['library']]['area_unit']}",
                interval_text(point["delta"]),
                str(row["orders"][1] - row["orders"][0]),
            )
            for row in sorted(stored["curves"], key=lambda row: (question_of(row), row["library"]))
            for point in row["points"]
        ],
    )
    yield ""


def _gates(stored: AnswerRow) -> Iterator[str]:
    """Which components the bit changes, and which gates it buys."""
    yield "## Which gates the bit buys"
    yield ""
    for library in stored["libraries"]:
        bought = [
            row
            for row in compared_rows(stored["rows"])
            if row["library"] == library["name"]
            and "attribution" in row
            and row["block_size"] == ANSWER_BLOCK_SIZES[0]
            and is_plain(row)
        ]
        if not bought:
            continue
        yield f"`{library['name']}`, by components, in NAND2 equivalents:"
        yield ""
        yield from markdown_lines(
            ("unit", "components", "across them", "the whole", "cells, more or fewer"),
            [
                (
                    row["unit"],
                    "; ".join(
                        f"{role} {_gates_of(area, library)}"
                        for role, area in row["attribution"]["parts"].items()
                    ),
                    _gates_of(row["attribution"]["across_area"], library),
                    _gates_of(row["attribution"]["whole_area"], library),
                    ", ".join(f"{cell} {more:+g}" for cell, more in row["attribution"]["cells"].items()),
                )
                for row in sorted(bought, key=question_of)
            ],
        )
        yield ""


def _gates_of(area: dict[str, float], library: AnswerRow) -> str:
    return interval_text({end: value / library["nand2_area"] for end, value in area.items()}, 1, "")


def _other_scales(stored: AnswerRow) -> Iterator[str]:
    """What the other scale formats cost."""
    for scale in GRID_SCALES:
        compared = compared_rows(stored["rows"], scale)
        if scale == BIT or not compared:
            continue
        yield f"## What {scale.upper()} costs"
        yield ""
        yield f"Area of the whole, {scale.upper()} against UE4M3:"
        yield ""
        yield from _beside(stored, [(row, row["deltas"]["area"]) for row in compared])
        yield ""


def _tiles(stored: AnswerRow) -> Iterator[str]:
    if not stored["tiles"]:
        return
    units = {library["name"]: library["area_unit"] for library in stored["libraries"]}
    yield "## Tiles"
    yield ""
    yield "By their components alone, what each product of a tile costs:"
    yield ""
    yield from markdown_lines(
        ("tile", "library", "area a product", "NAND2", "against UE4M3"),
        [
            (
                row["unit"],
                f"`{row['library']}`",
                f"{row['area']:.1f} {units[row['library']]}",
                f"{row['nand2']:.0f}",
                interval_text(row["delta"]) if "delta" in row else "",
            )
            for row in sorted(stored["tiles"], key=lambda row: (question_of(row), row["library"]))
        ],
    )
    yield ""


def _worth(stored: AnswerRow) -> Iterator[str]:
    """What the bit is worth: error against area."""
    yield "## What the bit is worth"
    yield ""
    yield (
        f"Mean squared error over sigma squared of `{WEIGHT}` of MiniLM, E2M1 elements, beside what the unit "
        f"takes of `{stored['libraries'][0]['name']}` for each product of two elements, in NAND2:"
    )
    yield ""
    found = areas(stored)
    accumulates = [one for one in GRID_ACCUMULATES if any(one == accumulate for *_, accumulate in found)]
    yield from markdown_lines(
        ("scale", "selection", "N", "MSE / sigma²", *accumulates),
        [
            (
                error["scale"],
                selection(error),
                str(error["block_size"]),
                f"{error['mse']:.5f}",
                *(_nand2(found.get((error["scale"], error["block_size"], one))) for one in accumulates),
            )
            for error in stored["errors"]
        ],
    )
    yield ""


def _nand2(area: float | None) -> str:
    return "" if area is None else f"{area:.1f}"
