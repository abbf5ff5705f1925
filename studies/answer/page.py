"""The pages of the answer: what was measured and stored, as Markdown, CSV and SVG."""

import csv
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from typing import Any, Final

from blockdot.hw.unit_grid import ACCUMULATES, SCALES
from blockdot.lab.cost.switching_energy import ENERGY_VERSION
from blockdot.lab.demo_weights import WEIGHT
from blockdot.lab.reports.records import markdown_lines
from blockdot.synth.metric import fmax_of
from blockdot.synth.recipes import FLOW_VERSION

from ..intervals import interval_text
from .cost_chart import CostBar, cost_chart

__all__ = [
    "BLOCK_SIZES",
    "COST_PICTURE",
    "FIGURES",
    "PAGE",
    "SCHEMA",
    "UNITS_PAGE",
    "VERSION",
    "WORTH_PICTURE",
    "answer_files",
    "areas",
    "selection",
]

PAGE: Final = "cost-of-ue5m3.md"
UNITS_PAGE: Final = "cost-of-ue5m3-units.md"
FIGURES: Final = "cost-of-ue5m3.csv"
COST_PICTURE: Final = "cost-of-ue5m3.svg"
WORTH_PICTURE: Final = "worth-of-ue5m3.svg"

SCHEMA: Final = "blockdot.answer"
VERSION: Final = 5
"""Version of the stored results' layout."""

BLOCK_SIZES: Final = (16, 8, 32)
"""Sizes that the question asks for, the most important first."""

BIT: Final = "ue5m3"
"""The scale format with the bit that the question is about."""

AnswerRow = dict[str, Any]
"""A JSON record."""

Question = tuple[int, int, int, str, int]
"""Number of the accumulation, blocks, elements under one scale, form of the components, stages."""


_ACCUMULATIONS: Final = ACCUMULATES
_DEPTHS: Final = {0: "combinational", 1: "1 stage"}


def _area(row: AnswerRow) -> dict[str, float]:
    """Return the difference in area that decides."""
    return row["attribution"]["relative"] if _attributed_decides(row) else row["deltas"]["area"]


def _attributed_decides(row: AnswerRow) -> bool:
    """Return whether the attributed difference decides: where both ways agree. Else the whole does."""
    return "attribution" in row and row["attribution"]["agrees"]


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
        _ACCUMULATIONS.index(row["accumulate"]),
        row["blocks"],
        row["block_size"],
        row["optimise"],
        row["stages"],
    )


def _asked(question: Question) -> str:
    accumulate, blocks, block_size, optimise, stages = question
    size = f"N={block_size}" if blocks == 1 else f"{blocks} blocks of {block_size}"
    form = "" if optimise == "area" else f", made for {optimise}"
    return f"{_ACCUMULATIONS[accumulate]}, {size}{form}, {_DEPTHS.get(stages, f'{stages} stages')}"


def _plain(row: AnswerRow) -> bool:
    """Return whether a row is of the least depth, and of the smallest form."""
    return row["stages"] == int(row["accumulate"] != "none") and row["optimise"] == "area"


def _compared(rows: list[AnswerRow], scale: str = BIT) -> list[AnswerRow]:
    """Return the rows of a scale format that were compared with UE4M3."""
    return [row for row in rows if row["scale"][0] == scale and "area" in row["deltas"]]


def answer_files(stored: AnswerRow, *, drawn: bool = True) -> dict[str, str]:
    """Return the texts that stored results make, by the names of their files.

    They are the page, as Markdown; the page of every unit, to which it links; all figures, as CSV; and the
    picture of what the bit costs, as SVG.

    Args:
        stored: What `measure_answer` returned.
        drawn: Whether there is a picture of error against area, which is not made here.

    Raises:
        ValueError: If they are not results of this version.
    """
    found = stored.get("schema"), stored.get("version")
    if found != (SCHEMA, VERSION):
        raise ValueError(f"results must be {SCHEMA} version {VERSION}, not {found[0]} version {found[1]}")
    stored = _without_older_energies(stored)
    files = {
        PAGE: "\n".join(_page(stored, drawn=drawn)) + "\n",
        UNITS_PAGE: "\n".join(_units_page(stored)) + "\n",
        FIGURES: _figures(stored),
    }
    bars = _bars(stored)
    return files | ({COST_PICTURE: cost_chart(bars)} if bars else {})


def _older_energies(library: AnswerRow) -> bool:
    """Return whether a library's energies were found in another way than they are today."""
    return library.get("energies") != ENERGY_VERSION


def _without_older_energies(stored: AnswerRow) -> AnswerRow:
    """Return results without energies that do not compare with those of today."""
    older = {library["name"] for library in stored["libraries"] if _older_energies(library)}
    rows = [row | {"energy": {}} if row["library"] in older else row for row in stored["rows"]]
    return stored | {"rows": rows}


def _synthesis(libraries: list[AnswerRow]) -> str:
    """Return which synthesizer and flow measured each library, said once where all are the same."""
    made = {one["name"]: f"pyosys {one['pyosys']}, flow {one['flow']}" for one in libraries}
    if len(set(made.values())) == 1:
        return next(iter(made.values()))
    return "; ".join(f"`{name}` by {how}" for name, how in made.items())


def _page(stored: AnswerRow, *, drawn: bool) -> Iterator[str]:
    yield "# What a UE5M3 scale costs"
    yield ""
    if _bars(stored):
        yield f"![The area that UE5M3 adds, by accumulation and cell library]({COST_PICTURE})"
        yield ""
    yield from _short_answer(stored)
    yield (
        "The figures are of gates after synthesis. Placement, wires and clock trees are not in them. `make "
        "answer` writes this page from `studies/answer/results.jsonl`, and `make answer-measure` measures "
        "those results again. Nothing on it is written by hand."
    )
    yield ""
    yield (
        f"[Every unit]({UNITS_PAGE}) has the tables: other sizes, depths and forms, clock period, energy, "
        "tiles, other scale formats, and the gates that the bit adds. "
        f"[{FIGURES}]({FIGURES}) has all figures."
    )
    yield ""
    yield "## How to read the figures"
    yield ""
    yield (
        "Each unit is made as several netlists that compute the same and differ in structure. Each netlist "
        "is mapped in one or more ways. A difference is the mean over pairs that are made alike, with its "
        "95 % interval, against UE4M3. `~` marks a difference that cannot be told from zero. "
        f"Synthesis: {_synthesis(stored['libraries'])}."
    )
    if older := [f"`{one['name']}`" for one in stored["libraries"] if one["flow"] != FLOW_VERSION]:
        yield ""
        yield (
            f"**Measured by an older flow: {', '.join(older)}.** What changed in synthesis or timing since "
            "may change these figures; `make answer-measure` measures them again."
        )
    yield ""
    yield (
        "*Whole* is the flat unit, optimised across its components. *Attributed* is the sum over the "
        "components that differ, each synthesized alone. The rest is what optimising *across* the borders of "
        "components makes. Where the interval of this rest excludes zero, the two ways **differ**. Then the "
        "whole decides, because a component alone cannot share gates with its neighbours. Where they agree, "
        "the attributed figure decides, because its interval is narrower."
    )
    yield ""
    yield from _again(stored)
    if stored["errors"] and drawn:
        yield "## What the bit is worth"
        yield ""
        yield (
            f"The error of quantizing `{WEIGHT}` of MiniLM, against the area of the unit for each product of "
            f"two elements, on `{stored['libraries'][0]['name']}`. The [table]({UNITS_PAGE}#what-the-bit-is-"
            "worth) has the figures."
        )
        yield ""
        yield f"![Error against area]({WORTH_PICTURE})"
        yield ""
        yield "[Quality against cost](quality-against-cost.md) has a language model's perplexity instead."
        yield ""
    yield "## What was not measured"
    yield ""
    missing = list(_not_measured(stored))
    if missing:
        yield "Of what the question asks for, by the results this page was made of:"
        yield ""
        yield from (f"- {line}" for line in missing)
        yield ""
    yield (
        "Place and route, wires, clock trees, process corners and leakage over time. These figures cannot "
        "show an area that wires decide. Delay is static and worst case. Energy is of the vectors that "
        "are named."
    )


def _units_page(stored: AnswerRow) -> Iterator[str]:
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


def _main_units(stored: AnswerRow) -> dict[Question, list[AnswerRow]]:
    """Return the units that the question is first about, with a row for each library."""
    rows = [row for row in _compared(stored["rows"]) if row["block_size"] == BLOCK_SIZES[0] and _plain(row)]
    return {key: list(group) for key, group in itertools.groupby(sorted(rows, key=_question), _question)}


def _bars(stored: AnswerRow) -> dict[str, list[CostBar]]:
    """Return the differences that the picture shows: of each main unit the deciding one in each library."""
    return {
        _asked(question): [
            CostBar(row["library"], estimate["mean"], estimate["low"], estimate["high"])
            for row in rows
            for estimate in [_area(row)]
        ]
        for question, rows in _main_units(stored).items()
    }


def _short_answer(stored: AnswerRow) -> Iterator[str]:
    """What the bit costs in the main units, and in how many of all units it costs anything."""
    yield "UE5M3 has one exponent bit more than UE4M3. What it adds to the area of a dot-product unit:"
    yield ""
    for question, rows in _main_units(stored).items():
        verdicts = {_verdict(_area(row)) for row in rows}
        said = verdicts.pop() if len(verdicts) == 1 else "depends on the library"
        told = (
            f"`{row['library']}` {interval_text(_area(row))} ({way})"
            for row in rows
            for way in ["attributed" if _attributed_decides(row) else "whole"]
        )
        yield f"- **{_asked(question)}**: the bit {said}. {'; '.join(told)}."
    counts = {same: len(units) for same, units in _by_verdict(stored).items()}
    if counts:
        told = "; ".join(f"for {count} of them the bit {said}" for said, count in counts.items())
        yield f"- **All {sum(counts.values())} units that were compared**: {told}."
    yield ""


def _by_verdict(stored: AnswerRow) -> dict[str, list[str]]:
    """Return the units by what the bit does to them."""
    count = len(stored["libraries"])
    rows = sorted(_compared(stored["rows"]), key=_question)
    found: dict[str, list[str]] = {}
    for question, group in itertools.groupby(rows, _question):
        verdicts = [_verdict(_area(row)) for row in group]
        same = len(set(verdicts)) == 1
        said = f"{verdicts[0]} in {_libraries(len(verdicts), count)}" if same else "depends on the library"
        found.setdefault(said, []).append(_asked(question))
    return dict(sorted(found.items()))


def _libraries(measured: int, count: int) -> str:
    if measured == count:
        return "every library" if count > 1 else "the library"
    return f"the {measured} of {count} libraries that it was measured in"


def _everywhere(stored: AnswerRow) -> Iterator[str]:
    """The differences that the bit makes in every unit, library beside library."""
    compared = _compared(stored["rows"])
    yield "## What the bit costs in every unit"
    yield ""
    yield from (
        f"- **{said[0].upper()}{said[1:]}**: {'; '.join(units)}."
        for said, units in _by_verdict(stored).items()
    )
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
    cells = {(_question(row), row["library"]): interval_text(estimate) for row, estimate in found}
    questions = sorted({_question(row) for row, _ in found})
    yield from markdown_lines(
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
    yield from markdown_lines(
        ("unit", "library", "at", "UE4M3", "UE5M3", "difference", "netlists"),
        [
            (
                _asked(_question(row)),
                f"`{row['library']}`",
                f"{point['delay']:.4g} {libraries[row['library']]['delay_unit']}",
                f"{point['base']:.1f}",
                f"{point['area']:.1f} {libraries[row['library']]['area_unit']}",
                interval_text(point["delta"]),
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
                for row in sorted(bought, key=_question)
            ],
        )
        yield ""


def _gates_of(area: dict[str, float], library: AnswerRow) -> str:
    return interval_text({end: value / library["nand2_area"] for end, value in area.items()}, 1, "")


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
        "The same units in other netlists: made in other orders, with other draws of the recipes. No netlist "
        "is in both measurements, so the two intervals must overlap if they are right."
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
                    *(
                        f"{interval_text(value)} ({_orders(row)})"
                        for row, value in ((one, first), (two, second))
                    ),
                    "overlap" if overlap else "**do not overlap**",
                )
            )
    yield from markdown_lines(
        ("library", "unit", "area", "first (orders)", "again (orders)", "intervals"), lines
    )
    yield ""


def _orders(row: AnswerRow) -> str:
    first, end = row["orders"]
    return f"{first} to {end - 1}"


def _figures(stored: AnswerRow) -> str:
    """Every figure of every unit as CSV: a line for each library and unit."""
    energy = [(kind, what) for kind in ("real", "uniform") for what in ("total", "settled")]
    differences: list[tuple[str, Callable[[AnswerRow], dict[str, float] | None]]] = [
        ("area_whole", _whole),
        ("area_attributed", _attributed),
        ("delay", lambda row: row["deltas"].get("delay")),
        ("period", _period),
        *((f"energy_{kind}_{what}", partial(_energy, vectors=kind, what=what)) for kind, what in energy),
    ]
    libraries = {library["name"]: library for library in stored["libraries"]}
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        (
            *("library", "unit", "area_unit", "delay_unit", "energy_unit"),
            *("area", "nand2", "delay", "period", "fmax_mhz", "flip_flops"),
            *(f"energy_{kind}_{what}" for kind, what in energy),
            *(f"{name}_{end}_percent" for name, _ in differences for end in ("mean", "low", "high")),
            *("ways_agree", "netlists", "recipes"),
        )
    )
    order = {name: number for number, name in enumerate(libraries)}
    for row in sorted(
        stored["rows"],
        key=lambda row: (order[row["library"]], _question(row), SCALES.index(row["scale"][0])),
    ):
        library = libraries[row["library"]]
        fmax = fmax_of(row["period"], library["delay_unit"])
        lines.writerow(
            (
                *(row["library"], row["unit"]),
                *(library[name] for name in ("area_unit", "delay_unit", "energy_unit")),
                *(_figure(row[name]) for name in ("area", "nand2", "delay", "period")),
                "" if fmax is None else _figure(fmax),
                _figure(row["flip_flops"]),
                *(_figure(row["energy"].get(kind, {}).get(what)) for kind, what in energy),
                *(
                    _figure(None if estimate is None else estimate[end])
                    for _, of in differences
                    for estimate in [of(row)]
                    for end in ("mean", "low", "high")
                ),
                "" if "attribution" not in row else "yes" if row["attribution"]["agrees"] else "no",
                row["orders"][1] - row["orders"][0],
                row["variants"],
            )
        )
    return text.getvalue()


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _not_measured(stored: AnswerRow) -> Iterator[str]:
    """Yield what of the whole question there are no results of."""
    for library in stored["libraries"]:
        own = [row for row in stored["rows"] if row["library"] == library["name"]]
        measured = {(row["accumulate"], row["block_size"]) for row in own}
        for accumulate in _ACCUMULATIONS:
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
    accumulates = [one for one in _ACCUMULATIONS if any(one == accumulate for *_, accumulate in found)]
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
