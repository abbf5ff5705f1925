"""The price of the two recipes: one more exponent bit in the scale, or scales that are chosen better.

Two commands, which `make quantizer-cost-measure` and `make quantizer-cost` are::

    python -m studies.quantizer_cost.measure measure [--library NAME]... [--block-size NUMBER]...
        [--orders NUMBER] [--variants NUMBER] [--method NAME]...
    python -m studies.quantizer_cost.measure write

The first measures quantizers and dot-product units, each against UE4M3 with ``absmax``, and the error of each
way on a real weight matrix. It puts that into ``studies/quantizer_cost/results.jsonl``, in the place of what
was measured before of the same units in the same libraries, and leaves all else as it was. With ``--method``
it measures quantizers of those methods alone; `MORE` are what a quantizer with ``absmax`` may do besides,
``dequantizer`` the units that make numbers of blocks again, ``dot`` those that multiply blocks. The second
makes ``docs/cost-of-quantizers.md`` and its picture of it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.hw.config import UnitConfig
from blockdot.hw.dequantizer_config import DequantizerConfig
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.lab.cost.comparison import CostComparison, compare_costs
from blockdot.lab.cost.cost_delta import cost_deltas
from blockdot.lab.cost.jobs import Progress
from blockdot.lab.cost.priced_unit import PricedUnit, unit_record
from blockdot.lab.cost.unit_cost import UnitCost
from blockdot.lab.demo_weights import real_tensors
from blockdot.lab.quality.quantization_error import Quantization, measure_errors
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.model.quantize import Method
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.recipes import FLOW_VERSION
from blockdot.synth.yosys import pyosys_version

from ..attributions import attribution_record
from ..commands import exit_code_of, progress_bars
from ..intervals import interval_of
from ..records import joined, read_stored, write_stored
from .page import PAGE, PAGE_BLOCK_SIZE, PICTURE, UNIT_TABLES, draw_amortised, page_text

__all__ = [
    "DEQUANTIZER",
    "DOT_PRODUCT",
    "MORE",
    "PRICED_KINDS",
    "PRICED_METHODS",
    "PRICED_SCALES",
    "STORED",
    "main",
    "measure_quantizers",
]

STORED: Final = Path("studies/quantizer_cost/results.jsonl")
WRITTEN: Final = Path("docs")

PRICED_SCALES: Final = ("ue4m3", "ue5m3")
PRICED_METHODS: Final[tuple[Method, ...]] = ("absmax", "prevent_zero", "four_over_six")
"""How scales are chosen: plainly, never zero where the block is not, and the better of two."""

MORE: Final[dict[str, dict[str, Any]]] = {
    "stochastic": {"rounding": "stochastic"},
    "tensor_scale": {"tensor_scale": True},
    "fp32": {"input": "fp32"},
}
"""What a quantizer with ``absmax`` may do besides, by the arguments of its specification."""

DEQUANTIZER: Final = "dequantizer"
"""What is asked for where the units are measured that make numbers of blocks again."""

DOT_PRODUCT: Final = "dot"
"""What is asked for where the units are measured that multiply blocks."""

PRICED_KINDS: Final = (*PRICED_METHODS, *MORE, DEQUANTIZER, DOT_PRODUCT)
"""All that can be asked for."""

ORDERS: Final = 6


def measure_quantizers(
    libraries: Sequence[str],
    *,
    orders: int = ORDERS,
    variants: int = 1,
    block_sizes: Sequence[int] = (PAGE_BLOCK_SIZE,),
    wanted: Sequence[str] = PRICED_KINDS,
    kept: dict[str, Any] | None = None,
    cache: Path,
    workers: int | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> dict[str, Any]:
    """Measure what the page says.

    Args:
        libraries: Names or files, as `find_library` takes them.
        orders: How many netlists are made of each unit.
        variants: How many variations of the recipe for area each netlist goes through.
        block_sizes: Elements under one scale.
        wanted: What is measured, of `PRICED_KINDS`. Quantizers are compared with that of the first of
            `PRICED_METHODS`.
        kept: What was measured before: it stays, but for what is measured again.
        cache: Where results are kept.
        workers: How many processes run at once; the number of processors where it is None.
        keep: Called with what there is so far, whenever there is more.
        progress: Called with a word on what comes next; what it returns is called after each netlist.

    Returns:
        What `page_text` takes, as JSON can hold it.

    Raises:
        ValueError: If what is kept is of another flow, or of another pyosys.
    """
    made_by: dict[str, Any] = {"pyosys": pyosys_version(), "flow": FLOW_VERSION}
    stored = made_by | {name: [] for name in (*UNIT_TABLES, "errors")} if kept is None else kept
    for name, value in made_by.items():
        if stored[name] != value:
            raise ValueError(f"what is kept must be of {name} {value}, not {stored[name]}: remove {STORED}")
    methods: list[Method] = [name for name in PRICED_METHODS if name in wanted]
    errors = {(row["block_size"], row["scale"], row["method"]): row for row in stored["errors"]}
    for size in block_sizes:
        errors |= {(size, row["scale"], row["method"]): row for row in _errors(size, methods)}
    stored = stored | {"errors": list(errors.values())}
    for name in libraries:
        library = find_library(name)
        for size in block_sizes:
            for table, (units, rows) in _units(size, wanted).items():
                comparison = compare_costs(
                    units,
                    library,
                    orders=orders,
                    variants=variants,
                    cache=cache,
                    workers=workers,
                    progress=None if progress is None else progress(f"{library.name}: {table} of {size}"),
                )
                new = [
                    _row(comparison, cost) | {"pairs": orders, "variants": variants}
                    for cost, its_rows in zip(comparison.costs, rows, strict=True)
                    if its_rows
                ]
                stored = stored | {table: joined(stored[table], new)}
                if keep is not None:
                    keep(stored)
    return stored


def _units(size: int, wanted: Sequence[str]) -> dict[str, tuple[list[PricedUnit], list[bool]]]:
    """Return the units of each table, and which are wanted; others are compared with the first one."""
    tables: dict[str, list[tuple[PricedUnit, str]]] = {name: [] for name in UNIT_TABLES}
    for method in PRICED_METHODS:
        for scale in PRICED_SCALES:
            spec = QuantizerSpec(scale=scale, block_size=size, method=method)
            tables["quantizers"].append((QuantizerConfig(spec, stages=1), method))
    tables["more"].append(tables["quantizers"][0])
    for name, besides in MORE.items():
        for scale in PRICED_SCALES:
            spec = QuantizerSpec(scale=scale, block_size=size, **besides)
            tables["more"].append((QuantizerConfig(spec, stages=1), name))
    for scale in PRICED_SCALES:
        dequantizer = DequantizerConfig(DequantizerSpec(scale=scale, block_size=size), stages=1)
        tables["dequantizers"].append((dequantizer, DEQUANTIZER))
        dot = UnitConfig(DotSpec(scale=scale, block_size=size, accumulate="fp32"), stages=1)
        tables["dots"].append((dot, DOT_PRODUCT))
    found: dict[str, tuple[list[PricedUnit], list[bool]]] = {}
    for table, units in tables.items():
        # The quantizer that others are compared with has its row in the table of quantizers alone.
        is_wanted = [what in wanted and not (table == "more" and what in PRICED_METHODS) for _, what in units]
        chosen = [k for k, one in enumerate(is_wanted) if one or not k]
        if any(is_wanted):
            found[table] = [units[k][0] for k in chosen], [is_wanted[k] for k in chosen]
    return found


def _row(comparison: CostComparison, cost: UnitCost) -> dict[str, Any]:
    """Return a unit's figures, and how they differ from those of the first, both in NAND2 equivalents."""
    row = {
        "library": comparison.library.name,
        **unit_record(cost.unit),
        "netlist": cost.netlist,
        "nand2": cost.nand2.median,
        "area": cost.area.median,
        "period": cost.period.median,
        "delay_unit": comparison.library.delay_unit,
    }
    base = comparison.costs[0]
    if cost.unit != base.unit:
        for delta in cost_deltas(base, cost):
            metric = delta.metric.name
            if metric in ("area", "period"):
                unit = comparison.library.nand2_area if metric == "area" else 1.0
                row[f"{metric}_delta"] = interval_of(delta.absolute, unit)
                row[f"{metric}_percent"] = interval_of(delta.relative)
    attribution = comparison.attribution(cost.unit)
    # A quantizer of other numbers has one against the first of these.
    if attribution is not None and attribution.whole.base == base.unit:
        row["attribution"] = attribution_record(attribution)
        row["attributed_delta"] = interval_of(attribution.total, comparison.library.nand2_area)
    return row


def _errors(block_size: int, methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Measure what each way makes of a real weight matrix; nothing where none is installed."""
    tensors = real_tensors()
    if tensors is None:
        return []
    return [
        {
            "block_size": block_size,
            "scale": scale,
            "method": method,
            "mse": measure_errors(
                tensors[0], Quantization(scale=scale, block_size=block_size, method=method)
            ).mse,
        }
        for method in methods
        for scale in PRICED_SCALES
    ]


def _write(stored: dict[str, Any]) -> None:
    WRITTEN.mkdir(exist_ok=True)
    draw_amortised(stored, WRITTEN / PICTURE)
    write_whole(WRITTEN / PAGE, page_text(stored))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.quantizer_cost.measure")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--library", action="append", help="a name, or Liberty files with a comma between")
    measuring.add_argument("--block-size", action="append", type=int, help="elements under one scale")
    measuring.add_argument("--orders", type=int, default=ORDERS, help="netlists of each unit")
    measuring.add_argument("--variants", type=int, default=1, help="variations of the recipe for area")
    measuring.add_argument("--method", action="append", choices=PRICED_KINDS, help="measure these alone")
    commands.add_parser("write")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        if chosen.command == "write":
            _write(read_stored(STORED))
            return
        STORED.parent.mkdir(parents=True, exist_ok=True)
        with progress_bars() as progress:
            measure_quantizers(
                chosen.library or ["neutral"],
                orders=chosen.orders,
                variants=chosen.variants,
                block_sizes=chosen.block_size or [PAGE_BLOCK_SIZE],
                wanted=chosen.method or PRICED_KINDS,
                kept=read_stored(STORED) if STORED.exists() else None,
                cache=Path("build/synthesis"),
                keep=lambda stored: write_stored(STORED, "make quantizer-cost-measure", stored),
                progress=progress,
            )

    return exit_code_of("quantizer cost", work)


if __name__ == "__main__":
    sys.exit(main())
