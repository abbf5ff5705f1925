"""The page of the answer: what was measured and stored, as Markdown, with its picture as SVG."""

from collections.abc import Iterator
from typing import Any, Final

from ..hw.variants import ACCUMULATES, SCALES
from .report import table_lines
from .workload import WEIGHT

__all__ = ["BLOCK_SIZES", "SCHEMA", "VERSION", "page", "picture"]

SCHEMA: Final = "blockdot.answer"
VERSION: Final = 2
"""Version of the stored results' layout."""

BLOCK_SIZES: Final = (16, 8, 32)
"""Sizes that the question asks for, the most important first."""


def _interval(estimate: dict[str, float], digits: int = 2, unit: str = "%") -> str:
    margin = (estimate["high"] - estimate["low"]) / 2
    text = f"{estimate['mean']:+.{digits}f} ± {margin:.{digits}f} {unit}"
    resolved = estimate["low"] > 0 or estimate["high"] < 0
    return text if resolved else f"{text} ~"


def _agreement(row: dict[str, Any]) -> str:
    if "attribution" not in row:
        return ""
    return "agree" if row["attribution"]["agrees"] else "**differ**"


def _area(row: dict[str, Any]) -> dict[str, float]:
    """Return the difference in area that a verdict goes by: where the two ways differ, that of the whole."""
    attribution = row.get("attribution")
    return attribution["relative"] if attribution and attribution["agrees"] else row["deltas"]["area"]


def _verdict(estimate: dict[str, float]) -> str:
    if estimate["low"] > 0:
        return "costs area"
    return "saves area" if estimate["high"] < 0 else "cannot be told from free"


def page(stored: dict[str, Any], picture_name: str | None = None) -> str:
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


def _lines(stored: dict[str, Any], picture_name: str | None) -> Iterator[str]:
    rows = stored["rows"]
    libraries = {library["name"]: library for library in stored["libraries"]}
    yield "# What a UE5M3 scale costs"
    yield ""
    yield (
        "This page is made by `make answer` from `docs/cost-of-ue5m3.json`, which `make answer-measure` "
        "measures again. Nothing in it is written by hand."
    )
    yield ""
    yield (
        "Every unit is made in several functionally equal netlists, and each is mapped for area in several "
        "ways (*netlists* x *ways* below); a difference is the mean over pairs that are made alike, with its "
        "95 % interval, against UE4M3. `~` marks one that cannot be told from zero. Synthesis: pyosys "
        f"{stored['pyosys']}. Gates alone: no place and route, no wires, no clock tree."
    )
    yield ""
    yield (
        "*Whole* is the flat unit, optimised across its components. *Attributed* is the sum over the "
        "components that differ, each synthesized alone; what is left between the two is what optimising "
        "*across* the components' borders makes. Where its interval excludes zero the two ways **differ** "
        "by it, and the whole is what counts: a component alone cannot share gates with its neighbours."
    )
    yield ""
    yield "## The short answer"
    yield ""
    head = [row for row in rows if row["scale"][0] == "ue5m3" and "area" in row["deltas"]]
    verdicts: dict[tuple[str, int, int], list[str]] = {}
    for row in head:
        verdict = _verdict(_area(row))
        verdicts.setdefault((row["accumulate"], row["block_size"], row["stages"]), []).append(verdict)
        attributed = _interval(row["attribution"]["relative"]) if "attribution" in row else "not measured"
        yield (
            f"- `{row['library']}`, {row['unit']}: the bit {verdict}: "
            f"{_interval(row['deltas']['area'])} whole, {attributed} attributed."
        )
    yield ""
    if len(libraries) > 1:
        for (accumulate, block_size, stages), found in verdicts.items():
            if len(found) == 1:
                continue
            where = (
                "in every library"
                if len(found) == len(libraries)
                else f"in the {len(found)} libraries that have it"
            )
            same = f"the same {where}" if len(set(found)) == 1 else f"not the same {where}"
            depth = {0: "combinational", 1: "1 stage"}.get(stages, f"{stages} stages")
            said = ", ".join(sorted(set(found)))
            yield f"- {accumulate}, N={block_size}, {depth}: the verdict is {same} ({said})."
        yield ""
    for name, library in libraries.items():
        own = [row for row in rows if row["library"] == name]
        if not own:
            continue
        yield f"## `{name}`"
        yield ""
        time = library["delay_unit"]
        yield from table_lines(
            (
                "unit", f"area [{library['area_unit']}]", "NAND2", f"delay [{time}]", f"period [{time}]",
                "area, whole", "area, attributed", "both", "delay", "period", "netlists",
            ),
            [
                (
                    row["unit"],
                    f"{row['area']:.1f}",
                    f"{row['nand2']:.0f}",
                    f"{row['delay']:.3f}",
                    f"{row['period']:.3f}",
                    _interval(row["deltas"]["area"]) if "area" in row["deltas"] else "",
                    _interval(row["attribution"]["relative"]) if "attribution" in row else "",
                    _agreement(row),
                    *(
                        _interval(row["deltas"][metric]) if metric in row["deltas"] else ""
                        for metric in ("delay", "period")
                    ),
                    f"{row['orders']} x {row['variants']}",
                )
                for row in own
            ],
        )  # fmt: skip
        yield ""
        bought = [row for row in own if row["scale"][0] == "ue5m3" and "attribution" in row]
        if bought:
            yield "Which components the bit of UE5M3 changes, and which gates it buys:"
            yield ""
            yield from table_lines(
                (
                    "unit", f"components [{library['area_unit']}]", "across them", "the whole",
                    "cells, more or fewer",
                ),
                [
                    (
                        row["unit"],
                        "; ".join(
                            f"{role} {_interval(area, 1, '').strip()}"
                            for role, area in row["attribution"]["parts"].items()
                        ),
                        _interval(row["attribution"]["across_area"], 1, "").strip(),
                        _interval(row["attribution"]["whole_area"], 1, "").strip(),
                        ", ".join(f"{cell} {more:+g}" for cell, more in row["attribution"]["cells"].items()),
                    )
                    for row in bought
                ],
            )  # fmt: skip
            yield ""
        of_tiles = [row for row in stored["tiles"] if row["library"] == name]
        if of_tiles:
            yield "Tiles, by their components alone, and what each product of them costs:"
            yield ""
            yield from table_lines(
                ("tile", f"area a product [{library['area_unit']}]", "NAND2", "against UE4M3"),
                [
                    (
                        row["unit"],
                        f"{row['area']:.1f}",
                        f"{row['nand2']:.0f}",
                        _interval(row["delta"]) if "delta" in row else "",
                    )
                    for row in of_tiles
                ],
            )
            yield ""
        powered = [row for row in own if row["energy"]]
        if powered:
            yield (
                f"Switching energy of one input [{library['energy_unit']}], with glitches and without, of a "
                "real weight matrix against real activations and of uniform codes:"
            )
            yield ""
            yield from table_lines(
                ("unit", "vectors", "energy", "without glitches", "against UE4M3"),
                [
                    (
                        row["unit"],
                        kind,
                        f"{energy['total']:.0f}",
                        f"{energy['settled']:.0f}",
                        _interval(energy["delta"]) if "delta" in energy else "",
                    )
                    for row in powered
                    for kind, energy in row["energy"].items()
                ],
            )
            yield ""
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


def _not_measured(stored: dict[str, Any]) -> Iterator[str]:
    """Yield what of the whole question there are no results of."""
    rows = stored["rows"]
    for library in stored["libraries"]:
        own = [row for row in rows if row["library"] == library["name"]]
        measured = {(row["accumulate"], row["block_size"]) for row in own}
        for accumulate in ACCUMULATES:
            sizes = [n for n in sorted(BLOCK_SIZES) if (accumulate, n) not in measured]
            if sizes:
                yield f"`{library['name']}`, {accumulate}: N = {', '.join(map(str, sizes))}"
        if scales := [one for one in SCALES if own and not any(row["scale"][0] == one for row in own)]:
            yield f"`{library['name']}`: the scales {', '.join(scales)}"
        if not any(row["stages"] > 1 for row in own):
            yield f"`{library['name']}`: pipelines of more than one stage"
        if not any(row["energy"] for row in own):
            yield f"`{library['name']}`: energy"


def _worth(stored: dict[str, Any], picture_name: str | None) -> Iterator[str]:
    """What the bit is worth: error against area."""
    yield "## What the bit is worth"
    yield ""
    yield (
        f"Mean squared error over sigma squared of `{WEIGHT}` of MiniLM, E2M1 elements, beside the area of "
        "the unit:"
    )
    yield ""
    rows = stored["rows"]
    first = stored["libraries"][0]["name"]

    def area(error: dict[str, Any], accumulate: str) -> str:
        for row in rows:
            alike = (row["scale"][0], row["block_size"], row["accumulate"], row["library"])
            if alike == (error["scale"], error["block_size"], accumulate, first):
                return f"{row['nand2']:.0f}"
        return ""

    if picture_name is not None:
        yield f"![error against area]({picture_name})"
        yield ""
    accumulates = list(dict.fromkeys(row["accumulate"] for row in rows))
    yield from table_lines(
        ("scale", "selection", "N", "MSE / sigma²", *(f"{one} [NAND2]" for one in accumulates)),
        [
            (
                error["scale"],
                error["method"] + (" + tensor scale" if error["tensor_scale"] else ""),
                str(error["block_size"]),
                f"{error['mse']:.5f}",
                *(area(error, one) for one in accumulates),
            )
            for error in stored["errors"]
        ],
    )
    yield ""


_COLOURS: Final = {"ue4m3": "#1f77b4", "ue5m3": "#d62728", "ue4m4": "#2ca02c", "ue8m0": "#9467bd"}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 840, 420, 80, 20, 50, 310
_APART: Final = 10


def picture(stored: dict[str, Any]) -> str | None:
    """Return the error of each way to choose scales against the area of its unit, as SVG.

    The units are those of the first library and of ``fp32``, or of the first accumulation that was measured.
    None where there is no error or no area.
    """
    rows = [row for row in stored["rows"] if row["library"] == stored["libraries"][0]["name"]]
    accumulates = [row["accumulate"] for row in rows]
    shown = "fp32" if "fp32" in accumulates else accumulates[0] if accumulates else ""
    areas = {
        (row["scale"][0], row["block_size"]): row["nand2"]
        for row in reversed(rows)
        if row["accumulate"] == shown
    }
    points = [
        (areas[error["scale"], error["block_size"]], error["mse"], error)
        for error in stored["errors"]
        if (error["scale"], error["block_size"]) in areas
    ]
    if not points:
        return None
    low, high = min(area for area, _, _ in points), max(area for area, _, _ in points)
    pad = 0.1 * (high - low) or 1.0
    low, high = low - pad, high + pad
    top = 1.1 * max(mse for _, mse, _ in points)

    def x(area: float) -> float:
        return _LEFT + (area - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(mse: float) -> float:
        return _HEIGHT - _BOTTOM - mse / top * (_HEIGHT - _TOP - _BOTTOM)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="black"/>',
    ]
    for k in range(5):
        area, mse = low + (high - low) * k / 4, top * k / 4
        lines += [
            f'<text x="{x(area):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{area:.0f}</text>',
            f'<text x="{_LEFT - 8}" y="{y(mse) + 4:.1f}" text-anchor="end">{mse:.4f}</text>',
        ]
    lines += [
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">'
        f"area of the {shown} unit [NAND2]; the axis does not begin at 0</text>",
        f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">MSE / sigma²</text>',
    ]
    named: list[tuple[float, float]] = []
    ways = list(dict.fromkeys((e["scale"], e["method"], e["tensor_scale"]) for _, _, e in points))
    for number, (scale, method, tensor_scale) in enumerate(ways):
        colour, label = _COLOURS.get(scale, "#555555"), scale
        if (method, tensor_scale) != ("absmax", False):
            label += f", {method}" + (" + tensor scale" if tensor_scale else "")
        # A way of choosing scales is hollow, and the larger the further from the plain one.
        of_scale = [way for way in ways if way[0] == scale]
        radius = 4 + 3 * of_scale.index((scale, method, tensor_scale))
        fill = colour if radius == 4 else "none"
        dot = f'r="{radius}" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>'
        height = _TOP + 20 + 22 * number
        lines += [
            f'<circle cx="{_WIDTH - _RIGHT + 24}" cy="{height}" {dot}',
            f'<text x="{_WIDTH - _RIGHT + 42}" y="{height + 4}">{label}</text>',
        ]
        for area, mse, error in points:
            if (error["scale"], error["method"], error["tensor_scale"]) == (scale, method, tensor_scale):
                lines.append(f'<circle cx="{x(area):.1f}" cy="{y(mse):.1f}" {dot}')
                # One name for what lies on one spot.
                if all(abs(x(area) - px) + abs(y(mse) - py) > _APART for px, py in named):
                    named.append((x(area), y(mse)))
                    lines.append(
                        f'<text x="{x(area) + 14:.1f}" y="{y(mse) + 4:.1f}" fill="{colour}" '
                        f'font-size="10">N={error["block_size"]}</text>'
                    )
    return "\n".join([*lines, "</svg>", ""])
