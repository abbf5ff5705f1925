"""The figures of the page on wires, made of stored results."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from blockdot.lab.cost.placed_cost import netlist_means
from blockdot.lab.reports.records import markdown_lines
from blockdot.lab.statistics import Estimate, relative
from blockdot.synth.metric import Metric

from ..intervals import interval_of, interval_text
from ..marked_part import with_part

__all__ = ["BEGIN", "END", "PAGE", "TABLES", "figures_text", "with_figures"]

PAGE: Final = "wires.md"

BEGIN: Final = "<!-- made by `make wires`, of studies/wires/results.jsonl -->"
END: Final = "<!-- end of what is made -->"
"""The marks in the page, each a line of its own."""

TABLES: Final = ("units", "resized", "routed")
"""The tables of stored results: as mapped, with sizes chosen again for the wires, and routed in detail."""

_FIGURES: Final = {
    "core_area": "core",
    "wire_length": "wire",
    "wire_load": "wire load, of the pins'",
    "period": "period",
    "bare_period": "without wires",
}
_DELTAS: Final = {"core_area": "core", "wire_length": "wire", "delay": "delay", "period": "period"}

_RESIZED: Final = {"period": "period", "core_area": "core", "wire_length": "wire"}
_BESIDE: Final = (
    ("estimate", "wire_length"),
    ("figures", "wire_length"),
    ("estimate", "period"),
    ("figures", "period"),
)

Rows = Sequence[dict[str, Any]]
"""What `measure_wires` and `measure_routes` give, as JSON has it."""


def with_figures(page: str, stored: Mapping[str, Rows]) -> str:
    """Return the page with figures made anew.

    Raises:
        ValueError: If the page does not have the two marks, once each and in order.
    """
    return with_part(page, PAGE, BEGIN, END, figures_text(stored))


def figures_text(stored: Mapping[str, Rows]) -> str:
    """Return the figures of `TABLES`, as Markdown."""
    libraries = list(dict.fromkeys(row["library"] for table in TABLES for row in stored.get(table, ())))
    parts: list[Iterator[str]] = []
    for library in libraries:
        mapped, resized, routed = (
            [row for row in stored.get(table, ()) if row["library"] == library] for table in TABLES
        )
        parts += [
            *([_library(mapped)] if mapped else ()),
            *([_resized(mapped, resized)] if resized else ()),
            *([_routed(routed)] if routed else ()),
        ]
    return "\n".join(line for lines in parts for line in ("", *lines))[1:] + "\n"


def _changed(rows: Rows) -> Iterator[str]:
    """Yield that rows are of hardware before a change, if some are."""
    changed = [_unit(row) for row in rows if row.get("changed", False)]
    if changed:
        yield (
            "**The hardware has changed since this was measured**: of "
            + ("all units below." if len(changed) == len(rows) else f"{'; '.join(changed)}.")
        )
        yield ""


def _library(rows: Rows) -> Iterator[str]:
    first = rows[0]
    yield from _changed(rows)
    yield (
        f"On {first['library']}, {_counts(rows)}, mapped by recipe `{first['recipe']}`, at "
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
        f"those of the gates before buffers and sizes (recipe `{first['unsized_recipe']}`), of "
        f"{_unsized_orders(first)} netlists, each placed {first['unsized_corners']} times: with its ports "
        "from each corner of the core on. `~` marks what cannot be told from zero."
    )
    yield ""
    yield from markdown_lines(
        ["accumulation", *_DELTAS.values()],
        [
            [_kind(row), *(interval_text(row["deltas"][name]) for name in _DELTAS)]
            for row in rows
            if row["deltas"]
        ],
    )
    yield ""
    corners = _spread((row["unsized"]["wire_length"], row["unsized_corners"]) for row in rows)
    seeds = _spread((row["figures"]["wire_length"]["values"], row["placements"]) for row in rows)
    yield (
        f"From corner to corner, the wire of one netlist differs by {corners:.2f} % "
        f"(standard deviation), and from seed to seed, with sizes, by {seeds:.2f} %. The "
        f"same differences with sizes (recipe `{first['recipe']}`), all ports from the first corner on:"
    )
    yield ""
    yield from markdown_lines(
        ["accumulation", *(_DELTAS[name] for name in first["unsized"])],
        [
            [_kind(row), *(_change(base["figures"], row["figures"], row, name) for name in first["unsized"])]
            for base, row in _pairs(rows)
        ],
    )


def _counts(rows: Rows) -> str:
    counts = sorted({(row["orders"], row["placements"]) for row in rows}, reverse=True)
    return " or ".join(
        f"{orders} netlists of each unit, each placed {'once' if times == 1 else f'{times} times'}"
        for orders, times in counts
    )


def _resized(mapped: Rows, rows: Rows) -> Iterator[str]:
    """Yield what sizes chosen again have changed, and what UE5M3 adds then.

    Raises:
        ValueError: If a unit was not measured as it is mapped too, of the same netlists and placements.
    """
    pairs = [(_same_netlists(mapped, row), row) for row in rows]
    first = rows[0]
    yield from _changed(rows)
    yield (
        f"On {first['library']}, sizes chosen again for the wires of each placement, {_counts(rows)}: "
        "medians before and after, and the mean change over netlists with its 95 % interval:"
    )
    yield ""
    yield from markdown_lines(
        ["unit", "period before", "after", *(f"change of {name}" for name in _RESIZED.values())],
        [
            [
                _unit(row),
                *(_figure(one, "period") for one in (before, row)),
                *(_change(before["figures"], row["figures"], row, name) for name in _RESIZED),
            ]
            for before, row in pairs
        ],
    )
    yield ""
    yield "What UE5M3 adds to UE4M3 with these sizes:"
    yield ""
    yield from markdown_lines(
        ["accumulation", *_RESIZED.values()],
        [
            [_kind(row), *(_change(base["figures"], row["figures"], row, name) for name in _RESIZED)]
            for base, row in _pairs(rows)
        ],
    )


def _same_netlists(mapped: Rows, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a unit as it is mapped, cut down to the same netlists and placements."""

    def cut(one: dict[str, Any], values: Sequence[float]) -> list[float]:
        times = one["placements"]
        begins = range(0, row["orders"] * times, times)
        return [value for begin in begins for value in values[begin : begin + row["placements"]]]

    for one in mapped:
        # The gates before sizes tell whether they are the same.
        if one["unit"] == row["unit"] and all(
            _from_first_corner(one, name)[: row["orders"]] == _from_first_corner(row, name)
            for name in one["unsized"]
        ):
            figures = {
                name: {**figure, "values": values, "median": statistics.median(values)}
                for name, figure in one["figures"].items()
                if (values := cut(one, figure["values"]))
            }
            return {**row, "figures": figures}
    raise ValueError(f"{row['unit']} must be measured without --resize too, of the same netlists")


def _routed(rows: Rows) -> Iterator[str]:
    first = rows[0]
    layers = ", ".join(first["layers"])
    yield from _changed(rows)
    yield (
        f"On {first['library']}, routed in detail by qrouter {first['qrouter']} on {layers}: "
        f"{first['orders']} netlists of each unit, each placed {first['placements']} times; medians:"
    )
    yield ""
    yield from markdown_lines(
        ["unit", "wire, estimated", "routed", "vias", "period, estimated", "routed"],
        [
            [
                _unit(row),
                *(_text(row[of][name]) for of, name in _BESIDE[:2]),
                _text(row["figures"]["vias"]),
                *(_text(row[of][name]) for of, name in _BESIDE[2:]),
            ]
            for row in rows
        ],
    )
    yield ""
    yield (
        "What UE5M3 adds to UE4M3 by the estimate and by the routed wires of the same placements. What is "
        "routed longer than the estimate is compared in percent of the estimate:"
    )
    yield ""
    yield from markdown_lines(
        [
            "accumulation", "wire, estimated", "routed", "longer than estimated", "vias",
            "period, estimated", "routed",
        ],
        [
            [
                _kind(row),
                *(_change(base[of], row[of], row, name) for of, name in _BESIDE[:2]),
                _difference(base, row, "detour"),
                _change(base["figures"], row["figures"], row, "vias"),
                *(_change(base[of], row[of], row, name) for of, name in _BESIDE[2:]),
            ]
            for base, row in _pairs(rows)
        ],
    )  # fmt: skip


def _pairs(rows: Rows) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each unit that is compared behind the one that it is compared with."""
    bases: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        kin = row["accumulate"], row["block_size"], row["stages"]
        if kin in bases:
            yield bases[kin], row
        else:
            bases[kin] = row


def _from_first_corner(row: dict[str, Any], name: str) -> Sequence[float]:
    """Return a figure of each netlist before sizes, with its ports from the first corner on."""
    # What was kept before there were others has that corner alone.
    return row["unsized"][name][:: row.get("unsized_corners", 1)]


def _unsized_orders(row: dict[str, Any]) -> int:
    return len(row["unsized"]["wire_length"]) // row["unsized_corners"]


def _spread(wires: Iterable[tuple[Sequence[float], int]]) -> float:
    """Return how far the wire of one netlist spreads over its placements.

    It is a standard deviation in percent of the netlist's mean, over all netlists; 0 where each was placed
    once.

    Args:
        wires: The wire of all placements of all netlists of a unit, and how many each netlist has.
    """
    squares: list[float] = []
    for values, times in wires:
        if times > 1:
            squares += [
                statistics.variance(values[at : at + times]) / mean**2
                for at, mean in zip(range(0, len(values), times), netlist_means(values, times), strict=True)
            ]
    return 100 * math.sqrt(statistics.fmean(squares)) if squares else 0.0


def _means(figures: dict[str, Any], row: dict[str, Any], name: str) -> list[float]:
    """Return the mean of a figure over the placements of each netlist."""
    return netlist_means(figures[name]["values"], row["placements"])


def _change(before: dict[str, Any], after: dict[str, Any], row: dict[str, Any], name: str) -> str:
    """Return the difference of a figure in percent, pair by pair of netlists' means."""
    one, other = (_means(figures, row, name) for figures in (before, after))
    return interval_text(interval_of(relative(Metric(name, "%", "lower", 2), one, other)))


def _difference(base: dict[str, Any], row: dict[str, Any], name: str) -> str:
    """Return the difference of a figure that is in percent itself."""
    pairs = zip(*(_means(one["figures"], one, name) for one in (base, row)), strict=True)
    estimate = Estimate(Metric(name, "%", "lower", 2), tuple(after - before for before, after in pairs))
    return interval_text(interval_of(estimate))


def _kind(row: dict[str, Any]) -> str:
    return f"`{row['accumulate']}`, N={row['block_size']}"


def _unit(row: dict[str, Any]) -> str:
    return f"{_kind(row)}, {row['scale'][0].upper()}"


def _figure(row: dict[str, Any], name: str) -> str:
    return _text(row["figures"][name])


def _text(figure: dict[str, Any]) -> str:
    return f"{figure['median']:.{figure['digits']}f} {figure['unit']}".strip()
