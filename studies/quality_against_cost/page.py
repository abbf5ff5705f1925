"""The page of quality against cost, made of stored rows."""

from collections.abc import Iterator, Sequence
from math import exp
from typing import Final

from blockdot.lab.reports.records import markdown_lines

from ..library_names import short_library_name
from ..quantizer_cost.page import REUSES
from ..records import StoredRecord
from .comparisons import TITLES, WayComparison, comparisons, told_difference, told_small_difference
from .findings import findings
from .front_page import FRONT_PAGE
from .fronts import priced_kinds, reuses_on_front
from .picture import PICTURE
from .points import (
    COSTS,
    LIBRARY,
    MODELS,
    NARROW_POWER,
    PRODUCTS,
    QUALITY_ACCUMULATES,
    QUALITY_SCALES,
    SIZES,
    Areas,
    Cost,
    Point,
    UnitCosts,
    cost_unit,
    evaluated,
    front_places,
    methods_text,
    paired_difference,
    percent,
    points,
    unit_rows,
)

__all__ = ["PAGE", "page_text"]

PAGE: Final = "quality-against-cost.md"


def page_text(stored: StoredRecord) -> str:
    """Return the page, as Markdown.

    Raises:
        ValueError: If nothing was evaluated.
    """
    if not stored["ways"]:
        raise ValueError("ways must be evaluated before the page is written, not be missing")
    return "\n".join(_lines(stored)) + "\n"


def _lines(stored: StoredRecord) -> Iterator[str]:
    plain = evaluated(stored)[0]
    yield "# Quality against cost"
    yield ""
    yield f"![Perplexity against area for each product, for four reuses of a quantized block]({PICTURE})"
    yield ""
    yield (
        "[The same picture at any reuse, model width and kind of sum, for each library, by area or by "
        f"energy]({FRONT_PAGE}): a page that finds the front again at each choice, by the same rule, and "
        "needs no network."
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
    compared = comparisons(stored)
    for number, line in enumerate(findings(stored, compared), 1):
        yield f"{number}. {line}"
    yield ""
    yield from _compared(stored, plain)
    yield from _differences(compared)
    for narrow, name in MODELS.items():
        yield from _fronts(stored, narrow, name)
    yield from _other_costs(stored)
    yield from _areas(stored)
    for library, cost in priced_kinds(stored)[1:]:
        yield from _costs(stored, library, cost)
    for operands, name in (("both", "weights and activations"), ("weights", "weights alone")):
        yield from _perplexities(stored, operands, name)
    yield from _accumulated(stored)
    yield (
        "`make quality-against-cost` writes this page from `studies/quality_against_cost/results.jsonl`, and "
        "`make quality-against-cost-measure` measures what is not there."
    )


def _compared(stored: StoredRecord, plain: StoredRecord) -> Iterator[str]:
    """Yield what quality, cost and the front are."""
    yield "## What is compared"
    yield ""
    yield (
        f"- **Quality** is the perplexity of a text above that of the model as it is: {stored['model']}, "
        f"{plain['scored']} scored tokens of the {stored['text']}. Intervals of 95 % are a bootstrap's over "
        f"{len(plain['segments'])} segments of the text, paired. **The model's weights were 4-bit already** "
        "(Q4_1): the losses of a model in 16 bits would differ. The second row of pictures is the same model "
        f"with matrices {2**NARROW_POWER} times narrower, as other models have them: "
        f"`--narrow {NARROW_POWER}` divides them before they are quantized, "
        "and multiplies their products again."
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


def _unpriced(stored: StoredRecord) -> str:
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


def _spread(stored: StoredRecord) -> str:
    wide = [row["most"] / row["least"] - 1 for row in stored["areas"] if "least" in row]
    return f"at most {100 * max(wide, default=0.0):.1f}"


def _differences(compared: Sequence[WayComparison]) -> Iterator[str]:
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
        for one in sorted(compared, key=lambda one: (TITLES.index(one.title), one.model))
    ]
    heads = ("compared", "model", *(f"blocks of {size}" for size in SIZES))
    yield from markdown_lines(heads, rows, numbers=(False, False, True, True, True))
    yield ""


def _above(point: Point) -> str:
    mean, low, high = percent(point.loss)
    return f"{mean:+.0f} %, {low:+.0f} to {high:+.0f}"


def _fronts(stored: StoredRecord, narrow: int, name: str) -> Iterator[str]:
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
        found = zip(choices, front_places(choices, reuse), strict=True)
        front = sorted((p for p, place in found if place == "front"), key=lambda p: p.cost(reuse))
        for k, point in enumerate(front):
            rows.append(
                (
                    f"R = {reuse}" if k == 0 else "",
                    point.label,
                    f"{point.cost(reuse):.0f}",
                    f"{point.row['perplexity']:.1f}",
                    _above(point),
                    told_difference(front[k - 1].row, point.row) if k else "",
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


def _other_costs(stored: StoredRecord) -> Iterator[str]:
    """Yield at which reuses each choice is on the front, by library and by what is charged for."""
    kinds = priced_kinds(stored)
    if len(kinds) == 1:
        return
    energy = (
        " **Energy** is the switching energy of gates without wires ([how it is found](pricing.md#energy)): "
        "of a dot-product unit on a real weight matrix against real activations, of a quantizer on these "
        "activations, row by row. Units of one stage have long paths, and most of their energy is glitches: "
        "a unit with more registers takes less. So the energy without glitches stands beside it."
        if any(cost != "area" for _, cost in kinds)
        else ""
    )
    yield "## Other libraries, and energy"
    yield ""
    yield (
        "At which reuses a choice is on the front, with binary32 sums. *All*: at each of "
        f"{', '.join(map(str, REUSES))}. The units are those of the least area.{energy}"
    )
    yield ""
    heads = ("model", "choice", *(f"{short_library_name(library)}, {COSTS[cost]}" for library, cost in kinds))
    rows: list[tuple[str, ...]] = []
    for narrow, name in MODELS.items():
        found = [reuses_on_front(stored, narrow, *kind) for kind in kinds]
        rows += [
            (name, label, *(_reuses_text(one.get(label, [])) for one in found))
            for label in dict.fromkeys(label for one in found for label in one)
        ]
    yield from markdown_lines(heads, rows, numbers=(False,) * len(heads))
    yield ""


def _reuses_text(reuses: Sequence[int]) -> str:
    return "all" if tuple(reuses) == tuple(REUSES) else ", ".join(map(str, reuses))


def _costs(stored: StoredRecord, library: str, cost: Cost) -> Iterator[str]:
    """Yield what units and quantizers cost of one kind, in one library."""
    costs = UnitCosts(stored, library, cost)
    unit = cost_unit(stored, library, cost)
    yield f"### {short_library_name(library)}: {COSTS[cost]}"
    yield ""
    yield f"Dot-product units in {unit} for each product, and quantizers in {unit} for each block:"
    yield ""

    def cell(figure: float | None) -> str:
        return "" if figure is None else f"{figure:.0f}"

    rows: list[tuple[str, ...]] = [
        (scale, f"`{accumulate}`", *(cell(costs.dot(scale, size, accumulate)) for size in SIZES))
        for accumulate in QUALITY_ACCUMULATES
        for scale in QUALITY_SCALES
    ]
    for method in ("floor", "absmax", "prevent_zero", "four_over_six"):
        for scale in QUALITY_SCALES:
            figures = [costs.quantizer(way) for way in _of_sizes(scale, method)]
            if any(figure is not None for figure in figures):
                rows.append((scale, f"quantizer `{method}`", *map(cell, figures)))
    heads = ("scale", "unit", *(f"blocks of {size}" for size in SIZES))
    yield from markdown_lines(heads, rows, numbers=(False, False, True, True, True))
    yield ""


def _of_sizes(scale: str, method: str) -> list[StoredRecord]:
    """Return a way of each block size."""
    return [
        {"scale": scale, "block_size": size, "method": method, "activation_method": method}
        | {"tensor_scale": False}
        for size in SIZES
    ]


def _areas(stored: StoredRecord) -> Iterator[str]:
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
        ("scale", "sum", *(f"blocks of {size}" for size in SIZES)),
        [
            (scale, f"`{accumulate}`", *(share(scale, size, accumulate) for size in SIZES))
            for accumulate in QUALITY_ACCUMULATES
            for scale in QUALITY_SCALES
        ],
        numbers=(False, False, True, True, True),
    )
    yield ""
    yield "Quantizers that take one block a cycle. A product pays for 1/(N R) of one:"
    yield ""
    yield from markdown_lines(
        ("scale", "method", *(f"blocks of {size}" for size in SIZES)),
        [
            (
                scale,
                f"`{method}`",
                *(cell(areas.quantizer(scale, size, method, tensor_scale=False)) for size in SIZES),
            )
            for method in ("floor", "absmax", "prevent_zero", "four_over_six")
            for scale in QUALITY_SCALES
            if any(areas.quantizer(scale, size, method, tensor_scale=False) for size in SIZES)
        ],
        numbers=(False, False, True, True, True),
    )
    yield ""


def _perplexities(stored: StoredRecord, operands: str, name: str) -> Iterator[str]:
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
    for way in sorted(ways, key=lambda way: (way[0], QUALITY_SCALES.index(way[1]), way[4], str(way[2:4]))):
        narrow, scale, method, activation_method, tensor_scale = way
        cells = []
        for size in SIZES:
            found = [
                row
                for row in rows
                if row["block_size"] == size
                and way
                == (row["narrow"], row["scale"], row["method"], row["activation_method"], row["tensor_scale"])
            ]
            mean, low, high = percent(paired_difference(plain, found[0])) if found else (0.0, 0.0, 0.0)
            told = f"{found[0]['perplexity']:.2f}: {mean:+.1f} % ({low:+.1f} to {high:+.1f})" if found else ""
            cells.append(told)
        chosen = methods_text(method, activation_method)
        model = "any" if tensor_scale or scale == "ue8m0" else MODELS[narrow]
        table.append((model, scale, f"`{chosen}`{' with a tensor scale' if tensor_scale else ''}", *cells))
    heads = ("model", "scale", "method", *(f"blocks of {size}" for size in SIZES))
    yield from markdown_lines(heads, table, numbers=(False, False, False, True, True, True))
    yield ""
    yield (
        "*Any*: UE8M0 and a tensor scale take up a power of two whole, so the narrow model gives the same "
        "bits."
    )
    yield ""


def _accumulated(stored: StoredRecord) -> Iterator[str]:
    """Yield what the units' own bits make of it."""
    rows = unit_rows(stored)
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
                "" if row is plain else told_small_difference(paired_difference(plain, row)),
            )
            for row in rows
        ],
    )
    yield ""
