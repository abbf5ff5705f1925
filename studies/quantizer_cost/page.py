"""The page and the picture of what quantizers cost, made of stored results."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from blockdot.lab.demo_weights import WEIGHT
from blockdot.lab.reports.records import markdown_lines
from blockdot.model.quantizer import INPUTS, QuantizerSpec
from blockdot.synth.recipes import FLOW_VERSION

from ..attributions import attributed_decides
from ..intervals import Interval, half_width, interval_text
from ..library_names import short_library_name
from ..pictures import svg_figure

__all__ = [
    "PAGE",
    "PAGE_BLOCK_SIZE",
    "PICTURE",
    "REUSES",
    "UNIT_TABLES",
    "ScaleAndMethod",
    "amortised",
    "crossing",
    "draw_amortised",
    "page_text",
]

PAGE: Final = "cost-of-quantizers.md"
PICTURE: Final = "cost-of-quantizers.svg"

UNIT_TABLES: Final = ("quantizers", "more", "dots", "dequantizers")
"""The tables of units in the stored results."""

PAGE_BLOCK_SIZE: Final = 16
"""Elements in the blocks that most of the page is about."""

REUSES: Final = (1, 8, 64, 1024)
"""How many dot products use a quantized block."""

ScaleAndMethod = tuple[str, str]
"""Scale format, and how scales are chosen."""

_NONE: Final[Interval] = {"mean": 0.0, "low": 0.0, "high": 0.0}
_COLOURS: Final = {"ue4m3": "tab:blue", "ue5m3": "tab:red"}
_MARKERS: Final = {"absmax": "o", "prevent_zero": "s", "four_over_six": "^"}
_PANEL: Final = (2.7, 3.4)


def _of(stored: dict[str, Any], table: str, library: str, size: int) -> list[dict[str, Any]]:
    """Return the rows of a table that are of a library and of blocks of a size."""
    return [row for row in stored[table] if (row["library"], row["block_size"]) == (library, size)]


def _ways(
    stored: dict[str, Any], library: str, size: int = PAGE_BLOCK_SIZE
) -> dict[ScaleAndMethod, dict[str, Any]]:
    return {(row["scale"][0], row["method"]): row for row in _of(stored, "quantizers", library, size)}


def _dots(stored: dict[str, Any], library: str, size: int = PAGE_BLOCK_SIZE) -> dict[str, dict[str, Any]]:
    return {row["scale"][0]: row for row in _of(stored, "dots", library, size)}


def _libraries(stored: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["library"] for row in stored["quantizers"]))


def _sizes(stored: dict[str, Any], library: str) -> list[int]:
    return sorted({row["block_size"] for row in stored["quantizers"] if row["library"] == library})


def _errors(stored: dict[str, Any]) -> dict[ScaleAndMethod, float]:
    rows = (row for row in stored["errors"] if row["block_size"] == PAGE_BLOCK_SIZE)
    return {(row["scale"], row["method"]): row["mse"] for row in rows}


def amortised(
    stored: dict[str, Any], library: str, way: ScaleAndMethod, reuse: int
) -> tuple[float, Interval]:
    """Return the cost of a dot product with its share of a quantizer, and the difference from the first way.

    The quantizer's area counts ``1 / reuse`` times. Both figures are in NAND2 equivalents, of blocks of
    `PAGE_BLOCK_SIZE`. The two differences were measured on different netlists: their errors are independent,
    and add as squares.
    """
    quantizer, dot = _ways(stored, library)[way], _dots(stored, library)[way[0]]
    one, other = _area(dot), _area(quantizer)
    mean = one["mean"] + other["mean"] / reuse
    half = math.hypot(half_width(one), half_width(other) / reuse)
    return dot["nand2"] + quantizer["nand2"] / reuse, {"mean": mean, "low": mean - half, "high": mean + half}


def crossing(stored: dict[str, Any], library: str, size: int = PAGE_BLOCK_SIZE) -> float:
    """Return at which reuse UE5M3 with absmax costs as much as UE4M3 with four-over-six.

    Below it UE5M3 costs less, as its quantizer is smaller; above it the bit in the dot product weighs more.
    Infinity where UE5M3 always costs less, and 0 where it never does.
    """
    ways = _ways(stored, library, size)
    saved = _area(ways["ue4m3", "four_over_six"])["mean"] - _area(ways["ue5m3", "absmax"])["mean"]
    more = _area(_dots(stored, library, size)["ue5m3"])["mean"]
    if saved <= 0:
        return 0.0
    return saved / more if more > 0 else math.inf


def _area(row: dict[str, Any]) -> Interval:
    """Return the difference in area that decides, in NAND2 equivalents; nothing of what is compared with."""
    found: Interval = row["attributed_delta"] if attributed_decides(row) else row.get("area_delta", _NONE)
    return found


def _area_percent(row: dict[str, Any]) -> Interval | None:
    """Return the difference in area that decides, in percent; None of what is compared with."""
    return row["attribution"]["relative"] if attributed_decides(row) else row.get("area_percent")


def _area_text(row: dict[str, Any] | None) -> str:
    """Return what `_area_percent` does as text; empty where there is none."""
    found = None if row is None else _area_percent(row)
    return "" if found is None else interval_text(found)


def _both_ways(row: dict[str, Any]) -> tuple[str, str]:
    """Return the difference in area of the whole and by components as text; ``!`` where they disagree."""
    whole = interval_text(row["area_percent"]) if "area_percent" in row else ""
    if "attribution" not in row:
        return whole, ""
    mark = "" if attributed_decides(row) else "! "
    return whole, mark + interval_text(row["attribution"]["relative"])


def _pairs(stored: dict[str, Any]) -> str:
    """Return over how many pairs of netlists differences are told."""
    counts = [row["pairs"] for table in UNIT_TABLES for row in stored[table]]
    least, most = min(counts), max(counts)
    return f"{most}" if least == most else f"{least} to {most}"


def page_text(stored: dict[str, Any]) -> str:
    """Return the page, as Markdown."""
    return "\n".join(_lines(stored)) + "\n"


def _lines(stored: dict[str, Any]) -> Iterator[str]:
    errors = _errors(stored)
    yield "# What choosing scales better costs"
    yield ""
    if errors:
        yield f"![Error against the cost of a dot product with its share of a quantizer]({PICTURE})"
        yield ""
    yield (
        "UE5M3 has one more exponent bit than UE4M3, and every dot-product unit pays for it (arXiv "
        "2601.19026). `prevent_zero` and `four_over_six` keep UE4M3 and choose each scale better (arXiv "
        "2605.08565): the dot-product unit stays as it is, and the quantizer pays, where blocks are made. A "
        "block that is made once is used by R dot products, so a dot product pays for 1/R of a quantizer."
    )
    yield ""
    yield (
        f"The units: blocks of {PAGE_BLOCK_SIZE} where nothing else is said, a dot product with a binary32 "
        "sum in one stage, a quantizer of `bf16` numbers with registers at its outputs. Cost is the sum of "
        "the areas in NAND2 equivalents, of gates after synthesis, without wires. The other operand (the "
        "weights) was quantized before. Differences are against UE4M3 with `absmax`, over "
        f"{_pairs(stored)} pairs of netlists, with 95 % intervals; "
        "`~` marks what cannot be told from zero. *The whole* is the flat unit. *By steps* is the sum over "
        "the steps that differ, each synthesized alone. Where both agree, the steps decide, because their "
        "interval is narrower. Where they do not (`!`), the whole decides, because a step alone cannot share "
        "gates with its neighbours. Where the orders of a unit all have the same least period, "
        "there is no interval, and nothing says how sure it is. "
        f"Synthesis: pyosys {stored['pyosys']}, flow "
        f"{stored['flow']}."
    )
    yield ""
    if stored["flow"] != FLOW_VERSION:
        yield ("**Measured by an older flow.** `make quantizer-cost-measure` measures these figures again.")
        yield ""
    yield from _answer(stored)
    for library in _libraries(stored):
        if PAGE_BLOCK_SIZE in _sizes(stored, library):
            yield from _of_library(stored, library, errors)
    yield from _by_size(stored)
    yield "[The hardware](quantizer-hardware.md) says what these units are made of, and what was tried."
    yield ""
    yield "`make quantizer-cost` writes this page from `studies/quantizer_cost/results.jsonl`."


def _answer(stored: dict[str, Any]) -> Iterator[str]:
    """What each way adds, in a column for each library."""
    yield "## In short"
    yield ""
    libraries = _libraries(stored)
    columns = [
        (library, PAGE_BLOCK_SIZE) for library in libraries if PAGE_BLOCK_SIZE in _sizes(stored, library)
    ]
    yield (
        "What is added to the area. The last line says how many dot products must use a block so that both "
        "recipes cost the same: with fewer, UE5M3 costs less."
    )
    yield ""
    yield from _differences(
        stored, {short_library_name(library): (library, size) for library, size in columns}
    )
    yield ""


def _by_size(stored: dict[str, Any]) -> Iterator[str]:
    """What each way adds by the size of blocks, where more than one was measured."""
    several = {
        f"{short_library_name(library)}, {size}": (library, size)
        for library in _libraries(stored)
        if len(_sizes(stored, library)) > 1
        for size in _sizes(stored, library)
    }
    if several:
        yield "## By the elements in a block"
        yield ""
        yield from _differences(stored, several)
        yield ""


def _differences(stored: dict[str, Any], columns: dict[str, tuple[str, int]]) -> Iterator[str]:
    """Return a table of what each way adds to the area, with a column for each library and size."""
    cells: dict[str, list[str]] = {}

    def tell(line: str, texts: list[str]) -> None:
        if any(texts):
            cells[line] = texts

    def of_rows(line: str, rows: list[dict[str, Any] | None]) -> None:
        tell(line, [_area_text(row) for row in rows])

    places = list(columns.values())
    ways, dots = [_ways(stored, *place) for place in places], [_dots(stored, *place) for place in places]
    tell("dot product, ue4m3 [NAND2]", [f"{row['ue4m3']['nand2']:.0f}" if row else "" for row in dots])
    of_rows("dot product, ue5m3", [row.get("ue5m3") for row in dots])
    first = ("ue4m3", "absmax")
    tell(
        "quantizer, ue4m3, `absmax` [NAND2]",
        [f"{row[first]['nand2']:.0f}" if first in row else "" for row in ways],
    )
    for way in dict.fromkeys(way for found in ways for way in found):
        if way != first:
            of_rows(f"quantizer, {way[0]}, `{way[1]}`", [row.get(way) for row in ways])
    more = [
        {(row["scale"][0], _besides(row)): row for row in _of(stored, "more", *place)} for place in places
    ]
    for scale, besides in dict.fromkeys(way for found in more for way in found):
        of_rows(f"quantizer, {scale}, {besides}", [row.get((scale, besides)) for row in more])
    tell(
        "R where ue5m3 costs as much as ue4m3 with `four_over_six`",
        [_crossing_text(stored, *place) if _decided(stored, *place) else "" for place in places],
    )
    yield from markdown_lines(("unit", *columns), [(line, *texts) for line, texts in cells.items()])


def _decided(stored: dict[str, Any], library: str, size: int = PAGE_BLOCK_SIZE) -> bool:
    """Return whether both recipes were measured, and the dot-product units."""
    ways = _ways(stored, library, size)
    return (
        ("ue4m3", "four_over_six") in ways
        and ("ue5m3", "absmax") in ways
        and bool(_dots(stored, library, size))
    )


def _crossing_text(stored: dict[str, Any], library: str, size: int) -> str:
    """Return between which reuses the two recipes may cost the same."""
    at = crossing(stored, library, size)
    if math.isinf(at):
        return "any"
    if not at:
        return "none"
    least, most = _crossing_ends(stored, library, size)
    return f"at least {least:.0f}" if math.isinf(most) else f"{least:.0f} to {most:.0f}"


def _of_library(stored: dict[str, Any], library: str, errors: dict[ScaleAndMethod, float]) -> Iterator[str]:
    ways, dots = _ways(stored, library), _dots(stored, library)
    base = next(iter(ways))
    yield f"## {library}"
    yield ""
    for line in _verdict(stored, library):
        yield line
        yield ""
    yield "The quantizers:"
    yield ""
    yield from markdown_lines(
        (
            "scale",
            "method",
            "area [NAND2]",
            "the whole",
            "by steps",
            "period",
            "difference",
            "MSE / sigma²",
        ),
        [
            (
                scale,
                f"`{method}`",
                f"{row['nand2']:.1f}",
                *_both_ways(row),
                f"{row['period']:.4g} {row['delay_unit']}",
                _period_text(row["period_percent"]) if "period_percent" in row else "",
                f"{errors[scale, method]:.5f}" if (scale, method) in errors else "",
            )
            for (scale, method), row in ways.items()
        ],
    )
    yield ""
    yield from _further(stored, library)
    yield from _by_steps(stored, library)
    told = "; ".join(
        f"{scale} {row['nand2']:.1f} NAND2" + (f" ({_area_text(row)})" if _area_text(row) else "")
        for scale, row in dots.items()
    )
    if not dots:
        return
    yield f"The dot-product units: {told}."
    yield ""
    yield "A dot product with its share of a quantizer, and the difference from the first line [NAND2]:"
    yield ""
    yield from markdown_lines(
        ("scale", "method", *(f"R = {reuse}" for reuse in REUSES)),
        [
            (
                way[0],
                f"`{way[1]}`",
                *(
                    f"{cost:.0f}" + ("" if way == base else f" ({interval_text(more, 1, '')})")
                    for cost, more in (amortised(stored, library, way, reuse) for reuse in REUSES)
                ),
            )
            for way in ways
        ],
    )
    yield ""
    yield from _dequantizers(stored, library)


def _dequantizers(stored: dict[str, Any], library: str) -> Iterator[str]:
    """What a dot product pays besides where each block is made numbers of again, once."""
    rows = _of(stored, "dequantizers", library, PAGE_BLOCK_SIZE)
    if not rows:
        return
    yield (
        "A dequantizer makes `bf16` numbers of a block again. Most of it are registers of its output, "
        f"{PAGE_BLOCK_SIZE * 16} bits, twice, so that a stream can stop. Where each block goes through "
        "one once, a dot product has its share of it and of the quantizer with `absmax` [NAND2]:"
    )
    yield ""
    dots, ways = _dots(stored, library), _ways(stored, library)
    yield from markdown_lines(
        (
            "scale",
            "dequantizer",
            "difference",
            "period",
            *(f"all, R = {reuse}" for reuse in REUSES),
        ),
        [
            (
                row["scale"][0],
                f"{row['nand2']:.1f}",
                _area_text(row),
                f"{row['period']:.4g} {row['delay_unit']}",
                *(
                    f"{dots[row['scale'][0]]['nand2'] + both / reuse:.0f}"
                    for both in (ways[row["scale"][0], "absmax"]["nand2"] + row["nand2"],)
                    for reuse in REUSES
                ),
            )
            for row in rows
        ],
    )
    yield ""


def _period_text(interval: Interval) -> str:
    """Return a difference as text, without an interval where all netlists gave the same one."""
    return interval_text(interval) if half_width(interval) else f"{interval['mean']:+.2f} %"


def _further(stored: dict[str, Any], library: str) -> Iterator[str]:
    """What a quantizer with ``absmax`` may do besides."""
    rows = _of(stored, "more", library, PAGE_BLOCK_SIZE)
    if not rows:
        return
    yield "With `absmax`, and:"
    yield ""
    yield from markdown_lines(
        ("scale", "besides", "area [NAND2]", "the whole", "by steps", "period", "difference"),
        [
            (
                row["scale"][0],
                _besides(row),
                f"{row['nand2']:.1f}",
                *_both_ways(row),
                f"{row['period']:.4g} {row['delay_unit']}",
                _period_text(row["period_percent"]),
            )
            for row in rows
        ],
    )
    yield ""
    if any(row["tensor_scale"] for row in rows):
        bits = next(INPUTS[row["input"]].bits for row in rows if row["tensor_scale"])
        read = PAGE_BLOCK_SIZE * bits / 8
        written = PAGE_BLOCK_SIZE * 4 / 8 + 1
        yield (
            "Gates do not show all that a tensor scale costs. It is known only when all numbers of the "
            f"tensor were seen, so they are read twice: {read:.0f} bytes more for each block of "
            f"{PAGE_BLOCK_SIZE}, beside the {read:.0f} bytes that are read and the {written:.0f} that are "
            "written in any case (a scale is one byte in memory): "
            f"{100 * read / (read + written):.0f} % more traffic, unless the tensor waits on chip."
        )
        yield ""


def _by_steps(stored: dict[str, Any], library: str) -> Iterator[str]:
    """Which steps the differences are made of."""
    rows = [
        (row["scale"][0], what, row)
        for table, told in (("quantizers", lambda row: f"`{row['method']}`"), ("more", _besides))
        for row in _of(stored, table, library, PAGE_BLOCK_SIZE)
        for what in (told(row),)
        if "attribution" in row
    ]
    if not rows:
        return
    yield (
        "What each step adds, synthesized alone, in NAND2 equivalents; what a step that is not in the unit "
        "takes is negative. What optimising across steps adds is what the whole has more than their sum:"
    )
    yield ""
    yield from markdown_lines(
        ("scale", "quantizer", "steps", "across them", "the whole"),
        [
            (
                scale,
                what,
                ", ".join(
                    f"{step} {_gates(area, row)}" for step, area in row["attribution"]["parts"].items()
                ),
                _gates(row["attribution"]["across_area"], row),
                _gates(row["attribution"]["whole_area"], row),
            )
            for scale, what, row in rows
        ],
    )
    yield ""


def _gates(area: Interval, row: dict[str, Any]) -> str:
    """Return an area in the library's unit as text, in NAND2 equivalents."""
    scaled = {name: value * row["nand2"] / row["area"] for name, value in area.items()}
    return interval_text(scaled, 1, "")


def _besides(row: dict[str, Any]) -> str:
    """Return what a quantizer with ``absmax`` does besides, or takes in the place of ``bf16``."""
    if row["rounding"] == "stochastic":
        return f"rounding by {QuantizerSpec.parse(row['spec']).random_bits} random bits"
    return "a tensor scale" if row["tensor_scale"] else f"`{row['input']}` numbers"


def _verdict(stored: dict[str, Any], library: str) -> Iterator[str]:
    """Where each of the two recipes wins, if both were measured."""
    if not _decided(stored, library):
        return
    at = crossing(stored, library)
    if at == 0:
        yield "UE5M3 with `absmax` costs more than UE4M3 with `four_over_six` at every reuse."
    elif math.isinf(at):
        yield "UE5M3 with `absmax` costs less than UE4M3 with `four_over_six` at every reuse."
    else:
        yield (
            "UE5M3 with `absmax` costs less than UE4M3 with `four_over_six` where a block is used by fewer "
            f"than about {at:.0f} dot products, and more above. {_how_sure(stored, library)}"
        )


def _how_sure(stored: dict[str, Any], library: str) -> str:
    """Say between which reuses the two recipes may cost the same, at the ends of all intervals."""
    least, most = _crossing_ends(stored, library, PAGE_BLOCK_SIZE)
    if math.isinf(most):
        return f"By the intervals that number is at least {least:.0f}, and these netlists set no upper end."
    return f"By the intervals it is from {least:.0f} to {most:.0f}."


def _crossing_ends(stored: dict[str, Any], library: str, size: int) -> tuple[float, float]:
    """Return between which reuses the two recipes may cost the same; infinity where there is no upper end."""
    ways = _ways(stored, library, size)
    choosing, bit = _area(ways["ue4m3", "four_over_six"]), _area(ways["ue5m3", "absmax"])
    more = _area(_dots(stored, library, size)["ue5m3"])
    least = max(choosing["low"] - bit["high"], 0) / more["high"]
    return least, (choosing["high"] - bit["low"]) / more["low"] if more["low"] > 0 else math.inf


def draw_amortised(stored: dict[str, Any], path: Path) -> bool:
    """Draw error against cost in the first library, a panel for each reuse.

    The same results give the same bytes.

    Args:
        stored: What `measure_quantizers` returned.
        path: The SVG file, replaced where there is one.

    Returns:
        Whether there was anything to draw.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    if not stored["errors"] or not stored["quantizers"]:
        return False
    library = _libraries(stored)[0]
    with svg_figure(path, _PANEL[0] * len(REUSES), _PANEL[1] + 1.0) as figure:
        axes = figure.subplots(1, len(REUSES), sharey=True, squeeze=False)[0]
        for reuse, ax in zip(REUSES, axes, strict=True):
            for (scale, method), mse in _errors(stored).items():
                cost, more = amortised(stored, library, (scale, method), reuse)
                ax.errorbar(
                    [cost],
                    [mse],
                    xerr=[[half_width(more)], [half_width(more)]],
                    color=_COLOURS[scale],
                    marker=_MARKERS[method],
                    markersize=8,
                    markerfacecolor=_COLOURS[scale] if method == "absmax" else "none",
                    linestyle="none",
                    elinewidth=0.9,
                    label=f"{scale}, {method}",
                )
            ax.set_title(f"R = {reuse}")
            ax.grid(visible=True, color="0.88", linewidth=0.7)
            ax.margins(x=0.2, y=0.15)
            ax.tick_params(axis="x", labelrotation=45)
        axes[0].set_ylabel(f"MSE / sigma², {WEIGHT}", fontsize=8)
        figure.supxlabel(f"dot product and 1/R of a quantizer [NAND2], {library}", fontsize=10)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return True
