"""The ledger: what every unit costs, kept in a file, so that no change makes one larger or slower unseen.

``python -m studies.ledger`` measures and compares with what is kept, ``--write`` keeps it. Each row has
two points: the least area, of the form and the recipes for area, and the least delay, of those for delay;
with a register, the clock period in place of the delay. On the built-in library the same tools give the same
figures to the last digit, so nothing is allowed for.
"""

import argparse
import importlib.metadata
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from amaranth.hdl import Module
from blockdot.base.whole_files import write_whole
from blockdot.hw.config import OPTIMISE, UnitConfig
from blockdot.hw.dequantizer_config import DequantizerConfig
from blockdot.hw.hierarchy import Emitter
from blockdot.hw.leaves.compressor import SumOfProducts
from blockdot.hw.leaves.element import product_bits
from blockdot.hw.plain_unit import ObviousUnit, SumUnit
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.hw.unit_grid import GRID_BLOCK_SIZES, GRID_SCALES, variants
from blockdot.lab.cost.jobs import Progress as Report
from blockdot.lab.cost.jobs import measure_all
from blockdot.lab.cost.measurement_job import MeasurementJob, emit
from blockdot.lab.cost.priced_unit import PricedUnit
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.model.quantizer import QuantizerMethod
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import AREA_RECIPES, DELAY_RECIPES, choose
from blockdot.synth.yosys import SynthesisError, pyosys_version
from rich.console import Console
from rich.progress import Progress

from .commands import exit_code_of
from .different_presets import different_presets
from .records import read_stored, write_stored

__all__ = [
    "KEPT",
    "PAGE",
    "LedgerCost",
    "LedgerRow",
    "Rival",
    "adders",
    "block_units",
    "by_recipe",
    "ledger_changes",
    "ledger_page",
    "main",
    "make",
    "measure_ledger",
    "read_ledger",
    "rows",
]

KEPT: Final = Path(__file__).resolve().with_name("ledger.jsonl")
"""Where the ledger is kept."""

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "ledger.md"
"""The page that is made of it."""

TENSOR_CORES: Final = different_presets()
"""The specifications of presets, by name, in the order of the page."""

ORDERS: Final = 3
"""Netlists of which a row that others are held against gives the median."""


@dataclass(frozen=True)
class Rival(UnitConfig):
    """A design that is no unit, for others to be held against.

    Attributes:
        kind: ``sum`` for the products' sum alone, ``obvious`` for the obvious description.
    """

    kind: Literal["sum", "obvious"] = "sum"


def make(unit: PricedUnit, order: int) -> tuple[str, str]:
    """Make the netlist of a unit or a rival in an order: RTLIL, and the top's name."""
    if not isinstance(unit, Rival):
        return emit(unit, order)
    fast = unit.optimise == "delay"
    design = SumUnit(unit.spec, fast=fast, order=order) if unit.kind == "sum" else ObviousUnit(unit.spec)
    emitter = Emitter(design.name)
    top = emitter.convert(design, design.name)
    return emitter.modules + top, design.name


@dataclass(frozen=True)
class LedgerRow:
    """A row of the ledger.

    Attributes:
        name: Its name.
        unit: What is measured, in the form for area and in that for delay.
        orders: Netlists of which it gives the median.
        recipes: For area, and for delay.
    """

    name: str
    unit: PricedUnit
    orders: int = 1
    recipes: tuple[tuple[str, ...], tuple[str, ...]] = (("a2",), ("d1",))

    def jobs(self) -> list[MeasurementJob]:
        """Return what to measure: for each netlist the form for area, then that for delay."""
        return [
            MeasurementJob(replace(self.unit, optimise=optimise), order, tuple(choose(recipes)))
            for order in range(self.orders)
            for optimise, recipes in zip(OPTIMISE, self.recipes, strict=True)
        ]


@dataclass(frozen=True)
class LedgerCost:
    """What a row costs: NAND2 equivalents and FO4 delays on the built-in library.

    Attributes:
        area: The least area.
        delay: The least delay, or clock period.
    """

    area: float
    delay: float


def rows() -> list[LedgerRow]:
    """Return the rows: first those that others can be held against, then every unit and tensor cores."""
    whole = (AREA_RECIPES, DELAY_RECIPES)
    nvfp4, mxfp4 = DotSpec(scale="ue4m3"), DotSpec(scale="ue8m0", accumulate="fp32")
    found = [
        LedgerRow("sum of 16 products", Rival(DotSpec(), stages=0, kind="sum"), ORDERS, whole),
        LedgerRow("NVFP4 block", UnitConfig(nvfp4, stages=0), ORDERS, whole),
        LedgerRow("NVFP4 block, obvious description", Rival(nvfp4, stages=0, kind="obvious"), recipes=whole),
        LedgerRow("MXFP4 block, binary32 accumulator", UnitConfig(mxfp4, stages=1), ORDERS, whole),
        LedgerRow("the same in 5 stages", UnitConfig(mxfp4, stages=5), ORDERS, whole),
    ]
    found += [LedgerRow(unit.name, unit) for unit in (*variants(), *block_units())]
    return [*found, *(LedgerRow(name, UnitConfig(spec, stages=1)) for name, spec in TENSOR_CORES.items())]


def block_units() -> list[QuantizerConfig | DequantizerConfig]:
    """Return the main quantizers, which make blocks, and dequantizers, which make numbers of them again."""
    ways: tuple[tuple[str, QuantizerMethod], ...] = (
        ("ue4m3", "absmax"),
        ("ue5m3", "absmax"),
        ("ue4m3", "prevent_zero"),
        ("ue4m3", "four_over_six"),
        ("ue8m0", "floor"),
    )
    return [
        *(QuantizerConfig(QuantizerSpec(scale=scale, method=method), stages=1) for scale, method in ways),
        *(
            QuantizerConfig(QuantizerSpec(scale=scale, method=method), stages=1, serial=True)
            for scale, method in (ways[0], ways[-1])
        ),
        *(DequantizerConfig(DequantizerSpec(scale=scale), stages=1) for scale in ("ue4m3", "ue5m3")),
    ]


def adders() -> list[dict[str, Any]]:
    """Count the adders of the trees over products of e2m1, beside the fewest that there can be.

    A full adder makes two bits of three: so as many of them are needed as there are bits of products and
    signs, less the bits of the sum. A tree leaves two rows, whose final adder has one for each bit more.

    Returns:
        For each size and form ``lanes``, ``optimise``, ``bound``, the tree's ``full`` and ``half``, and the
        ``final`` adder's width.
    """
    found = []
    for lanes, optimise in itertools.product(GRID_BLOCK_SIZES, OPTIMISE):
        spec = DotSpec(block_size=lanes)
        width = product_bits(*spec.elements)
        tree = SumOfProducts(
            lanes=lanes, magnitude_bits=width, sum_bits=spec.sum_bits, balanced=optimise == "delay"
        )
        m = Module()
        columns = tree.columns(m)
        columns.carry_save(m)
        found.append(
            {
                "lanes": lanes,
                "optimise": optimise,
                "bound": lanes * (width + 1) - spec.sum_bits,
                "full": columns.full_adders,
                "half": columns.half_adders,
                "final": spec.sum_bits,
            }
        )
    return found


def read_ledger(path: Path = KEPT) -> dict[str, Any]:
    """Return what is kept: ``tools``, ``adders``, and ``rows`` by their names.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a ledger.
    """
    kept = read_stored(path)
    return kept | {"rows": {record.pop("row"): record for record in kept["rows"]}}


def measure_ledger(
    chosen: Sequence[LedgerRow],
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: Report | None = None,
) -> dict[str, LedgerCost]:
    """Return what each row costs, by its name.

    Args:
        chosen: The rows.
        cache: Where results of synthesis are kept; None for nowhere.
        workers: Processes at once; None for one on each processor.
        progress: Called after each netlist.

    Raises:
        SynthesisError: If something cannot be synthesized.
    """
    jobs = [job for row in chosen for job in row.jobs()]
    samples = iter(measure_all(jobs, neutral(), cache=cache, workers=workers, make=make, progress=progress))
    costs: dict[str, LedgerCost] = {}
    for row in chosen:
        areas, delays = [], []
        for _ in range(row.orders):
            small, fast = next(samples), next(samples)
            areas.append(min(point.area for point in small.points))
            delays.append(min(point.period if row.unit.stages else point.delay for point in fast.points))
        costs[row.name] = LedgerCost(round(median(areas), 2), round(median(delays), 2))
    return costs


def ledger_changes(
    old: Mapping[str, Mapping[str, float]], new: Mapping[str, LedgerCost]
) -> list[tuple[str, bool]]:
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


def ledger_page(kept: Mapping[str, Any]) -> str:
    """Return the ledger as Markdown."""
    costs = kept["rows"]
    lines = [
        "# What every unit costs",
        "",
        "Each cell has the least area in NAND2 equivalents and the least delay in FO4. Where there are",
        'registers, the delay is the clock period. The area is of the form `optimise="area"`, the delay of',
        '`optimise="delay"`. The library is the built-in one: gates alone, no wires. Made with '
        + ", ".join(f"{name} {version}" for name, version in kept["tools"].items())
        + ".",
        "`make ledger` measures again and compares; `make ledger-write` writes this page.",
        "",
        "| | area | delay |",
        "|---|---:|---:|",
    ]
    units: dict[tuple[str, int, int | None], dict[tuple[str, int], str]] = {}
    blocks: list[str] = []
    cores: list[str] = []
    for row in rows():
        cost = costs[row.name]
        if row.name in TENSOR_CORES:
            cores.append(f"| `{row.name}` | {cost['area']:.0f} | {cost['delay']:.1f} |")
            continue
        if not isinstance(row.unit, UnitConfig):
            blocks.append(f"| `{row.name}` | {cost['area']:.0f} | {cost['delay']:.1f} |")
            continue
        spec = row.unit.spec
        if row.name != row.unit.name:
            lines.append(f"| {row.name} | {cost['area']:.0f} | {cost['delay']:.1f} |")
            continue
        key = (spec.accumulate, spec.block_size, row.unit.segment)
        cell = f"{cost['area']:.0f} / {cost['delay']:.1f}"
        units.setdefault(key, {})[spec.scales[0].name, row.unit.stages] = cell
    lines += [
        "",
        "The adders of the tree over products of e2m1. A full adder makes two bits of three, so there are",
        "at least as many full adders as bits in minus bits out (*bound*). The final adder has one for each",
        "bit of the sum; they count, too.",
        "",
        "| N | form | bound | full | half | final adder |",
        "|---:|---|---:|---:|---:|---:|",
        *(
            f"| {one['lanes']} | {one['optimise']} | {one['bound']} | {one['full']} | {one['half']} "
            f"| {one['final']} |"
            for one in kept["adders"]
        ),
    ]
    for (accumulate, block_size, segment), cells in units.items():
        carries = "" if segment is None else f", `segment={segment}`"
        stages = sorted({stage for _, stage in cells})
        lines += [
            "",
            f"`accumulate={accumulate}`, N = {block_size}{carries}, by stages:",
            "",
            "| scale | " + " | ".join(str(stage) for stage in stages) + " |",
            "|---|" + "---:|" * len(stages),
            *(
                f"| {scale} | " + " | ".join(cells[scale, stage] for stage in stages) + " |"
                for scale in GRID_SCALES
            ),
        ]
    lines += ["", "Quantizers and dequantizers:", "", "| | area | delay |", "|---|---:|---:|", *blocks]
    told = "One step of published tensor cores, in one stage; [more of them](tensor-cores.md):"
    lines += ["", told, "", "| | area | delay |", "|---|---:|---:|", *cores]
    return "\n".join([*lines, ""])


def by_recipe(row: LedgerRow, script: Path, liberty: Path | None) -> str:
    """Return the least area and delay of a row by a script of one's own.

    Args:
        row: The row.
        script: A Python program that is called with a file of RTLIL, its top module and, if there is one, a
            Liberty file, and prints ``least area X`` and ``fastest Y ns``.
        liberty: The Liberty file.

    Raises:
        SynthesisError: If it fails, or prints something else.
    """
    # Both forms are tried for both.
    areas: dict[int, list[float]] = {}
    delays: dict[int, list[float]] = {}
    for job in row.jobs():
        text, top = make(job.unit, job.order)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "top.il"
            file.write_text(text, encoding="utf-8")
            command = [sys.executable, str(script), str(file), top]
            done = subprocess.run(
                [*command, *([str(liberty)] if liberty else [])],
                capture_output=True,
                text=True,
                check=False,
            )
        area = re.search(r"least area ([0-9.]+)", done.stdout)
        delay = re.search(r"fastest ([0-9.]+) ns", done.stdout)
        if done.returncode or area is None or delay is None:
            raise SynthesisError(f"{script} must print an area and a delay, not fail: {done.stderr[-300:]}")
        areas.setdefault(job.order, []).append(float(area[1]))
        delays.setdefault(job.order, []).append(float(delay[1]))
    area, delay = (median(min(tried) for tried in one.values()) for one in (areas, delays))
    return f"{row.name}: {area:.0f} um2, {delay:.2f} ns"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and compare with what is kept or keep it; return the exit code: 1 if something grew."""
    parser = argparse.ArgumentParser(prog="python -m studies.ledger", description=__doc__)
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

    def work() -> int:
        kept = read_ledger() if KEPT.exists() else {"rows": {}}
        if chosen.recipe is not None:
            for row in selected:
                if row.name != row.unit.name:
                    print(by_recipe(row, chosen.recipe, chosen.liberty), flush=True)
            return 0
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("synthesizing")
            measured = measure_ledger(
                selected,
                cache=chosen.cache,
                workers=chosen.workers,
                progress=lambda done, count, _: bar.update(task, completed=done, total=count),
            )
        found = ledger_changes(kept["rows"], measured)
        if (counted := adders()) != kept.get("adders"):
            found.append((f"adders of the trees are {counted}, and were {kept.get('adders')}", True))
        for line, _ in found:
            print(line)
        if not chosen.write:
            print(f"{len(selected)} rows, {len(found)} figures changed")
            return int(any(more for _, more in found))
        names = [row.name for row in rows()]
        costs = kept["rows"] | {name: asdict(cost) for name, cost in measured.items()}
        kept = {
            "tools": {"pyosys": pyosys_version(), "amaranth": importlib.metadata.version("amaranth")},
            "adders": counted,
            # In the order of the page, in whatever order they were measured.
            "rows": {name: costs[name] for name in names if name in costs},
        }
        table = [{"row": name, **cost} for name, cost in kept["rows"].items()]
        write_stored(KEPT, "make ledger-write", kept | {"rows": table})
        if len(kept["rows"]) == len(names):
            write_whole(PAGE, ledger_page(kept))
        return 0

    return exit_code_of("ledger", work, "what was synthesized is kept")


if __name__ == "__main__":
    sys.exit(main())
