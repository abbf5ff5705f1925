"""The ledger: what every unit costs, kept in a file, so that no change makes one larger or slower unseen.

``python -m blockdot.lab.ledger`` measures and compares with what is kept, ``--write`` keeps it. Each row has
two points: the least area, of the form and the recipes for area, and the least delay, of those for delay;
with a register, the clock period in place of the delay. On the built-in library the same tools give the same
figures to the last digit, so nothing is allowed for.
"""

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.progress import track

from ..hw import DotUnit, to_rtlil
from ..hw.hierarchy import Emitter
from ..hw.obvious import ObviousUnit, SumUnit
from ..hw.synth.flow import (
    AREA_RECIPES,
    DELAY_RECIPES,
    Netlist,
    SynthesisError,
    pyosys_version,
    synthesize,
)
from ..hw.synth.neutral import neutral
from ..hw.verilog import write_whole
from ..model import DotSpec

__all__ = ["KEPT", "Cost", "Row", "changes", "measure", "rows"]

KEPT: Final = Path(__file__).resolve().parent.parent / "docs" / "ledger.json"
"""Where the ledger is kept."""

SCALES: Final = ("ue4m3", "ue5m3", "ue4m4", "ue8m0")
ACCUMULATES: Final = ("none", "fp32", "exact", "aligned")
BLOCK_SIZES: Final = (8, 16, 32)
MOST_STAGES: Final = 5
"""Of blocks of 16; the others have the least there can be."""
ORDERS: Final = 3
"""Netlists of which a row that others are held against gives the median."""


@dataclass(frozen=True)
class Row:
    """A row of the ledger.

    Attributes:
        name: Its name.
        kind: ``sum``, ``unit`` or ``obvious``.
        spec: What is computed.
        stages: Register stages of a unit.
        orders: Netlists of which it gives the median.
        recipes: For area, and for delay.
    """

    name: str
    kind: str
    spec: DotSpec
    stages: int = 0
    orders: int = 1
    recipes: tuple[tuple[str, ...], tuple[str, ...]] = (("a2",), ("d1",))

    def netlist(self, *, fast: bool, order: int) -> Netlist:
        """Return what is synthesized, in the form for area or for delay."""
        if self.kind == "unit":
            unit = DotUnit(self.spec, stages=self.stages, optimise="delay" if fast else "area", order=order)
            return Netlist(to_rtlil(unit), unit.name)
        design = SumUnit(self.spec, fast=fast, order=order) if self.kind == "sum" else ObviousUnit(self.spec)
        emitter = Emitter(design.name)
        top = emitter.convert(design, design.name)
        return Netlist(emitter.modules + top, design.name)


@dataclass(frozen=True)
class Cost:
    """What a row costs: NAND2 equivalents and FO4 delays on the built-in library.

    Attributes:
        area: The least area.
        delay: The least delay, or clock period.
    """

    area: float
    delay: float


def rows() -> list[Row]:
    """Return the rows: first those that others can be held against, then every unit."""
    whole = (AREA_RECIPES, DELAY_RECIPES)
    nvfp4, mxfp4 = DotSpec(scale="ue4m3"), DotSpec(scale="ue8m0", accumulate="fp32")
    found = [
        Row("sum of 16 products", "sum", DotSpec(), orders=ORDERS, recipes=whole),
        Row("NVFP4 block", "unit", nvfp4, orders=ORDERS, recipes=whole),
        Row("NVFP4 block, obvious description", "obvious", nvfp4, recipes=whole),
        Row("MXFP4 block, binary32 accumulator", "unit", mxfp4, 1, ORDERS, whole),
        Row("the same in 5 stages", "unit", mxfp4, 5, ORDERS, whole),
    ]
    for accumulate in ACCUMULATES:
        least = int(accumulate != "none")
        for block_size in BLOCK_SIZES:
            for stages in range(least, MOST_STAGES + 1) if block_size == 16 else (least,):
                for scale in SCALES:
                    spec = DotSpec(scale=scale, block_size=block_size, accumulate=accumulate)
                    found.append(Row(f"{spec.name}_s{stages}", "unit", spec, stages))
    return found


def _cost(row: Row, cache: Path | None) -> Cost:
    library = neutral()
    areas, delays = [], []
    for order in range(row.orders):
        for fast, recipes in zip((False, True), row.recipes, strict=True):
            netlist = row.netlist(fast=fast, order=order)
            points = synthesize(netlist.text, netlist.top, library, recipes=recipes, cache=cache)
            if fast:
                delays.append(min(point.period if row.stages else point.delay for point in points))
            else:
                areas.append(min(point.area for point in points))
    return Cost(round(median(areas), 2), round(median(delays), 2))


def _follow_parent() -> None:
    """End this process when its parent is gone, however that came about."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def measure(
    chosen: Sequence[Row], *, cache: Path | None = None, workers: int | None = None
) -> Iterator[tuple[Row, Cost]]:
    """Yield what each row costs, in their order.

    Args:
        chosen: The rows.
        cache: Where results of synthesis are kept; None for nowhere.
        workers: Processes at once; None for one on each processor.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent) as pool:
        costs = [pool.submit(_cost, row, cache) for row in chosen]
        try:
            for row, cost in zip(chosen, costs, strict=True):
                yield row, cost.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def changes(old: Mapping[str, Mapping[str, float]], new: Mapping[str, Cost]) -> list[tuple[str, bool]]:
    """Return, for each figure that is not what it was, a line that says so and whether it became more.

    A row that was not there has become more.
    """
    found = []
    for name, cost in new.items():
        for key, value in asdict(cost).items():
            before = old[name][key] if name in old else None
            if before is None:
                found.append((f"{name}: {key} is {value}, and was not kept", True))
            elif before != value:
                found.append(
                    (f"{name}: {key} was {before} and is {value} ({value / before - 1:+.2%})", value > before)
                )
    return found


def page(kept: Mapping[str, Any]) -> str:
    """Return the ledger as Markdown."""
    costs = kept["rows"]
    lines = [
        "# What every unit costs",
        "",
        "Least area in NAND2 equivalents / least delay in FO4 (with registers the clock period), on the",
        "built-in technology-neutral library: gates alone, no wires. Area and delay are of two forms of the",
        "unit, `optimise` `area` and `delay`. "
        + ", ".join(f"{name} {version}" for name, version in kept["tools"].items())
        + ".",
        "`make ledger` measures again and compares; `make ledger-write` writes this page.",
        "",
        "| | area | delay |",
        "|---|---:|---:|",
    ]
    units: dict[tuple[str, int], dict[tuple[str, int], str]] = {}
    for row in rows():
        cost = costs[row.name]
        if row.name != f"{row.spec.name}_s{row.stages}":
            lines.append(f"| {row.name} | {cost['area']:.0f} | {cost['delay']:.1f} |")
            continue
        key = (row.spec.accumulate, row.spec.block_size)
        cell = f"{cost['area']:.0f} / {cost['delay']:.1f}"
        units.setdefault(key, {})[row.spec.scales[0].name, row.stages] = cell
    for (accumulate, block_size), cells in units.items():
        stages = sorted({stage for _, stage in cells})
        lines += [
            "",
            f"`accumulate={accumulate}`, N = {block_size}, by stages:",
            "",
            "| scale | " + " | ".join(str(stage) for stage in stages) + " |",
            "|---|" + "---:|" * len(stages),
            *(
                f"| {scale} | " + " | ".join(cells[scale, stage] for stage in stages) + " |"
                for scale in SCALES
            ),
        ]
    return "\n".join([*lines, ""])


def by_recipe(row: Row, script: Path, liberty: Path | None) -> str:
    """Return the least area and delay of a row by a script of one's own.

    Args:
        row: The row.
        script: A Python program that is called with a file of RTLIL, its top module and, if there is one, a
            Liberty file, and prints ``least area X`` and ``fastest Y ns``.
        liberty: The Liberty file.

    Raises:
        SynthesisError: If it fails, or prints something else.
    """
    areas, delays = [], []
    for order in range(row.orders):
        for fast in (False, True):
            netlist = row.netlist(fast=fast, order=order)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "top.il"
                file.write_text(netlist.text, encoding="utf-8")
                command = [sys.executable, str(script), str(file), netlist.top]
                done = subprocess.run(
                    [*command, *([str(liberty)] if liberty else [])],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            area = re.search(r"least area ([0-9.]+)", done.stdout)
            delay = re.search(r"fastest ([0-9.]+) ns", done.stdout)
            if done.returncode or area is None or delay is None:
                raise SynthesisError(
                    f"{script} must print an area and a delay, not fail: {done.stderr[-300:]}"
                )
            areas.append(float(area[1]))
            delays.append(float(delay[1]))
    # Both forms are tried for both: the least of each netlist's two.
    pairs = range(row.orders)
    area = median(min(areas[2 * k : 2 * k + 2]) for k in pairs)
    delay = median(min(delays[2 * k : 2 * k + 2]) for k in pairs)
    return f"{row.name}: {area:.0f} um2, {delay:.2f} ns"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and compare with what is kept or keep it; return the exit code: 1 if something grew."""
    parser = argparse.ArgumentParser(prog="python -m blockdot.lab.ledger", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep what was measured")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="rows to measure, such as '*_exact_s1'"
    )
    parser.add_argument("--cache", type=Path, default=Path("build/synthesis"), metavar="DIR")
    parser.add_argument("--workers", type=int, metavar="N", help="processes at once")
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE.py", help="price the first rows by this script too"
    )
    parser.add_argument("--liberty", type=Path, metavar="FILE", help="Liberty file for it")
    chosen = parser.parse_args(arguments)
    selected = [row for row in rows() if fnmatchcase(row.name, chosen.only)]
    console = Console(stderr=True)
    try:
        kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {"rows": {}}
        if chosen.recipe is not None:
            for row in selected:
                if row.orders > 1 or row.kind == "obvious":
                    print(by_recipe(row, chosen.recipe, chosen.liberty), flush=True)
            return 0
        measured = dict[str, Cost]()
        costs = measure(selected, cache=chosen.cache, workers=chosen.workers)
        for row, cost in track(costs, "synthesizing", total=len(selected), console=console):
            measured[row.name] = cost
        found = changes(kept["rows"], measured)
        for line, _ in found:
            print(line)
        if not chosen.write:
            print(f"{len(selected)} rows, {len(found)} figures changed")
            return int(any(more for _, more in found))
        known = {row.name for row in rows()}
        kept = {
            "tools": {"pyosys": pyosys_version(), "amaranth": importlib.metadata.version("amaranth")},
            "rows": {
                name: cost
                for name, cost in (kept["rows"] | {n: asdict(c) for n, c in measured.items()}).items()
                if name in known
            },
        }
        KEPT.parent.mkdir(exist_ok=True)
        write_whole(KEPT, json.dumps(kept, indent=1) + "\n")
        if known <= set(kept["rows"]):
            write_whole(KEPT.with_suffix(".md"), page(kept))
    except (OSError, SynthesisError, ValueError) as error:
        print(f"ledger: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ledger: interrupted; what was synthesized is kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
