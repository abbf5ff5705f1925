"""What wins where, and how sure that is, in words: the lines at the top of the page."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from ..library_names import short_library_name
from ..quantizer_cost.page import REUSES
from ..records import StoredRecord
from .comparisons import (
    BIT_AT_ABSMAX,
    BOTH_OPERANDS,
    LINES,
    NAMES,
    TENSOR,
    WEIGHTS,
    WayComparison,
    told_small_difference,
)
from .fronts import priced_kinds, reuses_on_front
from .points import (
    COSTS,
    LIBRARY,
    QUALITY_ACCUMULATES,
    QUALITY_SCALES,
    SIZES,
    Areas,
    UnitCosts,
    cost_unit,
    front_places,
    paired_difference,
    percent,
    points,
    unit_rows,
)

__all__ = ["findings"]


def findings(stored: StoredRecord, compared: Sequence[WayComparison]) -> Iterator[str]:
    """Yield what wins where, and how sure that is; what was not evaluated is left out."""
    more = {
        BIT_AT_ABSMAX: f" The bit's area: {_bit(stored)}.{_energy_of_bit(stored)}",
        WEIGHTS: " That costs no area: weights are quantized by software.",
        BOTH_OPERANDS: f" {_better(stored)}",
        TENSOR: " It needs a second pass over the activations, whose cost is not measured here.",
    }
    for titles in LINES:
        told = []
        for title in titles:
            verdicts = [f"*{one.verdict()}*" for one in compared if one.title == title]
            if verdicts:
                heading = f"**{title[0].upper()}{title[1:]}.**"
                told.append(f"{heading} {'. '.join(verdicts)}.{more.get(title, '')}".rstrip())
        if told:
            yield " ".join(told)
    yield from _of_exact_sums(stored)
    for narrow, name in NAMES.items():
        yield from _of_fronts(stored, narrow, name)
    yield from _of_other_costs(stored)
    pairs = [
        paired_difference(a.row, b.row)
        for narrow in NAMES
        for a, b in combinations(points(stored, narrow=narrow), 2)
    ]
    if pairs:
        open_pairs = sum(not pair.resolved for pair in pairs)
        yield (
            f"**How sure.** Of {len(pairs)} pairs of points in one row of pictures, {open_pairs} cannot be "
            "told apart on this text. It is one model, at two widths, and one text. The widths of a model "
            "decide what the exponent bit is worth."
        )


def _of_exact_sums(stored: StoredRecord) -> Iterator[str]:
    """Yield what exact sums cost, and what the units' bits make of perplexity."""
    areas, rows = Areas(stored["areas"]), unit_rows(stored)
    told = []
    for scale in QUALITY_SCALES:
        pairs = [[areas.single(scale, size, kind) for kind in ("fp32", "exact")] for size in SIZES]
        more = [100 * (exact / rounded - 1) for rounded, exact in pairs if rounded and exact]
        if more:
            told.append(f"{min(more):+.1f} to {max(more):+.1f} % under {scale}")
    if told:
        yield f"**Exact sums** against binary32, in area of the unit of one block: {', '.join(told)}." + (
            " Their effect on perplexity, and that of other sums, on a short text: "
            + ", ".join(
                f"`{row['accumulate']}` {told_small_difference(paired_difference(rows[0], row))}"
                for row in rows[1:]
            )
            + "."
            if rows
            else ""
        )


def _of_fronts(stored: StoredRecord, narrow: int, name: str) -> Iterator[str]:
    """Yield which choices are on the front, over all reuses."""
    choices = points(stored, narrow=narrow)
    if not choices:
        return
    found = {reuse: front_places(choices, reuse) for reuse in REUSES}
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
        + ("" if not k or paired_difference(always[k - 1].row, point.row).resolved else " ~")
        for k, point in enumerate(always)
    ]
    yield (
        f"**The front, {name}**, from the cheapest to the best, at every reuse: {', '.join(steps)}"
        + (f"; at some reuses also {only}" if only else "")
        + f". Of {len(choices)} points {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} are "
        "undecided, depending on the reuse. `~`: not surely better than the one before."
    )


def _of_other_costs(stored: StoredRecord) -> Iterator[str]:
    """Yield what another library, and energy instead of area, change in the fronts."""
    base, *others = priced_kinds(stored)
    if not others:
        return
    fronts = {
        kind: {narrow: reuses_on_front(stored, narrow, *kind) for narrow in NAMES} for kind in (base, *others)
    }
    places = {
        kind: {
            (narrow, label, reuse)
            for narrow, front in found.items()
            for label, reuses in front.items()
            for reuse in reuses
        }
        for kind, found in fronts.items()
    }
    told = [
        f"{short_library_name(library)}, {COSTS[cost]}: {len(places[base] & places[library, cost])} stay and "
        f"{len(places[library, cost] - places[base])} others come"
        for library, cost in others
    ]
    everywhere = set.intersection(*places.values())
    always = {
        narrow: [label for label in front if all((narrow, label, reuse) in everywhere for reuse in REUSES)]
        for narrow, front in fronts[base].items()
        if front
    }
    names = "; ".join(
        f"{NAMES[narrow]}: {', '.join(f'*{label}*' for label in labels) or 'none'}"
        for narrow, labels in always.items()
    )
    yield (
        f"**Another library, and energy.** The fronts of both models at the {len(REUSES)} reuses have "
        f"{len(places[base])} places, by {COSTS[base[1]]} in {base[0]}. {'; '.join(told)}. On every front, "
        f"at every reuse: {names}."
    )


def _energy_of_bit(stored: StoredRecord) -> str:
    """Return what the exponent bit costs in energy, with binary32 sums; nothing where none was measured."""
    if not cost_unit(stored, LIBRARY, "energy"):
        return ""
    costs = UnitCosts(stored, LIBRARY, "energy")
    pairs = [[costs.dot(scale, size, "fp32") for scale in ("ue4m3", "ue5m3")] for size in SIZES]
    more = [100 * (b / a - 1) for a, b in pairs if a and b]
    return f" Its energy with `fp32`: {min(more):+.1f} to {max(more):+.1f} %." if more else ""


def _bit(stored: StoredRecord) -> str:
    """Return what the exponent bit costs in area, by accumulation."""
    areas = Areas(stored["areas"])
    told = []
    for accumulate in QUALITY_ACCUMULATES:
        pairs = [[areas.dot(scale, size, accumulate) for scale in ("ue4m3", "ue5m3")] for size in SIZES]
        more = [100 * (b[0] / a[0] - 1) for a, b in pairs if a and b]
        if more:
            told.append(f"{min(more):+.1f} to {max(more):+.1f} % with `{accumulate}`")
    return ", ".join(told)


def _better(stored: StoredRecord) -> str:
    """Return how much larger a quantizer is that chooses the better of two scales."""
    areas = Areas(stored["areas"])
    told = []
    for size in SIZES:
        plain = areas.quantizer("ue4m3", size, "absmax", tensor_scale=False)
        better = areas.quantizer("ue4m3", size, "four_over_six", tensor_scale=False)
        if plain and better:
            told.append(f"{better / plain:.1f} times in blocks of {size}")
    return f"Its quantizer is larger: {', '.join(told)}." if told else ""
