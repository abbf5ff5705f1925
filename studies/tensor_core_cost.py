"""What the units of published tensor cores cost, for each product of a step, beside those of this project.

`studies.tensor_core_error` measures and writes it: a unit is priced as a row of the ledger is.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.jobs import Progress
from blockdot.lab.reports.records import markdown_lines
from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS

from .different_presets import different_presets
from .ledger import LedgerRow, measure_ledger
from .pictures import svg_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "EMULATED",
    "OURS",
    "TensorCoreCost",
    "cost_lines",
    "draw_costs",
    "mark_errors",
    "measure_cost",
    "priced_units",
]

OURS: Final = {
    "fp32 unit, nvfp4": DotSpec(scale="ue4m3", accumulate="fp32"),
    "exact unit, nvfp4": DotSpec(scale="ue4m3", accumulate="exact"),
}
"""Units of this project beside those of machines, by what they are called there."""

EMULATED: Final = {
    f"gfx1250 emulator, mx-{element}": DotSpec(
        element=element, scale="ue8m0", block_size=32, accumulate="chain"
    )
    for element in ("e4m3", "e5m2", "e2m1")
}
"""The order of an emulator of AMD's gfx1250, by what it is called there."""

_LINE: Final = 100
# Half of a point's size, in pixels, with what is to be free around it.
_DOT: Final = 4
# Where a name may stand: to the right or to the left of its point, and so many points above it. Where none is
# free, the last is taken.
_PLACES: Final = [(side, up) for up in (0, 8, -8, 16, -16, 24, -24, 32, -32) for side in (1, -1)] + [(1, 3)]
_COLOURS: Final = {"16 bits": "tab:blue", "8 bits": "tab:red", "fewer": "tab:green"}


@dataclass(frozen=True)
class TensorCoreCost:
    """What a unit of one stage costs on the built-in library.

    Attributes:
        name: The preset, or what a unit of this project is called.
        spec: Its specification's name.
        products: Products that it adds in a cycle.
        area: NAND2 equivalents, of the form for area.
        period: The clock period in FO4, of the form for delay.
    """

    name: str
    spec: str
    products: int
    area: float
    period: float

    @property
    def each(self) -> float:
        """The area for each product."""
        return self.area / self.products


def priced_units() -> dict[str, DotSpec]:
    """Return what is priced: each different preset once, by its first name, `EMULATED` and `OURS`."""
    return different_presets() | EMULATED | OURS


def measure_cost(name: str, *, cache: Path | None = None, progress: Progress | None = None) -> TensorCoreCost:
    """Price a unit as a row of the ledger is priced: one netlist in each form.

    Args:
        name: One of `priced_units`.
        cache: Where results of synthesis are kept; None for nowhere.
        progress: Called after each netlist.

    Raises:
        ValueError: If there is none of that name.
        SynthesisError: If it cannot be synthesized.
    """
    units = priced_units()
    if name not in units:
        raise ValueError(f"unit must be one of {', '.join(units)}, not {name!r}")
    spec = units[name]
    row = LedgerRow(name, UnitConfig(spec, stages=1))
    cost = measure_ledger([row], cache=cache, workers=1, progress=progress)[name]
    return TensorCoreCost(name, spec.name, spec.blocks * spec.block_size, cost.area, cost.delay)


def cost_lines(costs: Sequence[TensorCoreCost], errors: Mapping[str, float], picture: str) -> list[str]:
    """Return the part of the page that tells costs.

    Args:
        costs: The costs.
        errors: The error of each that has one, by its name.
        picture: File name of the picture.
    """
    heads = ["unit", "products in a step", "area", "area for each product", "period", "error"]
    table = [
        [
            f"`{cost.name}`" if cost.name in PRESETS else cost.name,
            str(cost.products),
            f"{cost.area:.0f}",
            f"{cost.each:.0f}",
            f"{cost.period:.1f}",
            _told(errors.get(cost.name)),
        ]
        for cost in costs
    ]
    missing = [name for name in priced_units() if name not in {cost.name for cost in costs}]
    lines = [
        "## What each generation's accumulator costs, and how far it is from exact",
        "",
        f"![Area for each product against the error]({picture})",
        "",
        *_comparisons({cost.name: cost for cost in costs}),
        "",
        *markdown_lines(heads, table),
        "",
        "Each is [a unit of one stage](hardware.md#the-steps): products, sum and accumulator.",
        "",
        "- **area**: of the form for area, in NAND2 equivalents.",
        "- **period**: the clock period of the form for delay, in FO4. Both are of one netlist on the",
        "  built-in library, gates alone, as in [the ledger](ledger.md).",
        "- **error**: that of the table above, at the longer K; `-` where it is not measured.",
        "",
    ]
    if missing:
        names = "; ".join(f"`{name}`" if name in PRESETS else name for name in missing)
        count = f"{len(missing)} units are" if len(missing) > 1 else "1 unit is"
        told = f"{count} not priced yet: {names}."
        if any(name in missing for name in EMULATED):
            told += (
                " In the form for area 32 additions in a row can have more levels of gates than the 4094 "
                "that abc's `amap` takes."
            )
        lines += [*textwrap.wrap(told, _LINE, break_on_hyphens=False), ""]
    return [*lines, "`python -m studies.tensor_core_error --cost NAME...` measures costs.", ""]


def _told(error: float | None) -> str:
    if error is None:
        return "-"
    return f"{error:.1e}" if error else "0"


def _comparisons(costs: Mapping[str, TensorCoreCost]) -> list[str]:
    """Return what the figures say, as far as there are some."""
    found: list[str] = []

    def compared(one: str, other: str, what: str) -> None:
        if one in costs and other in costs:
            a, b = costs[one], costs[other]
            figures = f"{b.each:.0f} NAND2 for each product instead of {a.each:.0f}"
            told = f"- {what}: {figures}, {b.each / a.each:.2f} times."
            found.extend(textwrap.wrap(told, _LINE, subsequent_indent="  "))

    compared("hopper-e4m3", "blackwell-e4m3", "Of E4M3, 25 bits behind the point instead of 13")
    compared("hopper-e4m3", "hopper-fp16", "On Hopper, FP16 instead of E4M3")
    compared("volta-fp16", "hopper-fp16", "Of FP16, 16 products in a step instead of 4")
    compared(
        "blackwell-e2m1",
        "blackwell-nvfp4",
        "Of E2M1, sums of 16 products shifted as one instead of each product",
    )
    compared(
        "exact unit, nvfp4",
        "blackwell-nvfp4",
        "Of NVFP4, Blackwell's step instead of an exact accumulator for 16",
    )
    compared(
        "blackwell-mx-e4m3",
        "gfx1250 emulator, mx-e4m3",
        "Of E4M3 in blocks of 32, binary32 sums of one product after the other instead of Blackwell's step",
    )
    compared(
        "blackwell-mx-e2m1",
        "gfx1250 emulator, mx-e2m1",
        "The same of E2M1, where binary32 holds every sum",
    )
    compared(
        "fp32 unit, nvfp4",
        "exact unit, nvfp4",
        "Of NVFP4, 16 products, an exact accumulator instead of binary32",
    )
    return found


def draw_costs(
    path: Path, costs: Sequence[TensorCoreCost], errors: Mapping[str, float], least: float
) -> None:
    """Draw the area for each product against the error, as SVG, both logarithmic.

    Args:
        path: The file.
        costs: The costs.
        errors: The error of each that is drawn, by its name.
        least: Where those stand that are exact.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    drawn = sorted((cost for cost in costs if cost.name in errors), key=lambda cost: cost.each)
    with svg_figure(path, 7.5, 5.0) as figure:
        axes = figure.add_subplot()
        for label, colour in _COLOURS.items():
            points = [cost for cost in drawn if _width(cost) == label]
            if points:
                axes.plot(
                    [max(errors[cost.name], least) for cost in points],
                    [cost.each for cost in points],
                    "o",
                    color=colour,
                    label=f"elements of {label}" if label != "fewer" else "elements of fewer bits",
                )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:.0f}")
        axes.yaxis.set_minor_formatter("{x:.0f}")
        axes.margins(y=0.15)
        axes.grid(alpha=0.3)
        mark_errors(axes, least)
        axes.set_ylabel("area for each product, NAND2 equivalents")
        axes.legend()
        _put_names(figure, axes, {cost.name: (max(errors[cost.name], least), cost.each) for cost in drawn})


def _put_names(figure: "Figure", axes: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    """Put names beside points, each where it covers no other point or name, if there is such a place."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    legend = axes.get_legend()
    taken = [] if legend is None else [legend.get_window_extent()]
    for x, y in axes.transData.transform(list(points.values())):
        taken.append(Bbox.from_bounds(x - _DOT, y - _DOT, 2 * _DOT, 2 * _DOT))
    for name, point in points.items():
        for side, up in _PLACES:
            label = axes.annotate(
                name,
                point,
                xytext=(6 * side, up),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=8,
            )
            box = label.get_window_extent()
            free = not any(box.overlaps(other) for other in taken)
            inside = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1
            if (free and inside) or (side, up) == _PLACES[-1]:
                taken.append(box)
                break
            label.remove()


def mark_errors(axes: "Axes", least: float) -> None:
    """Make the horizontal axis that of errors, from what is exact on.

    Args:
        axes: The axes.
        least: Where those stand that are exact.
    """
    from matplotlib.ticker import NullLocator

    powers = range(round(math.log10(least)) + 1, -2)
    axes.set_xscale("log")
    axes.set_xlim(least / 2, 0.03)
    axes.set_xticks(
        [least, *(10.0**power for power in powers)],
        ["exact", *(f"$\\mathdefault{{10^{{{power}}}}}$" for power in powers)],
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("error of the sums")


def _width(cost: TensorCoreCost) -> str:
    bits = DotSpec.parse(cost.spec).elements[0].bits
    return "16 bits" if bits >= 16 else "8 bits" if bits == 8 else "fewer"
