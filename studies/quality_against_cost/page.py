"""The page and the picture of quality against cost, made of stored rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockdot.lab.reports.records import markdown_lines
from blockdot.lab.statistics import Estimate

from ..pictures import svg_figure
from ..records import Record
from .front_page import FRONT_PAGE
from .points import (
    ACCUMULATES,
    LIBRARY,
    MODELS,
    NARROW,
    PRODUCTS,
    REUSES,
    Areas,
    Place,
    Point,
    difference,
    evaluated,
    percent,
    places,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["PAGE", "PICTURE", "draw", "page_text"]

PAGE: Final = "quality-against-cost.md"
PICTURE: Final = "quality-against-cost.svg"

_NAMES: Final = {0: "wide", NARROW: "narrow"}
_SIZES: Final = (8, 16, 32)
_COLOURS: Final = {"ue4m3": "tab:blue", "ue5m3": "tab:red", "ue8m0": "tab:green"}
# By how scales of weights and of activations are chosen.
_MARKERS: Final = {
    ("absmax", "absmax"): "o",
    ("four_over_six", "absmax"): "D",
    ("four_over_six", "four_over_six"): "^",
    ("prevent_zero", "prevent_zero"): "s",
    ("floor", "floor"): "v",
}
_PANEL: Final = (2.9, 3.0)
# Per cent of perplexity below which a difference is not told.
_LEAST: Final = 0.001
_SHOWN: Final[dict[Place, str]] = {"front": "on the front", "undecided": "undecided", "beaten": "beaten"}


def page_text(stored: Record) -> str:
    """Return the page, as Markdown.

    Raises:
        ValueError: If nothing was evaluated.
    """
    if not stored["ways"]:
        raise ValueError("ways must be evaluated before the page is written, not be missing")
    return "\n".join(_lines(stored)) + "\n"


def _lines(stored: Record) -> Iterator[str]:
    plain = evaluated(stored)[0]
    yield "# Quality against cost"
    yield ""
    yield f"![Perplexity against area for each product, for four reuses of a quantized block]({PICTURE})"
    yield ""
    yield (
        f"[The same picture at any reuse, model width and kind of sum]({FRONT_PAGE}): a page that finds the "
        "front again at each choice, by the same rule, and needs no network."
    )
    yield ""
    yield (
        "How much does a better format improve a language model, or a better choice of scales, and what does "
        "it cost? This page compares the perplexity of a small model with the area that computes its "
        "products."
    )
    yield ""
    yield "## In short"
    yield ""
    yield (
        "*Wide* is the model as it is, *narrow* the one with narrower matrices. *Lower at 8* says that the "
        "perplexity is lower in blocks of 8 elements, by an interval of 95 %. *Open* says that the interval "
        "includes zero. [The differences](#the-differences) has the intervals."
    )
    yield ""
    compared = _comparisons(stored)
    for number, line in enumerate(_findings(stored, compared), 1):
        yield f"{number}. {line}"
    yield ""
    yield from _compared(stored, plain)
    yield from _differences(compared)
    for narrow, name in MODELS.items():
        yield from _fronts(stored, narrow, name)
    yield from _areas(stored)
    for operands, name in (("both", "weights and activations"), ("weights", "weights alone")):
        yield from _perplexities(stored, operands, name)
    yield from _accumulated(stored)
    yield (
        "`make quality-against-cost` writes this page from `studies/quality_against_cost/results.jsonl`, and "
        "`make quality-against-cost-measure` measures what is not there."
    )


def _compared(stored: Record, plain: Record) -> Iterator[str]:
    """Yield what quality, cost and the front are."""
    yield "## What is compared"
    yield ""
    yield (
        f"- **Quality** is the perplexity of a text above that of the model as it is: {stored['model']}, "
        f"{plain['scored']} scored tokens of the {stored['text']}. Intervals of 95 % are a bootstrap's over "
        f"{len(plain['segments'])} segments of the text, paired. **The model's weights were 4-bit already** "
        "(Q4_1): the losses of a model in 16 bits would differ. The second row of pictures is the same model "
        f"with matrices {2**NARROW} times narrower, as other models have them: `--narrow {NARROW}` divides "
        "them before they are quantized, and multiplies their products again."
    )
    yield (
        "- **Weights and activations** are quantized, as a unit takes codes of both; the head and the "
        "embeddings are not, nor are attention's own products. *Method / method* names that of the weights "
        "and that of the activations, where they differ."
    )
    yield (
        f"- **Cost** is area for each product, in NAND2 equivalents of the `{LIBRARY}` library, of gates "
        "after synthesis, without wires. The quantizer of the activations is added to the dot-product unit "
        "(`bf16` numbers, one block of N a cycle): where R dot products use a block, a product pays for "
        "1/(N R) of it. Weights are quantized once, by software, and cost no area. In the picture sums are "
        f"binary32, and the unit takes either one block a cycle or {PRODUCTS} products, whichever is cheaper "
        "for each product. A table below has other sums."
    )
    yield (
        "- **The front** joins the points that no other beats by the plain estimate: none that costs the "
        "same or less has a lower perplexity. Any other point is *beaten* (faint) if one that costs the same "
        "or less is better for sure, by the paired interval of their difference. Otherwise it is *undecided* "
        "(hollow): another looks better, but the interval includes zero. Each interval is one of 95 %, so of "
        "many differences a few are found by chance. Areas have no interval here: the netlists of one unit "
        f"differ by {_spread(stored)} %."
    )
    if missing := _unpriced(stored):
        yield f"- **Not in the picture**, as these quantizers were not synthesized yet: {missing}."
    yield ""


def _unpriced(stored: Record) -> str:
    """Return which ways are not in the picture, as something of them has no area yet."""
    areas = Areas(stored["areas"])
    names = [
        f"{row['scale']} N={row['block_size']} {row['activation_method']}"
        for row in evaluated(stored)
        if row["operands"] == "both"
        and not row["tensor_scale"]
        and areas.quantizer(row["scale"], row["block_size"], row["activation_method"], tensor_scale=False)
        is None
    ]
    return ", ".join(dict.fromkeys(names))


def _spread(stored: Record) -> str:
    wide = [row["most"] / row["least"] - 1 for row in stored["areas"] if "least" in row]
    return f"at most {100 * max(wide, default=0.0):.1f}"


# What is found, in words.


def _told(before: Record, after: Record) -> str:
    """Return how much higher or lower the perplexity of one way is than another's, and how sure that is."""
    mean, low, high = percent(difference(before, after))
    told = f"{mean:+.1f} % ({low:+.1f} to {high:+.1f})"
    return told if difference(before, after).resolved else f"{told} ~"


class _Rows:
    """The evaluated ways, to be looked up."""

    def __init__(self, stored: Record) -> None:
        self._rows = evaluated(stored)

    def find(
        self,
        scale: str,
        block_size: int,
        method: str = "absmax",
        activation_method: str | None = None,
        *,
        narrow: int = 0,
        operands: str = "both",
        tensor_scale: bool = False,
    ) -> Record | None:
        """Return the row of one way; None where it was not evaluated."""
        chosen = None if operands == "weights" else activation_method or method
        # A factor of two changes nothing under a scale that takes it up whole.
        wanted = (scale, block_size, method, chosen, tensor_scale, operands)
        factor = 0 if tensor_scale or scale == "ue8m0" else narrow
        for row in self._rows:
            names = ("scale", "block_size", "method", "activation_method", "tensor_scale", "operands")
            if tuple(row[name] for name in names) == wanted and row["narrow"] == factor:
                return row
        return None


@dataclass(frozen=True)
class _Comparison:
    """Ways that differ in one thing.

    Attributes:
        title: What is compared with what.
        model: Of which model, and of which scale format where both are compared.
        pairs: By the size of the block, the way that the other is held against and the other.
    """

    title: str
    model: str
    pairs: dict[int, tuple[Record, Record]]

    @classmethod
    def of(
        cls, title: str, model: str, pairs: Iterable[tuple[int, Record | None, Record | None]]
    ) -> "_Comparison":
        """Return a comparison of the ways that were evaluated."""
        return cls(title, model, {size: (a, b) for size, a, b in pairs if a and b})

    def verdict(self) -> str:
        """Return for which sizes perplexity is lower, higher or neither for sure."""
        told: dict[str, list[str]] = {"lower": [], "higher": [], "open": []}
        for size, (before, after) in self.pairs.items():
            found = difference(before, after)
            mean = percent(found)[0]
            if found.resolved:
                told["lower" if mean < 0 else "higher"].append(f"{size} ({mean:+.1f} %)")
            else:
                told["open"].append(str(size))
        parts = [f"{name} at {', '.join(sizes)}" for name, sizes in told.items() if sizes]
        return f"{self.model}: {'; '.join(parts)}"

    def cells(self) -> Iterator[str]:
        """Yield the difference of each size."""
        for size in _SIZES:
            yield _told(*self.pairs[size]) if size in self.pairs else ""


_FINER: Final = "finer blocks: each size against twice as much, `absmax`"
_BIT: Final = "UE5M3 against UE4M3, `absmax`"
_RECIPES: Final = "UE5M3, `absmax`, against UE4M3, `four_over_six`"
_WEIGHTS: Final = "`four_over_six` for weights alone, against `absmax` for both"
_BOTH: Final = "`four_over_six` for activations too, against that for weights alone"
_POWERS: Final = "UE8M0, `floor`, against UE4M3, `absmax`"
_TENSOR: Final = "UE4M3 with a tensor scale against UE5M3 without, `absmax`"
_TITLES: Final = (_BIT, _RECIPES, _FINER, _TENSOR, _WEIGHTS, _BOTH, _POWERS)


def _comparisons(stored: Record) -> list[_Comparison]:
    """Return what is compared, of what was evaluated."""
    rows = _Rows(stored)
    found: list[_Comparison] = []
    for narrow, name in _NAMES.items():
        four, five, eight = (
            {size: rows.find(scale, size, method, narrow=narrow) for size in _SIZES}
            for scale, method in (("ue4m3", "absmax"), ("ue5m3", "absmax"), ("ue8m0", "floor"))
        )
        chosen = {size: rows.find("ue4m3", size, "four_over_six", narrow=narrow) for size in _SIZES}
        tensor = {size: rows.find("ue4m3", size, tensor_scale=True) for size in _SIZES}
        for scale, plain in (("ue4m3", four), ("ue5m3", five)):
            model = f"{name}, {scale}"
            finer = ((size, plain[2 * size], plain[size]) for size in _SIZES[:-1])
            found.append(_Comparison.of(_FINER, model, finer))
            weights = {
                size: rows.find(scale, size, "four_over_six", "absmax", narrow=narrow) for size in _SIZES
            }
            both = {size: rows.find(scale, size, "four_over_six", narrow=narrow) for size in _SIZES}
            found.append(_Comparison.of(_WEIGHTS, model, _pairs(plain, weights)))
            found.append(_Comparison.of(_BOTH, model, _pairs(weights, both)))
        found.append(_Comparison.of(_BIT, name, _pairs(four, five)))
        found.append(_Comparison.of(_RECIPES, name, _pairs(chosen, five)))
        found.append(_Comparison.of(_POWERS, name, _pairs(four, eight)))
        found.append(_Comparison.of(_TENSOR, name, _pairs(five, tensor)))
    return [one for one in found if one.pairs]


def _pairs(
    before: Mapping[int, Record | None], after: Mapping[int, Record | None]
) -> Iterator[tuple[int, Record | None, Record | None]]:
    return ((size, before[size], after[size]) for size in _SIZES)


def _findings(stored: Record, compared: Sequence[_Comparison]) -> Iterator[str]:
    """Yield what wins where, and how sure that is; what was not evaluated is left out."""
    more = {
        _BIT: f" The bit's area: {_bit(stored)}.",
        _WEIGHTS: " That costs no area: weights are quantized by software.",
        _BOTH: f" {_better(stored)}",
        _TENSOR: " It needs a second pass over the activations, whose cost is not measured here.",
    }
    for title in _TITLES:
        verdicts = [f"*{one.verdict()}*" for one in compared if one.title == title]
        if verdicts:
            yield f"**{title[0].upper()}{title[1:]}.** {'. '.join(verdicts)}.{more.get(title, '')}".rstrip()
    yield from _of_exact_sums(stored)
    for narrow, name in _NAMES.items():
        yield from _of_fronts(stored, narrow, name)
    pairs = [
        difference(a.row, b.row)
        for narrow in _NAMES
        for a, b in combinations(points(stored, narrow=narrow), 2)
    ]
    if pairs:
        open_pairs = sum(not pair.resolved for pair in pairs)
        yield (
            f"**How sure.** Of {len(pairs)} pairs of points in one row of pictures, {open_pairs} cannot be "
            "told apart on this text. It is one model, at two widths, and one text. The widths of a model "
            "decide what the exponent bit is worth."
        )


def _of_exact_sums(stored: Record) -> Iterator[str]:
    """Yield what exact sums cost, and what the units' bits make of perplexity."""
    areas, unit_rows = Areas(stored["areas"]), _unit_rows(stored)
    told = []
    for scale in _COLOURS:
        pairs = [[areas.single(scale, size, kind) for kind in ("fp32", "exact")] for size in _SIZES]
        more = [100 * (exact / rounded - 1) for rounded, exact in pairs if rounded and exact]
        if more:
            told.append(f"{min(more):+.1f} to {max(more):+.1f} % under {scale}")
    if told:
        yield f"**Exact sums** against binary32, in area of the unit of one block: {', '.join(told)}." + (
            " Their effect on perplexity, and that of other sums, on a short text: "
            + ", ".join(
                f"`{row['accumulate']}` {_small(difference(unit_rows[0], row))}" for row in unit_rows[1:]
            )
            + "."
            if unit_rows
            else ""
        )


def _differences(compared: Sequence[_Comparison]) -> Iterator[str]:
    """Yield the table of what is compared."""
    if not compared:
        return
    yield "## The differences"
    yield ""
    yield (
        "Differences in perplexity, with intervals of 95 %. Below zero, the first named is better. `~` marks "
        "a difference that cannot be told from zero."
    )
    yield ""
    rows = [
        (one.title, one.model, *one.cells())
        for one in sorted(compared, key=lambda one: (_TITLES.index(one.title), one.model))
    ]
    heads = ("compared", "model", *(f"blocks of {size}" for size in _SIZES))
    yield from markdown_lines(heads, rows, numbers=(False, False, True, True, True))
    yield ""


def _of_fronts(stored: Record, narrow: int, name: str) -> Iterator[str]:
    """Yield which choices are on the front, over all reuses."""
    choices = points(stored, narrow=narrow)
    if not choices:
        return
    found = {reuse: places(choices, reuse) for reuse in REUSES}
    always = [point for k, point in enumerate(choices) if all(at[k] == "front" for at in found.values())]
    always.sort(key=lambda point: point.cost(REUSES[-1]))
    some = {
        point.label: [reuse for reuse, at in found.items() if at[k] == "front"]
        for k, point in enumerate(choices)
        if point not in always and any(at[k] == "front" for at in found.values())
    }
    only = "; ".join(f"*{label}* at R = {', '.join(map(str, at))}" for label, at in some.items())
    counts = sorted({sum(place == "undecided" for place in at) for at in found.values()})
    steps = [
        f"*{point.label}* ({percent(point.loss)[0]:+.0f} %)"
        + ("" if not k or difference(always[k - 1].row, point.row).resolved else " ~")
        for k, point in enumerate(always)
    ]
    yield (
        f"**The front, {name}**, from the cheapest to the best, at every reuse: {', '.join(steps)}"
        + (f"; at some reuses also {only}" if only else "")
        + f". Of {len(choices)} points {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} are "
        "undecided, depending on the reuse. `~`: not surely better than the one before."
    )


def _above(point: Point) -> str:
    mean, low, high = percent(point.loss)
    return f"{mean:+.0f} %, {low:+.0f} to {high:+.0f}"


def _bit(stored: Record) -> str:
    """Return what the exponent bit costs in area, by accumulation."""
    areas = Areas(stored["areas"])
    told = []
    for accumulate in ACCUMULATES:
        pairs = [[areas.dot(scale, size, accumulate) for scale in ("ue4m3", "ue5m3")] for size in _SIZES]
        more = [100 * (b[0] / a[0] - 1) for a, b in pairs if a and b]
        if more:
            told.append(f"{min(more):+.1f} to {max(more):+.1f} % with `{accumulate}`")
    return ", ".join(told)


def _better(stored: Record) -> str:
    """Return how much larger a quantizer is that chooses the better of two scales."""
    areas = Areas(stored["areas"])
    told = []
    for size in _SIZES:
        plain = areas.quantizer("ue4m3", size, "absmax", tensor_scale=False)
        better = areas.quantizer("ue4m3", size, "four_over_six", tensor_scale=False)
        if plain and better:
            told.append(f"{better / plain:.1f} times in blocks of {size}")
    return f"Its quantizer is larger: {', '.join(told)}." if told else ""


def _fronts(stored: Record, narrow: int, name: str) -> Iterator[str]:
    """Yield the front of each reuse, and whether each step along it is sure."""
    choices = points(stored, narrow=narrow)
    if not choices:
        return
    yield f"## The front: model {name}"
    yield ""
    yield (
        "Sums are binary32. Each line is a point on the front, the cheapest first. The last column compares "
        "it with the line above."
    )
    yield ""
    rows = []
    for reuse in REUSES:
        found = zip(choices, places(choices, reuse), strict=True)
        front = sorted((p for p, place in found if place == "front"), key=lambda p: p.cost(reuse))
        for k, point in enumerate(front):
            rows.append(
                (
                    f"R = {reuse}" if k == 0 else "",
                    point.label,
                    f"{point.cost(reuse):.0f}",
                    f"{point.row['perplexity']:.1f}",
                    _above(point),
                    _told(front[k - 1].row, point.row) if k else "",
                )
            )
    heads = (
        "reuse",
        "choice",
        "NAND2 a product",
        "perplexity",
        "above the model's",
        "against the line above",
    )
    yield from markdown_lines(heads, rows, numbers=(False, False, True, True, True, False))
    yield ""


def _areas(stored: Record) -> Iterator[str]:
    areas = Areas(stored["areas"])
    yield "## What the units cost"
    yield ""
    yield (
        "The dot-product units, in NAND2 equivalents for each product, and how many blocks they take a "
        "cycle; for binary32 sums it is the cheaper unit. Several blocks are summed exactly before they are "
        "rounded, which costs more under a scale format of wide range."
    )
    yield ""

    def cell(area: float | None) -> str:
        return "" if area is None else f"{area:.0f}"

    def share(scale: str, size: int, accumulate: str) -> str:
        found = areas.dot(scale, size, accumulate)
        return "" if found is None else f"{found[0]:.1f} ({found[1]})"

    yield from markdown_lines(
        ("scale", "sum", *(f"blocks of {size}" for size in _SIZES)),
        [
            (scale, f"`{accumulate}`", *(share(scale, size, accumulate) for size in _SIZES))
            for accumulate in ACCUMULATES
            for scale in _COLOURS
        ],
        numbers=(False, False, True, True, True),
    )
    yield ""
    yield "Quantizers that take one block a cycle. A product pays for 1/(N R) of one:"
    yield ""
    yield from markdown_lines(
        ("scale", "method", *(f"blocks of {size}" for size in _SIZES)),
        [
            (
                scale,
                f"`{method}`",
                *(cell(areas.quantizer(scale, size, method, tensor_scale=False)) for size in _SIZES),
            )
            for method in ("floor", "absmax", "prevent_zero", "four_over_six")
            for scale in _COLOURS
            if any(areas.quantizer(scale, size, method, tensor_scale=False) for size in _SIZES)
        ],
        numbers=(False, False, True, True, True),
    )
    yield ""


def _perplexities(stored: Record, operands: str, name: str) -> Iterator[str]:
    plain, *others = evaluated(stored)
    rows = [row for row in others if row["operands"] == operands]
    if not rows:
        return
    yield f"## Perplexity: {name}"
    yield ""
    yield f"The model as it is: {plain['perplexity']:.2f}."
    if operands == "weights":
        yield (
            "Activations stay in float32, so no unit computes such products. The figures show the loss by "
            "the weights alone, and there is no accumulation to choose."
        )
    yield ""
    ways = dict.fromkeys(
        (row["narrow"], row["scale"], row["method"], row["activation_method"], row["tensor_scale"])
        for row in rows
    )
    table = []
    for way in sorted(ways, key=lambda way: (way[0], list(_COLOURS).index(way[1]), way[4], str(way[2:4]))):
        narrow, scale, method, activation_method, tensor_scale = way
        cells = []
        for size in _SIZES:
            found = [
                row
                for row in rows
                if row["block_size"] == size
                and way
                == (row["narrow"], row["scale"], row["method"], row["activation_method"], row["tensor_scale"])
            ]
            mean, low, high = percent(difference(plain, found[0])) if found else (0.0, 0.0, 0.0)
            told = f"{found[0]['perplexity']:.2f}: {mean:+.1f} % ({low:+.1f} to {high:+.1f})" if found else ""
            cells.append(told)
        chosen = _chosen(method, activation_method)
        model = "any" if tensor_scale or scale == "ue8m0" else MODELS[narrow]
        table.append((model, scale, f"`{chosen}`{' with a tensor scale' if tensor_scale else ''}", *cells))
    heads = ("model", "scale", "method", *(f"blocks of {size}" for size in _SIZES))
    yield from markdown_lines(heads, table, numbers=(False, False, False, True, True, True))
    yield ""
    yield (
        "*Any*: UE8M0 and a tensor scale take up a power of two whole, so the narrow model gives the same "
        "bits."
    )
    yield ""


def _accumulated(stored: Record) -> Iterator[str]:
    """Yield what the units' own bits make of it."""
    rows = _unit_rows(stored)
    plain = rows[0] if rows else None
    yield "## What the accumulation makes of it"
    yield ""
    yield (
        "The perplexities above are of products in float32 of what the codes are worth. They do not depend "
        "on the accumulation: its choice moves cost alone in the picture."
    )
    if plain is None:
        yield ""
        return
    yield (
        f"To see what that leaves out, the first {plain['tokens']} tokens were evaluated with the bits of "
        f"units ({plain['scale']}, `{plain['method']}`, blocks of {plain['block_size']}, two a cycle), "
        "against the same codes in float32:"
    )
    yield ""
    yield from markdown_lines(
        ("sum", "perplexity", "against float32"),
        [
            (
                f"`{row['accumulate']}`" if row is not plain else "float32",
                f"{exp(sum(row['segments']) / row['scored']):.4f}",
                "" if row is plain else _small(difference(plain, row)),
            )
            for row in rows
        ],
    )
    yield ""


def _unit_rows(stored: Record) -> list[Record]:
    """Return what was evaluated with the bits of units, behind the same codes in float32."""
    longest = max(row["tokens"] for row in stored["ways"])
    rows = [row for row in stored["ways"] if row["tokens"] != longest and row["scale"] is not None]
    return sorted(rows, key=lambda row: row["accumulate"] != "none")


def _small(estimate: Estimate) -> str:
    mean, low, high = percent(estimate)
    if max(abs(low), abs(high)) < _LEAST:
        return f"less than {_LEAST} %"
    return f"{mean:+.3f} % ({low:+.3f} to {high:+.3f})" + ("" if estimate.resolved else " ~")


# The picture.


def draw(stored: Record, path: Path) -> bool:
    """Draw perplexity against cost, a row for each model and a panel for each reuse.

    The same results give the same bytes.

    Args:
        stored: The stored rows.
        path: The SVG file, replaced where there is one.

    Returns:
        Whether there was anything to draw.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    found = {narrow: points(stored, narrow=narrow) for narrow in MODELS}
    models = [narrow for narrow, choices in found.items() if choices]
    if not models:
        return False
    with svg_figure(path, _PANEL[0] * len(REUSES), _PANEL[1] * len(models) + 1.0) as figure:
        grid = figure.subplots(len(models), len(REUSES), sharex="col", sharey="row", squeeze=False)
        legend = [_mark(scale, marker, name) for scale, marker, name in _drawn(found)]
        for narrow, line in zip(models, grid, strict=True):
            for reuse, ax in zip(REUSES, line, strict=True):
                _panel(ax, found[narrow], reuse)
                if narrow == models[0]:
                    ax.set_title(f"R = {reuse}")
            line[0].set_ylabel(f"perplexity above the model's [%]\n{MODELS[narrow]}", fontsize=8)
        figure.supxlabel(
            f"area for each product, with 1/(N R) of a quantizer [NAND2, {LIBRARY}]; "
            "the number at a point is the block size",
            fontsize=9,
        )
        figure.legend(handles=legend, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return True


def _drawn(found: Mapping[int, Sequence[Point]]) -> Iterator[tuple[str, str, str]]:
    """Yield the scale format, the marker and the name of each kind of point, once."""
    kinds = {
        (point.row["scale"], point.row["method"], point.row["activation_method"])
        for choices in found.values()
        for point in choices
    }
    for scale in _COLOURS:
        for (method, activation_method), marker in _MARKERS.items():
            if (scale, method, activation_method) in kinds:
                yield scale, marker, f"{scale} {_chosen(method, activation_method)}"


def _mark(scale: str, marker: str, name: str) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=_COLOURS[scale], marker=marker, markersize=5.5, linestyle="none", label=name)


def _chosen(method: str, activation_method: str | None) -> str:
    """Return a name for how scales of weights and of activations are chosen."""
    return method if activation_method in (None, method) else f"{method} / {activation_method}"


def _panel(ax: "Axes", choices: Sequence[Point], reuse: int) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    found = places(choices, reuse)
    front = sorted(
        ((point.cost(reuse), percent(point.loss)[0]) for point, place in zip(choices, found, strict=True)
         if place == "front")
    )  # fmt: skip
    ax.step(*zip(*front, strict=True), where="post", color="0.45", linewidth=1.0, zorder=1)
    for point, place in zip(choices, found, strict=True):
        row = point.row
        mean, low, high = percent(point.loss)
        colour = _COLOURS[row["scale"]]
        ax.errorbar(
            [point.cost(reuse)],
            [mean],
            yerr=[[mean - low], [high - mean]],
            color=colour,
            marker=_MARKERS[row["method"], row["activation_method"]],
            markersize=5.5,
            markerfacecolor=colour if place == "front" else "none",
            alpha=0.35 if place == "beaten" else 1.0,
            linestyle="none",
            elinewidth=0.7,
            zorder=2,
        )
        ax.annotate(
            str(row["block_size"]), (point.cost(reuse), mean), xytext=(4, 3), textcoords="offset points",
            fontsize=6, color=colour, alpha=0.5 if place == "beaten" else 1.0,
        )  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(visible=True, which="both", color="0.9", linewidth=0.6)
    ax.margins(x=0.12, y=0.08)
