"""The figures of the page on wires, made of stored results."""

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any, Final

from blockdot.lab.reports.records import markdown_lines
from blockdot.lab.statistics import relative
from blockdot.synth.metric import Metric

from ..intervals import interval_of, interval_text

__all__ = ["BEGIN", "END", "PAGE", "figures_text", "with_figures"]

PAGE: Final = "wires.md"

BEGIN: Final = "<!-- made by `make wires`, of studies/wires/results.jsonl -->"
END: Final = "<!-- end of what is made -->"
"""The marks in the page, each a line of its own."""

_FIGURES: Final = {
    "core_area": "core",
    "wire_length": "wire",
    "wire_load": "wire load, of the pins'",
    "period": "period",
    "bare_period": "without wires",
}
_DELTAS: Final = {"core_area": "core", "wire_length": "wire", "delay": "delay", "period": "period"}

Rows = Sequence[dict[str, Any]]
"""What `measure_wires` gives, as JSON has it."""


def with_figures(page: str, rows: Rows) -> str:
    """Return the page with figures made anew.

    Raises:
        ValueError: If the page does not have the two marks, once each and in order.
    """
    before, begin, rest = page.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"{PAGE} must have {BEGIN} and {END} once each, in this order")
    return f"{before}{begin}\n{figures_text(rows)}\n{end}{after}"


def figures_text(rows: Rows) -> str:
    """Return the figures, as Markdown."""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    parts = [_library([row for row in rows if row["library"] == library]) for library in libraries]
    return "\n".join(line for lines in parts for line in ("", *lines))[1:] + "\n"


def _library(rows: Rows) -> Iterator[str]:
    first = rows[0]
    counts = sorted({(row["orders"], row["placements"]) for row in rows})
    made = " or ".join(
        f"{orders} netlists of each unit, each placed {times} times" for orders, times in counts
    )
    yield (
        f"On {first['library']}, {made}, mapped by recipe `{first['recipe']}`, at "
        f"{100 * first['utilisation']:.0f} % utilisation; medians over all placements:"
    )
    yield ""
    yield from markdown_lines(
        ["unit", *_FIGURES.values()],
        [[_unit(row), *(_figure(row, name) for name in _FIGURES)] for row in rows],
    )
    yield ""
    yield (
        "What UE5M3 adds to UE4M3: the mean over pairs of netlists and its 95 % interval. Core and wire are "
        f"those of the gates before buffers and sizes (recipe `{first['unsized_recipe']}`). `~` marks what "
        "cannot be told from zero."
    )
    yield ""
    yield from markdown_lines(
        ["accumulation", *_DELTAS.values()],
        [
            [f"`{row['accumulate']}`", *(interval_text(row["deltas"][name]) for name in _DELTAS)]
            for row in rows
            if row["deltas"]
        ],
    )
    yield ""
    yield (
        f"Of one netlist, two placements differ in wire by {_spread(rows):.2f} % (standard deviation). The "
        f"same differences with sizes (recipe `{first['recipe']}`):"
    )
    yield ""
    yield from markdown_lines(
        ["accumulation", *(_DELTAS[name] for name in first["unsized"])],
        [
            [f"`{row['accumulate']}`", *(_sized(base, row, name) for name in first["unsized"])]
            for base, row in itertools.pairwise(rows)
            if row["deltas"]
        ],
    )


def _netlists(row: dict[str, Any], values: Sequence[float]) -> list[Sequence[float]]:
    """Return the figures of each netlist's placements."""
    times = row["placements"]
    return [values[at : at + times] for at in range(0, len(values), times)]


def _spread(rows: Rows) -> float:
    """Return the standard deviation of wire within a netlist, in percent of its mean, over all netlists."""
    squares = [
        statistics.variance(several) / statistics.fmean(several) ** 2
        for row in rows
        for several in _netlists(row, row["unsized"]["wire_length"])
    ]
    return 100 * math.sqrt(statistics.fmean(squares))


def _sized(base: dict[str, Any], row: dict[str, Any], name: str) -> str:
    """Return the difference of two units' sized netlists, pair by pair of their means."""
    before, after = (
        [statistics.fmean(several) for several in _netlists(one, one["figures"][name]["values"])]
        for one in (base, row)
    )
    return interval_text(interval_of(relative(Metric(name, "%", "lower", 2), before, after)))


def _unit(row: dict[str, Any]) -> str:
    return f"`{row['accumulate']}`, {row['scale'][0].upper()}"


def _figure(row: dict[str, Any], name: str) -> str:
    figure = row["figures"][name]
    return f"{figure['median']:.{figure['digits']}f} {figure['unit']}"
