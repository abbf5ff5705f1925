"""The page of the answer, and all files that its stored results make."""

import itertools
from collections.abc import Iterator

from blockdot.hw.unit_grid import GRID_ACCUMULATES, GRID_SCALES
from blockdot.lab.demo_weights import WEIGHT
from blockdot.lab.reports.records import markdown_lines
from blockdot.synth.recipes import FLOW_VERSION

from ..attributions import attributed_decides
from ..intervals import interval_text
from ..quality_against_cost.page import PAGE as QUALITY_PAGE
from ..quality_against_cost.picture import PICTURE as QUALITY_PICTURE
from .answer_rows import (
    ANSWER_BLOCK_SIZES,
    ANSWER_SCHEMA,
    ANSWER_VERSION,
    AnswerRow,
    Question,
    asked,
    attributed_area,
    compared_rows,
    deciding_area,
    is_plain,
    question_of,
    units_by_verdict,
    verdict,
    whole_area,
    without_older_energies,
)
from .cost_chart import CostBar, cost_chart
from .figures_csv import figures_csv
from .file_names import COST_PICTURE, FIGURES, PAGE, UNITS_PAGE, WORTH_PICTURE
from .hardware_changes import change_sentences
from .units_page import units_page

__all__ = ["answer_files"]


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
    if found != (ANSWER_SCHEMA, ANSWER_VERSION):
        raise ValueError(
            f"results must be {ANSWER_SCHEMA} version {ANSWER_VERSION}, not {found[0]} version {found[1]}"
        )
    stored = without_older_energies(stored)
    files = {
        PAGE: "\n".join(_page(stored, drawn=drawn)) + "\n",
        UNITS_PAGE: "\n".join(units_page(stored)) + "\n",
        FIGURES: figures_csv(stored),
    }
    bars = _bars(stored)
    return files | ({COST_PICTURE: cost_chart(bars)} if bars else {})


def _synthesis(stored: AnswerRow) -> str:
    """Return which synthesizer and flow measured each library, said once where all are the same."""
    made: dict[str, dict[str, None]] = {one["name"]: {} for one in stored["libraries"]}
    for row in stored["rows"]:
        made[row["library"]][f"pyosys {row['pyosys']}, flow {row['flow']}"] = None
    texts = {name: " and ".join(sorted(tools)) for name, tools in made.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"`{name}` by {how}" for name, how in texts.items())


def _older_flow(stored: AnswerRow) -> Iterator[str]:
    """Yield what is to be said of units that an older flow measured, and of those that two flows did."""
    names: list[str] = []
    for library in stored["libraries"]:
        own = [row for row in stored["rows"] if row["library"] == library["name"]]
        older = sum(row["flow"] != FLOW_VERSION for row in own)
        if older:
            share = "" if older == len(own) else f"{older} of {len(own)} units of "
            names.append(f"{share}`{library['name']}`")
    if not names:
        return
    text = (
        f"**Measured by an older flow: {', '.join(names)}.** What changed in synthesis or timing since "
        "may change these figures; `make answer-measure` measures them again."
    )
    if twice := [row["before"]["same"] for row in stored["rows"] if "before" in row]:
        text += (
            f" Of the {len(twice)} units that two flows measured, {sum(twice)} have the same area, delay and "
            "period in both."
        )
    yield ""
    yield text


def _page(stored: AnswerRow, *, drawn: bool) -> Iterator[str]:
    yield "# What a UE5M3 scale costs"
    yield ""
    if _bars(stored):
        yield f"[![Perplexity against area for each product]({QUALITY_PICTURE})]({QUALITY_PAGE})"
        yield ""
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
        f"Synthesis: {_synthesis(stored)}."
    )
    yield from _older_flow(stored)
    for sentence in change_sentences(stored):
        yield ""
        yield sentence
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


def _main_units(stored: AnswerRow) -> dict[Question, list[AnswerRow]]:
    """Return the units that the question is first about, with a row for each library."""
    rows = [
        row
        for row in compared_rows(stored["rows"])
        if row["block_size"] == ANSWER_BLOCK_SIZES[0] and is_plain(row)
    ]
    return {key: list(group) for key, group in itertools.groupby(sorted(rows, key=question_of), question_of)}


def _bars(stored: AnswerRow) -> dict[str, list[CostBar]]:
    """Return the differences that the picture shows: of each main unit the deciding one in each library."""
    return {
        asked(question): [
            CostBar(row["library"], estimate["mean"], estimate["low"], estimate["high"])
            for row in rows
            for estimate in [deciding_area(row)]
        ]
        for question, rows in _main_units(stored).items()
    }


def _short_answer(stored: AnswerRow) -> Iterator[str]:
    """What the bit costs in the main units, and in how many of all units it costs anything."""
    yield "UE5M3 has one exponent bit more than UE4M3. What it adds to the area of a dot-product unit:"
    yield ""
    for question, rows in _main_units(stored).items():
        verdicts = {verdict(deciding_area(row)) for row in rows}
        said = verdicts.pop() if len(verdicts) == 1 else "depends on the library"
        told = (
            f"`{row['library']}` {interval_text(deciding_area(row))} ({way})"
            for row in rows
            for way in ["attributed" if attributed_decides(row) else "whole"]
        )
        yield f"- **{asked(question)}**: the bit {said}. {'; '.join(told)}."
    counts = {same: len(units) for same, units in units_by_verdict(stored).items()}
    if counts:
        told = "; ".join(f"for {count} of them the bit {said}" for said, count in counts.items())
        yield f"- **All {sum(counts.values())} units that were compared**: {told}."
    yield ""


def _again(stored: AnswerRow) -> Iterator[str]:
    """What was measured twice, in netlists that have nothing in common."""
    before = {(row["library"], row["unit"]): row for row in compared_rows(stored["rows"])}
    found = [
        (before[row["library"], row["unit"]], row)
        for row in compared_rows(stored["again"])
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
        for kind, of in (("whole", whole_area), ("attributed", attributed_area)):
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


def _not_measured(stored: AnswerRow) -> Iterator[str]:
    """Yield what of the whole question there are no results of."""
    for library in stored["libraries"]:
        own = [row for row in stored["rows"] if row["library"] == library["name"]]
        measured = {(row["accumulate"], row["block_size"]) for row in own}
        for accumulate in GRID_ACCUMULATES:
            sizes = [n for n in sorted(ANSWER_BLOCK_SIZES) if (accumulate, n) not in measured]
            if sizes:
                yield f"`{library['name']}`, {accumulate}: N = {', '.join(map(str, sizes))}"
        if scales := [one for one in GRID_SCALES if own and not any(row["scale"][0] == one for row in own)]:
            yield f"`{library['name']}`: the scales {', '.join(scales)}"
        for what, rows in (
            ("pipelines of more than one stage", [row for row in own if row["stages"] > 1]),
            ("energy", [row for row in own if row["energy"]]),
            ("energy of pipelines", [row for row in own if row["energy"] and row["stages"] > 1]),
        ):
            if sizes := sorted(set(ANSWER_BLOCK_SIZES) - {row["block_size"] for row in rows}):
                yield f"`{library['name']}`, {what}: N = {', '.join(map(str, sizes))}"
