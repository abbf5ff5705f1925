"""How short the clock period of each accumulation can be made by more registers, and what that costs.

``python -m studies.least_periods`` measures units of every number of stages in the form for delay, and
writes the page; ``--write`` writes it of what is kept. A unit is priced as a row of the ledger is: one
netlist, on the built-in library, gates alone.
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
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose

from .commands import exit_code_of, progress_bars
from .pictures import svg_figure
from .records import read_stored, write_stored

__all__ = [
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

_RECIPE: Final = "d1"
# Periods that differ by less are one: abc's results scatter by as much.
_SAME: Final = 1.02


@dataclass(frozen=True)
class StagedCost:
    """What a unit costs with so many registers, in the form for delay.

    Attributes:
        name: One of `UNITS`.
        stages: Registers from input to output.
        period: The clock period in FO4.
        area: In NAND2 equivalents.
        flip_flops: How many there are.
    """

    name: str
    stages: int
    period: float
    area: float
    flip_flops: int


def _config(name: str, stages: int) -> UnitConfig:
    return UnitConfig(UNITS[name], stages=stages, optimise="delay")


def _require_unit(name: str) -> None:
    if name not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {name!r}")


def measure_stages(name: str, *, cache: Path | None = None) -> list[StagedCost]:
    """Measure a unit with every number of registers, from one on.

    Raises:
        SynthesisError: If it cannot be synthesized.
        ValueError: If there is none of that name.
    """
    _require_unit(name)
    every = range(1, _config(name, 1).max_stages + 1)
    jobs = [MeasurementJob(_config(name, stages), 0, tuple(choose((_RECIPE,)))) for stages in every]
    costs: list[StagedCost] = []
    for stages, sample in zip(every, measure_all(jobs, neutral(), cache=cache, workers=1), strict=True):
        (point,) = sample.points
        costs.append(StagedCost(name, stages, round(point.period, 1), round(point.area, 1), point.flip_flops))
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


def page_text(costs: Sequence[StagedCost]) -> str:
    """Return the page."""
    measured = {name: [cost for cost in costs if cost.name == name] for name in UNITS}
    measured = {name: found for name, found in measured.items() if found}
    summary: list[list[str]] = []
    for name, found in measured.items():
        one, best = found[0], best_of(found)
        summary.append(
            [
                name,
                f"{one.period:.1f}",
                f"{best.period:.1f}",
                str(best.stages),
                f"{best.area:.0f}",
                f"{best.area / one.area - 1:+.0%}",
                f"{best.flip_flops}",
                f"{best.flip_flops - one.flip_flops:+d}",
                _limit(best),
            ]
        )
    every = [
        [
            name,
            str(cost.stages),
            f"{cost.period:.1f}",
            f"{cost.area:.0f}",
            f"{cost.flip_flops}",
            _limit(cost),
        ]
        for name, found in measured.items()
        for cost in found
    ]
    heads = ["unit", "1 stage", "least", "stages", "area", "", "flip-flops", "", "longest run"]
    specs = ", ".join(f"{name}: `{UNITS[name].name}`" for name in measured)
    lines = [
        "# The least period of each accumulation",
        "",
        f"![Clock period by stages]({PICTURE})",
        "",
        "A register more shortens the period as long as it cuts the longest run of gates. A loop cannot be",
        "cut: a sum must be there before the next group is added to it. This page says how short the period",
        "of each unit can be made, and what that costs against one stage.",
        "",
        *markdown_lines(heads, summary),
        "",
        "- **1 stage**, **least**: the clock period in FO4, of the form for delay.",
        "- **stages**: the fewest registers whose period is within 2 % of the shortest.",
        "- **area**: in NAND2 equivalents, and against one stage. **flip-flops**: likewise.",
        "- **longest run**: the steps between two registers that are [estimated](hardware.md#the-steps) to",
        "  take longest. Where it is `accumulate` alone, the loop is the limit.",
        "",
        "## Every number of stages",
        "",
        *markdown_lines(["unit", "stages", "period", "area", "flip-flops", "longest run"], every),
        "",
        f"The units are {specs}.",
        "",
        "All are of one netlist on the built-in library, gates alone, as in [the ledger](ledger.md).",
        "`python -m studies.least_periods` measures them and writes this page.",
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
            points = [(cost.stages, cost.period) for cost in costs if cost.name == name]
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


def _measure(names: Sequence[str]) -> None:
    chosen = list(names) or list(UNITS)
    for name in chosen:
        _require_unit(name)
    with progress_bars() as bar:
        told = bar("synthesizing")
        for done, name in enumerate(chosen, 1):
            found = measure_stages(name, cache=CACHE)
            others = [StagedCost(**record) for record in _stored() if record["name"] != name]
            order = list(UNITS)
            kept = sorted([*others, *found], key=lambda cost: (order.index(cost.name), cost.stages))
            write_stored(
                STORED, "python -m studies.least_periods", {"costs": [asdict(cost) for cost in kept]}
            )
            told(done, len(chosen), name)
    _write()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.least_periods", description=__doc__)
    parser.add_argument("units", nargs="*", metavar="UNIT", help=f"some of {', '.join(UNITS)}; or all")
    parser.add_argument("--write", action="store_true", help="only write the page of what is kept")
    chosen = parser.parse_args(arguments)
    work = _write if chosen.write else functools.partial(_measure, chosen.units)
    return exit_code_of("least_periods", work)


if __name__ == "__main__":
    sys.exit(main())
