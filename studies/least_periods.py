"""How short the clock period of each accumulation can be made by more registers, and what that costs.

``python -m studies.least_periods`` measures units of every number of stages in the form for delay, and
writes the page; ``--write`` writes it of what is kept. A unit is priced as a row of the ledger is: one
netlist, on the built-in library, gates alone. ``--library`` measures on another one.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.hw import DotUnit
from blockdot.hw.config import UnitConfig
from blockdot.hw.pipeline import run_length, runs
from blockdot.lab.cost.jobs import measure_all
from blockdot.lab.cost.measurement_job import MeasurementJob
from blockdot.lab.reports.records import markdown_lines
from blockdot.model import DotSpec
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.liberty import Library
from blockdot.synth.recipes import choose

from .commands import exit_code_of, progress_bars
from .pictures import svg_figure
from .records import read_stored, write_stored

__all__ = [
    "BUILT_IN",
    "UNITS",
    "StagedCost",
    "best_of",
    "draw_periods",
    "longest_run",
    "main",
    "measure_stages",
    "page_text",
]

STORED: Final = Path(__file__).resolve().with_name("least_periods.jsonl")
WRITTEN: Final = Path(__file__).resolve().parents[1] / "docs"
PAGE: Final = "least-periods.md"
PICTURE: Final = "least-periods.svg"
CACHE: Final = Path("build/synthesis")

UNITS: Final = {
    "none": DotSpec(scale="ue5m3"),
    "fp32": DotSpec(scale="ue5m3", accumulate="fp32"),
    "exact": DotSpec(scale="ue5m3", accumulate="exact"),
    "aligned": DotSpec(scale="ue5m3", accumulate="aligned"),
    "aligned, UE8M0": DotSpec(scale="ue8m0", accumulate="aligned"),
    "chain, UE8M0": DotSpec(scale="ue8m0", accumulate="chain"),
    "blackwell-nvfp4": DotSpec.preset("blackwell-nvfp4"),
    "hopper-e4m3": DotSpec.preset("hopper-e4m3"),
}
"""What is measured, by what the page calls it."""

BUILT_IN: Final = "neutral"
"""The name of the built-in library."""

_RECIPE: Final = "d1"
# Periods that differ by less are one: abc's results scatter by as much.
_SAME: Final = 1.02


@dataclass(frozen=True)
class StagedCost:
    """What a unit costs with so many registers, in the form for delay.

    Attributes:
        name: One of `UNITS`.
        stages: Registers from input to output.
        period: The clock period.
        area: In NAND2 equivalents.
        flip_flops: How many there are.
        library: The name of the library.
        delay_unit: The unit of the period.
    """

    name: str
    stages: int
    period: float
    area: float
    flip_flops: int
    library: str = BUILT_IN
    delay_unit: str = "FO4"

    @property
    def told(self) -> str:
        """The period, without digits that are scatter."""
        return f"{self.period:.{1 if self.delay_unit == 'FO4' else 2}f}"


def _config(name: str, stages: int) -> UnitConfig:
    return UnitConfig(UNITS[name], stages=stages, optimise="delay")


def _require_unit(name: str) -> None:
    if name not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {name!r}")


def measure_stages(name: str, library: Library, *, cache: Path | None = None) -> list[StagedCost]:
    """Measure a unit with every number of registers, from one on.

    Args:
        name: One of `UNITS`.
        library: What it is mapped to.
        cache: Where results of synthesis are kept; None for nowhere.

    Raises:
        SynthesisError: If it cannot be synthesized.
        ValueError: If there is none of that name.
    """
    _require_unit(name)
    every = range(1, _config(name, 1).max_stages + 1)
    jobs = [MeasurementJob(_config(name, stages), 0, tuple(choose((_RECIPE,)))) for stages in every]
    costs: list[StagedCost] = []
    for stages, sample in zip(every, measure_all(jobs, library, cache=cache, workers=1), strict=True):
        (point,) = sample.points
        costs.append(
            StagedCost(
                name,
                stages,
                round(point.period, library.delay.digits),
                round(library.nand2_equivalents(point.area), 1),
                point.flip_flops,
                library.name,
                library.delay_unit,
            )
        )
    return costs


def best_of(costs: Sequence[StagedCost]) -> StagedCost:
    """Return the unit of the fewest registers whose period is the least, but for what is scatter."""
    least = min(cost.period for cost in costs)
    return min((cost for cost in costs if cost.period <= least * _SAME), key=lambda cost: cost.stages)


def longest_run(config: UnitConfig) -> tuple[str, ...]:
    """Return the steps between two registers that are estimated to take longest."""
    unit = DotUnit.of(config)
    steps = unit.datapath.steps
    cuts = [k for k, step in enumerate(steps) if step.name in unit.registers_after]
    return tuple(step.name for step in max(runs(steps, cuts), key=run_length))


def _limit(cost: StagedCost) -> str:
    return ", ".join(f"`{step}`" for step in longest_run(_config(cost.name, cost.stages)))


def _summary(costs: Sequence[StagedCost]) -> list[str]:
    """Return the table of the least period of each unit on one library."""
    table: list[list[str]] = []
    for name in UNITS:
        found = [cost for cost in costs if cost.name == name]
        if not found:
            continue
        one, best = found[0], best_of(found)
        table.append(
            [
                name,
                one.told,
                best.told,
                str(best.stages),
                f"{best.area:.0f}",
                f"{best.area / one.area - 1:+.0%}",
                f"{best.flip_flops}",
                f"{best.flip_flops - one.flip_flops:+d}",
                _limit(best),
            ]
        )
    heads = ["unit", "1 stage", "least", "stages", "area", "", "flip-flops", "", "longest run"]
    return list(markdown_lines(heads, table))


def _every(costs: Sequence[StagedCost]) -> list[str]:
    """Return the table of every number of stages on one library."""
    table = [
        [
            cost.name,
            str(cost.stages),
            cost.told,
            f"{cost.area:.0f}",
            f"{cost.flip_flops}",
            _limit(cost),
        ]
        for cost in costs
    ]
    return list(markdown_lines(["unit", "stages", "period", "area", "flip-flops", "longest run"], table))


def _on(library: str, costs: Sequence[StagedCost]) -> list[str]:
    """Return the part of a library that is not the built-in one."""
    return [
        f"## On {library}",
        "",
        f"Periods are in {costs[0].delay_unit}.",
        "",
        *_summary(costs),
        "",
        *_every(costs),
        "",
    ]


def page_text(costs: Sequence[StagedCost]) -> str:
    """Return the page."""
    here = [cost for cost in costs if cost.library == BUILT_IN]
    others: dict[str, list[StagedCost]] = {}
    for cost in costs:
        if cost.library != BUILT_IN:
            others.setdefault(cost.library, []).append(cost)
    named = {cost.name for cost in costs}
    specs = ", ".join(f"{name}: `{spec.name}`" for name, spec in UNITS.items() if name in named)
    lines = [
        "# The least period of each accumulation",
        "",
        f"![Clock period by stages]({PICTURE})",
        "",
        "A register more shortens the period as long as it cuts the longest run of gates. A loop cannot be",
        "cut: a sum must be there before the next group is added to it. This page says how short the period",
        "of each unit can be made, and what that costs against one stage.",
        "",
        *_summary(here),
        "",
        "- **1 stage**, **least**: the clock period in FO4, of the form for delay.",
        "- **stages**: the fewest registers whose period is within 2 % of the shortest.",
        "- **area**: in NAND2 equivalents, and against one stage. **flip-flops**: likewise.",
        "- **longest run**: the steps between two registers that are [estimated](hardware.md#the-steps) to",
        "  take longest. Where it is `accumulate` alone, the loop is the limit.",
        "",
        "## Every number of stages",
        "",
        *_every(here),
        "",
        *(line for library, found in others.items() for line in _on(library, found)),
        "## How they are measured",
        "",
        f"The units are {specs}.",
        "",
        "All are of one netlist, gates alone, on the built-in library unless another is named, as in",
        "[the ledger](ledger.md). `python -m studies.least_periods` measures them and writes this page;",
        "`--library FILE,FILE...` measures on another library.",
        "",
    ]
    return "\n".join(lines)


def draw_periods(path: Path, costs: Sequence[StagedCost]) -> None:
    """Draw periods by stages, as SVG.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    with svg_figure(path, 7.5, 4.5) as figure:
        axes = figure.add_subplot()
        for name in UNITS:
            points = [
                (cost.stages, cost.period) for cost in costs if (cost.name, cost.library) == (name, BUILT_IN)
            ]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", label=name, markersize=4)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.set_xlabel("stages")
        axes.set_ylabel("clock period, FO4")
        axes.legend()


def _stored() -> list[dict[str, Any]]:
    return read_stored(STORED)["costs"] if STORED.exists() else []


def _write() -> None:
    costs = [StagedCost(**record) for record in _stored()]
    if not costs:
        raise ValueError("periods must be measured before the page is written")
    draw_periods(WRITTEN / PICTURE, costs)
    write_whole(WRITTEN / PAGE, page_text(costs))


def _measure(names: Sequence[str], library_name: str) -> None:
    chosen = list(names) or list(UNITS)
    for name in chosen:
        _require_unit(name)
    library = find_library(library_name)
    with progress_bars() as bar:
        told = bar("synthesizing")
        for done, name in enumerate(chosen, 1):
            found = measure_stages(name, library, cache=CACHE)
            kept = [StagedCost(**record) for record in _stored()]
            kept = [one for one in kept if (one.name, one.library) != (name, library.name)] + found
            order = list(UNITS)
            kept.sort(key=lambda cost: (cost.library != BUILT_IN, cost.library, order.index(cost.name)))
            write_stored(
                STORED, "python -m studies.least_periods", {"costs": [asdict(cost) for cost in kept]}
            )
            told(done, len(chosen), name)
    _write()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.least_periods", description=__doc__)
    parser.add_argument("units", nargs="*", metavar="UNIT", help=f"some of {', '.join(UNITS)}; or all")
    parser.add_argument(
        "--library", default=BUILT_IN, metavar="NAME", help="a name, or Liberty files with a comma between"
    )
    parser.add_argument("--write", action="store_true", help="only write the page of what is kept")
    chosen = parser.parse_args(arguments)
    work = _write if chosen.write else functools.partial(_measure, chosen.units, chosen.library)
    return exit_code_of("least_periods", work)


if __name__ == "__main__":
    sys.exit(main())
