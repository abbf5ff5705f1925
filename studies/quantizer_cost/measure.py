"""The price of the two recipes: one more exponent bit in the scale, or scales that are chosen better.

Two commands, which `make quantizer-cost-measure` and `make quantizer-cost` are::

    python -m studies.quantizer_cost.measure measure [--library NAME]... [--orders NUMBER] [--method NAME]...
    python -m studies.quantizer_cost.measure write

The first measures quantizers and dot-product units, each against UE4M3 with ``absmax``, and the error of each
way on a real weight matrix; it keeps that in ``studies/quantizer_cost/results.jsonl``. With ``--method`` it
measures quantizers of those methods alone, and leaves all else as it was kept; `MORE` are what a quantizer
with ``absmax`` may do besides, ``dequantizer`` the units that make numbers of blocks again. The second makes
``docs/cost-of-quantizers.md`` and its picture of it.
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
from blockdot.lab.cost.jobs import Progress
from blockdot.lab.cost.priced_unit import PricedUnit, unit_record
from blockdot.lab.cost.unit_cost import UnitCost
from blockdot.lab.demo_weights import real_tensors
from blockdot.lab.quality.quantization_error import Quantization, measure_errors
from blockdot.lab.unit_choices import QuantizerChoices
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.model.quantize import Method
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.recipes import FLOW_VERSION
from blockdot.synth.yosys import pyosys_version

from ..commands import exit_code_of, progress_bars
from ..intervals import interval_of
from ..records import joined, read_stored, write_stored
from .page import PAGE, PICTURE, draw_amortised, page_text

__all__ = ["DEQUANTIZER", "MORE", "PRICED_METHODS", "PRICED_SCALES", "STORED", "main", "measure_quantizers"]

STORED: Final = Path("studies/quantizer_cost/results.jsonl")
WRITTEN: Final = Path("docs")

BLOCK_SIZE: Final = 16
PRICED_SCALES: Final = ("ue4m3", "ue5m3")
PRICED_METHODS: Final[tuple[Method, ...]] = ("absmax", "prevent_zero", "four_over_six")
"""How scales are chosen: plainly, never zero where the block is not, and the better of two."""

MORE: Final[dict[str, dict[str, Any]]] = {
    "stochastic": {"rounding": "stochastic"},
    "tensor_scale": {"tensor_scale": True},
}
"""What a quantizer with ``absmax`` may do besides, by the arguments of its specification."""

DEQUANTIZER: Final = "dequantizer"
"""What is asked for where the units are measured that make numbers of blocks again."""

ORDERS: Final = 6


def measure_quantizers(
    libraries: Sequence[str],
    *,
    orders: int = ORDERS,
    block_size: int = BLOCK_SIZE,
    methods: Sequence[Method] = PRICED_METHODS,
    more: Sequence[str] = (*MORE, DEQUANTIZER),
    kept: dict[str, Any] | None = None,
    cache: Path,
    workers: int | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> dict[str, Any]:
    """Measure all that the page says.

    Args:
        libraries: Names or files, as `find_library` takes them.
        orders: How many netlists are made of each unit.
        block_size: Elements under one scale.
        methods: How scales are chosen; the first is what the others are compared with.
        more: Which of `MORE` are measured, each against the same; and dequantizers, for `DEQUANTIZER`.
        kept: What was measured before. Then quantizers of `methods` and `more` alone are measured, against
            the first of `PRICED_METHODS`, and all else stays as it is there.
        cache: Where results are kept.
        workers: How many processes run at once; the number of processors where it is None.
        keep: Called with what there is so far, whenever there is more.
        progress: Called with a word on what comes next; what it returns is called after each netlist.

    Returns:
        What `page_text` takes, as JSON can hold it.
    """
    compared = methods if kept is None else list(dict.fromkeys([PRICED_METHODS[0], *methods]))
    quantizers = QuantizerChoices(scales=PRICED_SCALES, block_sizes=[block_size], methods=compared).units()
    further = [
        QuantizerConfig(QuantizerSpec(scale=scale, block_size=block_size, **MORE[name]), stages=1)
        for name in more
        if name in MORE
        for scale in PRICED_SCALES
    ]
    dequantizers = [
        DequantizerConfig(DequantizerSpec(scale=scale, block_size=block_size), stages=1)
        for scale in PRICED_SCALES
    ]
    dots = [
        UnitConfig(DotSpec(scale=scale, block_size=block_size, accumulate="fp32"), stages=1)
        for scale in PRICED_SCALES
    ]
    stored: dict[str, Any] = {
        "pyosys": pyosys_version(),
        "flow": FLOW_VERSION,
        "orders": orders,
        "block_size": block_size,
        "quantizers": [],
        "more": [],
        "dequantizers": [],
        "dots": [],
        "errors": _errors(block_size, methods),
    }
    if kept is not None:
        if (kept["pyosys"], kept["flow"], kept["block_size"]) != (pyosys_version(), FLOW_VERSION, block_size):
            raise ValueError("what is kept must be of this flow, of this pyosys and of these blocks")
        stored = kept | {name: list(kept.get(name, [])) for name in ("quantizers", "more", "dequantizers")}
    for name in libraries:
        library = find_library(name)
        kinds: list[tuple[str, Sequence[PricedUnit]]] = []
        if methods or further:
            kinds.append(("quantizers", [*quantizers, *further]))
        if DEQUANTIZER in more:
            kinds.append(("dequantizers", dequantizers))
        if kept is None:
            kinds.append(("dots", dots))
        for table, units in kinds:
            comparison = compare_costs(
                units,
                library,
                orders=orders,
                parts=False,
                cache=cache,
                workers=workers,
                progress=None if progress is None else progress(f"{library.name}: {table}"),
            )
            rows = [_row(comparison, cost) | {"pairs": orders} for cost in comparison.costs]
            if table == "quantizers":
                stored["more"] = joined(stored["more"], rows[len(quantizers) :])
                rows = rows[: len(quantizers)]
                if kept is not None:
                    rows = _of_methods(rows, methods, stored[table])
            stored[table] = joined(stored[table], rows)
        if keep is not None:
            keep(stored)
    return stored


def _of_methods(
    rows: Sequence[dict[str, Any]], methods: Sequence[Method], old: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of some methods, each of which replaces an old one.

    Raises:
        ValueError: If one was not there.
    """
    there = {(row["library"], row["unit"]) for row in old}
    found = [row for row in rows if row["method"] in methods]
    for row in found:
        if (row["library"], row["unit"]) not in there:
            raise ValueError(f"{row['unit']} on {row['library']} must be kept already to be replaced")
    return found


def _row(comparison: CostComparison, cost: UnitCost) -> dict[str, Any]:
    """Return a unit's figures, and how they differ from those of its base, both in NAND2 equivalents."""
    row = {
        "library": comparison.library.name,
        **unit_record(cost.unit),
        "netlist": cost.netlist,
        "nand2": cost.nand2.median,
        "area": cost.area.median,
        "period": cost.period.median,
        "delay_unit": comparison.library.delay_unit,
    }
    for metric in ("area", "period"):
        if delta := comparison.delta(cost.unit, metric):
            unit = comparison.library.nand2_area if metric == "area" else 1.0
            row[f"{metric}_delta"] = interval_of(delta.absolute, unit)
            row[f"{metric}_percent"] = interval_of(delta.relative)
    return row


def _errors(block_size: int, methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Measure what each way makes of a real weight matrix; nothing where none is installed."""
    tensors = real_tensors()
    if tensors is None:
        return []
    return [
        {
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
    measuring.add_argument("--orders", type=int, default=ORDERS, help="netlists of each unit")
    measuring.add_argument(
        "--method", action="append", choices=(*PRICED_METHODS, *MORE, DEQUANTIZER), help="measure these alone"
    )
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
                methods=[name for name in PRICED_METHODS if name in (chosen.method or PRICED_METHODS)],
                more=[
                    name for name in (*MORE, DEQUANTIZER) if name in (chosen.method or (*MORE, DEQUANTIZER))
                ],
                kept=read_stored(STORED) if chosen.method else None,
                cache=Path("build/synthesis"),
                keep=lambda stored: write_stored(STORED, "make quantizer-cost-measure", stored),
                progress=progress,
            )

    return exit_code_of("quantizer cost", work)


if __name__ == "__main__":
    sys.exit(main())
