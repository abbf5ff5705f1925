"""The page of the answer: what was measured and stored, as Markdown."""

import itertools
from collections.abc import Iterator
from typing import Any, Final

from blockdot.hw.unit_grid import ACCUMULATES, SCALES
from blockdot.lab.cost.energy_workloads import WEIGHT
from blockdot.lab.reports.cost_report import table_lines
from blockdot.synth.metric import fmax_of

__all__ = ["BLOCK_SIZES", "SCHEMA", "VERSION", "answer_page", "areas", "selection"]

SCHEMA: Final = "blockdot.answer"
VERSION: Final = 4
"""Version of the stored results' layout."""

BLOCK_SIZES: Final = (16, 8, 32)
"""Sizes that the question asks for, the most important first."""

BIT: Final = "ue5m3"
"""The scale format with the bit that the question is about."""

AnswerRow = dict[str, Any]
"""A JSON record."""

Question = tuple[int, int, int, str, int]
"""Number of the accumulation, blocks, elements under one scale, form of the components, stages."""


_DEPTHS: Final = {0: "combinational", 1: "1 stage"}


def _interval(estimate: dict[str, float], digits: int = 2, unit: str = "%") -> str:
    margin = (estimate["high"] - estimate["low"]) / 2
    text = f"{estimate['mean']:+.{digits}f} ± {margin:.{digits}f} {unit}".strip()
    resolved = estimate["low"] > 0 or estimate["high"] < 0
    return text if resolved else f"{text} ~"


def _agreement(row: AnswerRow) -> str:
    if "attribution" not in row:
        return ""
    return "agree" if row["attribution"]["agrees"] else "**differ**"


def _area(row: AnswerRow) -> dict[str, float]:
    """Return the difference in area that a verdict goes by: where the two ways differ, that of the whole."""
    attribution = row.get("attribution")
    return attribution["relative"] if attribution and attribution["agrees"] else row["deltas"]["area"]


def _whole(row: AnswerRow) -> dict[str, float] | None:
    return row["deltas"].get("area")


def _attributed(row: AnswerRow) -> dict[str, float] | None:
    return row["attribution"]["relative"] if "attribution" in row else None


def _period(row: AnswerRow) -> dict[str, float] | None:
    return row["deltas"].get("period")


def _energy(row: AnswerRow, vectors: str, what: str) -> dict[str, float] | None:
    return row["energy"].get(vectors, {"deltas": {}})["deltas"].get(what)


def _verdict(estimate: dict[str, float]) -> str:
    if estimate["low"] > 0:
        return "costs area"
    return "saves area" if estimate["high"] < 0 else "cannot be told from free"


def _question(row: AnswerRow) -> Question:
    """Return what a row is about but for its scale format, so that questions sort into the page's order."""
    return (
        ACCUMULATES.index(row["accumulate"]),
        row["blocks"],
        row["block_size"],
        row["optimise"],
        row["stages"],
    )


def _asked(question: Question) -> str:
    accumulate, blocks, block_size, optimise, stages = question
    size = f"N={block_size}" if blocks == 1 else f"{blocks} blocks of {block_size}"
    form = "" if optimise == "area" else f", made for {optimise}"
    return f"{ACCUMULATES[accumulate]}, {size}{form}, {_DEPTHS.get(stages, f'{stages} stages')}"


def _plain(row: AnswerRow) -> bool:
    """Return whether a row is of the least depth, and of the smallest form."""
    return row["stages"] == int(row["accumulate"] != "none") and row["optimise"] == "area"


def _compared(rows: list[AnswerRow], scale: str = BIT) -> list[AnswerRow]:
    """Return the rows of a scale format that were compared with UE4M3."""
    return [row for row in rows if row["scale"][0] == scale and "area" in row["deltas"]]


def answer_page(stored: AnswerRow, picture_name: str | None = None) -> str:
    """Return the page, as Markdown, that stored results make.

    Args:
        stored: What `measure` of `answer` returned.
        picture_name: Where its picture is, seen from the page; None for none.

    Raises:
        ValueError: If they are not results of this version.
    """
    found = stored.get("schema"), stored.get("version")
    if found != (SCHEMA, VERSION):
        raise ValueError(f"results must be {SCHEMA} version {VERSION}, not {found[0]} version {found[1]}")
    return "\n".join(_lines(stored, picture_name)) + "\n"


def _lines(stored: AnswerRow, picture_name: str | None) -> Iterator[str]:
    yield "# What a UE5M3 scale costs"
    yield ""
    yield (
        "This page is made by `make answer` from `studies/answer/results.jsonl`, which `make answer-measure` "
        "measures again. Nothing in it is written by hand."
    )
    yield ""
    yield (
        "Every unit is made in several functionally equal netlists, and each is mapped for area in one or "
        "more ways (*netlists* x *ways* below); a difference is the mean over pairs that are made alike, "
        "with its 95 % interval, against UE4M3. `~` marks one that cannot be told from zero. Synthesis: "
        f"pyosys {stored['pyosys']}. Gates alone: no place and route, no wires, no clock tree."
    )
    yield ""
    yield (
        "*Whole* is the flat unit, optimised across its components. *Attributed* is the sum over the "
        "components that differ, each synthesized alone; what is left between the two is what optimising "
        "*across* the components' borders makes. Where its interval excludes zero the two ways **differ** "
        "by it, and the whole is what counts: a component alone cannot share gates with its neighbours. "
        "Where they agree, the narrower attributed interval decides."
    )
    yield ""
    yield from _short_answer(stored)
    yield from _everywhere(stored)
    yield from _at_equal_delay(stored)
    yield from _gates(stored)
    yield from _other_scales(stored)
    yield from _tiles(stored)
    yield from _again(stored)
    if stored["errors"]:
        yield from _worth(stored, picture_name)
    yield "## What was not measured"
    yield ""
    missing = list(_not_measured(stored))
    if missing:
        yield "Of what the question asks for, by the results this page was made of:"
        yield ""
        yield from (f"- {line}" for line in missing)
        yield ""
    yield (
        "Place and route, wires, clock trees, process corners and leakage over time. An area that wires "
        "would decide is not in these figures. Delay is static and worst case; energy is of the vectors "
        "that are named."
    )
    yield ""
    yield from _figures(stored)


def _short_answer(stored: AnswerRow) -> Iterator[str]:
    """The units that the question is first about, and in which of all the units the bit costs what."""
    compared = _compared(stored["rows"])
    verdicts: dict[Question, list[str]] = {}
    yield "## The short answer"
    yield ""
    yield "UE5M3 against UE4M3, in area of the whole unit (attributed):"
    yield ""
    for question, group in itertools.groupby(sorted(compared, key=_question), _question):
        found = list(group)
        verdicts[question] = [_verdict(_area(row)) for row in found]
        if found[0]["block_size"] != BLOCK_SIZES[0] or not _plain(found[0]):
            continue
        said = verdicts[question][0] if len(set(verdicts[question])) == 1 else "depends on the library"
        told = (
            f"`{row['library']}` {_interval(row['deltas']['area'])}"
            + (f" ({_interval(row['attribution']['relative'])})" if "attribution" in row else "")
            for row in found
        )
        yield f"- {_asked(question)}: the bit {said}: {'; '.join(told)}."
    yield ""
    count = len(stored["libraries"])
    by_verdict: dict[str, list[str]] = {}
    for question, found in verdicts.items():
        same = f"{found[0]} in {_libraries(len(found), count)}" if len(set(found)) == 1 else "it depends"
        by_verdict.setdefault(same, []).append(_asked(question))
    for same, units in sorted(by_verdict.items()):
        where = " on the library, by the table below" if same == "it depends" else ""
        yield f"- **{same[0].upper()}{same[1:]}**{where}: {'; '.join(units)}."
    yield ""


def _libraries(measured: int, count: int) -> str:
    if measured == count:
        return "every library" if count > 1 else "the library"
    return f"the {measured} of {count} libraries that it was measured in"


def _everywhere(stored: AnswerRow) -> Iterator[str]:
    """The differences that the bit makes in every unit, library beside library."""
    compared = _compared(stored["rows"])
    yield "## What the bit costs in every unit"
    yield ""
    yield "UE5M3 against UE4M3."
    yield ""
    for told, of in (
        ("Area of the whole", _whole),
        ("Area, attributed", _attributed),
        ("Clock period, registers included; without any, the slowest path", _period),
        ("Switching energy of one input on real vectors", lambda row: _energy(row, "real", "total")),
        ("The same without glitches", lambda row: _energy(row, "real", "settled")),
        ("Switching energy on uniform codes", lambda row: _energy(row, "uniform", "total")),
        ("The same without glitches", lambda row: _energy(row, "uniform", "settled")),
    ):
        found = [(row, estimate) for row in compared if (estimate := of(row)) is not None]
        if found:
            yield f"{told}:"
            yield ""
            yield from _beside(stored, found)
            yield ""
    if any(_energy(row, "real", "total") for row in compared):
        yield (
            "Part of what energy on real vectors differs by is in the data: of these tensors UE4M3 holds "
            "many scales as subnormal numbers, the more the smaller the blocks are, whose significands have "
            "bits that are zero and switch nothing; UE5M3 holds next to none so. Of uniform codes one in 16 "
            "is zero or subnormal under UE4M3, one in 32 under UE5M3: what those differ by is the hardware."
        )
        yield ""


def _beside(stored: AnswerRow, found: list[tuple[AnswerRow, dict[str, float]]]) -> Iterator[str]:
    """A table of one difference, with a line for each unit and a column for each library."""
    names = [library["name"] for library in stored["libraries"]]
    cells = {(_question(row), row["library"]): _interval(estimate) for row, estimate in found}
    questions = sorted({_question(row) for row, _ in found})
    yield from table_lines(
        ("unit", *(f"`{name}`" for name in names)),
        [(_asked(question), *(cells.get((question, name), "") for name in names)) for question in questions],
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
    yield from table_lines(
        ("unit", "library", "at", "UE4M3", "UE5M3", "difference", "netlists"),
        [
            (
                _asked(_question(row)),
                f"`{row['library']}`",
                f"{point['delay']:.4g} {libraries[row['library']]['delay_unit']}",
                f"{point['base']:.1f}",
                f"{point['area']:.1f} {libraries[row['library']]['area_unit']}",
                _interval(point["delta"]),
                str(row["orders"][1] - row["orders"][0]),
            )
            for row in sorted(stored["curves"], key=lambda row: (_question(row), row["library"]))
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
            for row in _compared(stored["rows"])
            if row["library"] == library["name"]
            and "attribution" in row
            and row["block_size"] == BLOCK_SIZES[0]
            and _plain(row)
        ]
        if not bought:
            continue
        yield f"`{library['name']}`, by components, in NAND2 equivalents:"
        yield ""
        yield from table_lines(
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
                for row in sorted(bought, key=_question)
            ],
        )
        yield ""


def _gates_of(area: dict[str, float], library: AnswerRow) -> str:
    return _interval({end: value / library["nand2_area"] for end, value in area.items()}, 1, "")


def _other_scales(stored: AnswerRow) -> Iterator[str]:
    """What the other scale formats cost."""
    for scale in SCALES:
        compared = _compared(stored["rows"], scale)
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
    yield from table_lines(
        ("tile", "library", "area a product", "NAND2", "against UE4M3"),
        [
            (
                row["unit"],
                f"`{row['library']}`",
                f"{row['area']:.1f} {units[row['library']]}",
                f"{row['nand2']:.0f}",
                _interval(row["delta"]) if "delta" in row else "",
            )
            for row in sorted(stored["tiles"], key=lambda row: (_question(row), row["library"]))
        ],
    )
    yield ""


def _again(stored: AnswerRow) -> Iterator[str]:
    """What was measured twice, in netlists that have nothing in common."""
    before = {(row["library"], row["unit"]): row for row in _compared(stored["rows"])}
    found = [
        (before[row["library"], row["unit"]], row)
        for row in _compared(stored["again"])
        if (row["library"], row["unit"]) in before
    ]
    if not found:
        return
    yield "## Measured again"
    yield ""
    yield (
        "The same units made in other orders, with other draws of the recipes: none of these netlists is "
        "among those above. If the intervals are worth anything, the two overlap."
    )
    yield ""
    lines = []
    for one, two in found:
        for kind, of in (("whole", _whole), ("attributed", _attributed)):
            first, second = of(one), of(two)
            if first is None or second is None:
                continue
            overlap = first["low"] <= second["high"] and second["low"] <= first["high"]
            lines.append(
                (
                    f"`{one['library']}`",
                    one["unit"],
                    kind,
                    *(f"{_interval(value)} ({_orders(row)})" for row, value in ((one, first), (two, second))),
                    "overlap" if overlap else "**do not overlap**",
                )
            )
    yield from table_lines(
        ("library", "unit", "area", "above (orders)", "again (orders)", "intervals"), lines
    )
    yield ""


def _orders(row: AnswerRow) -> str:
    first, end = row["orders"]
    return f"{first} to {end - 1}"


def _figures(stored: AnswerRow) -> Iterator[str]:
    """Every figure of every unit, library by library."""
    for library in stored["libraries"]:
        own = sorted(
            (row for row in stored["rows"] if row["library"] == library["name"]),
            key=lambda row: (_question(row), SCALES.index(row["scale"][0])),
        )
        if not own:
            continue
        time = library["delay_unit"]
        frequencies = [fmax_of(row["period"], time) for row in own]
        # A library of no technology has delays, but no frequencies.
        timed = any(frequencies)
        yield f"## All figures: `{library['name']}`"
        yield ""
        yield (
            f"Medians; energy of one input in {library['energy_unit']}, with glitches and (without), of a "
            "real weight matrix against real activations and of uniform codes."
        )
        yield ""
        yield from table_lines(
            (
                "unit", f"area [{library['area_unit']}]", "NAND2", f"delay [{time}]", f"period [{time}]",
                *(["fmax [MHz]"] if timed else []), "flip-flops", "energy, real", "energy, uniform",
                "area, whole", "area, attributed", "both", "delay", "netlists",
            ),
            [
                (
                    row["unit"],
                    f"{row['area']:.1f}",
                    f"{row['nand2']:.0f}",
                    f"{row['delay']:.3f}",
                    f"{row['period']:.3f}",
                    *([f"{fmax:.1f}" if fmax else ""] if timed else []),
                    f"{row['flip_flops']:.0f}",
                    *(
                        f"{energy['total']:.0f} ({energy['settled']:.0f})" if energy else ""
                        for energy in (row["energy"].get(kind) for kind in ("real", "uniform"))
                    ),
                    *(_interval(value) if value else "" for value in (_whole(row), _attributed(row))),
                    _agreement(row),
                    _interval(row["deltas"]["delay"]) if "delay" in row["deltas"] else "",
                    f"{row['orders'][1] - row['orders'][0]} x {row['variants']}",
                )
                for row, fmax in zip(own, frequencies, strict=True)
            ],
        )  # fmt: skip
        yield ""


def _not_measured(stored: AnswerRow) -> Iterator[str]:
    """Yield what of the whole question there are no results of."""
    for library in stored["libraries"]:
        own = [row for row in stored["rows"] if row["library"] == library["name"]]
        measured = {(row["accumulate"], row["block_size"]) for row in own}
        for accumulate in ACCUMULATES:
            sizes = [n for n in sorted(BLOCK_SIZES) if (accumulate, n) not in measured]
            if sizes:
                yield f"`{library['name']}`, {accumulate}: N = {', '.join(map(str, sizes))}"
        if scales := [one for one in SCALES if own and not any(row["scale"][0] == one for row in own)]:
            yield f"`{library['name']}`: the scales {', '.join(scales)}"
        for what, rows in (
            ("pipelines of more than one stage", [row for row in own if row["stages"] > 1]),
            ("energy", [row for row in own if row["energy"]]),
            ("energy of pipelines", [row for row in own if row["energy"] and row["stages"] > 1]),
        ):
            if sizes := sorted(set(BLOCK_SIZES) - {row["block_size"] for row in rows}):
                yield f"`{library['name']}`, {what}: N = {', '.join(map(str, sizes))}"


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
        if row["library"] == first and _plain(row)
    }


def selection(error: AnswerRow) -> str:
    """Return in words how the scales were chosen that an error is of."""
    return error["method"] + (" + tensor scale" if error["tensor_scale"] else "")


def _worth(stored: AnswerRow, picture_name: str | None) -> Iterator[str]:
    """What the bit is worth: error against area."""
    yield "## What the bit is worth"
    yield ""
    yield (
        f"Mean squared error over sigma squared of `{WEIGHT}` of MiniLM, E2M1 elements, beside what the unit "
        f"takes of `{stored['libraries'][0]['name']}` for each product of two elements, in NAND2:"
    )
    yield ""
    found = areas(stored)
    if picture_name is not None:
        yield f"![error against area]({picture_name})"
        yield ""
    accumulates = [one for one in ACCUMULATES if any(one == accumulate for *_, accumulate in found)]
    yield from table_lines(
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
