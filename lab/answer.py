"""The answer: what the extra exponent bit of a UE5M3 scale costs, and what it is worth, as one page.

Two commands, which `make answer` and `make answer-measure` are::

    python -m blockdot.lab.answer measure [--library NAME]... [--block-size N]... [--orders N] ...
    python -m blockdot.lab.answer write

The first measures, and keeps what it found in ``docs/cost-of-ue5m3.json``: a row for each unit, small enough
to be read. It does so whenever a row is done, adds to what was stored before, and does not measure again what
is in the cache: a run that was broken off may be started again, and a measurement be made bit by bit. The
second makes ``docs/cost-of-ue5m3.md`` of that, and nothing else: no figure of the page is written by hand.
"""

import argparse
import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..hw.synth.flow import pyosys_version
from ..hw.synth.liberty import Library
from ..hw.synth.pdk import find_library
from ..hw.variants import ACCUMULATES, SCALES
from ..hw.verilog import write_whole
from ..model import DotSpec
from ..model.dot import Accumulate
from ..model.quantize import Method
from .answer_page import BLOCK_SIZES, SCHEMA, VERSION, page, picture
from .compare import Comparison, Cost, Unit, compare
from .error import Quantization
from .error import measure as measure_error
from .estimate import Estimate
from .switching import UnitEnergy, energies, energy_unit
from .tile import TileCost, tiles
from .workload import real_tensors

__all__ = ["PICTURE", "STORED", "WRITTEN", "main", "measure"]

STORED: Final = Path("docs/cost-of-ue5m3.json")
WRITTEN: Final = Path("docs/cost-of-ue5m3.md")
PICTURE: Final = Path("docs/cost-of-ue5m3.svg")

TILE: Final = (4, 4)
TILE_SCALES: Final = ("ue4m3", "ue5m3")
# Netlists of a tile, whose components alone are measured: few are enough.
TILE_ORDERS: Final = 5

# Errors of the same data: the scales alone, and what UE4M3 can be helped with.
_METHODS: Final[tuple[tuple[str, Method, bool], ...]] = (
    ("ue4m3", "absmax", False),
    ("ue4m3", "absmax", True),
    ("ue4m3", "four_over_six", True),
    ("ue5m3", "absmax", False),
    ("ue4m4", "absmax", False),
    ("ue8m0", "ceil", False),
)


def units_of(
    accumulate: Accumulate, block_size: int, stages: Sequence[int], scales: Sequence[str] = SCALES
) -> list[Unit]:
    """Return the units of one row of the question: every scale format, at every depth that can be built."""
    from ..hw import DotUnit

    units: list[Unit] = []
    for depth, scale in itertools.product(stages, scales):
        blocks = 4 if accumulate == "aligned" else 1
        spec = DotSpec(scale=scale, block_size=block_size, accumulate=accumulate, blocks=blocks)
        # Hardware that is not there yet, or a depth that it does not have, is left out of the page.
        with contextlib.suppress(ValueError):
            DotUnit(spec, stages=depth)
            units.append(Unit(spec, depth))
    return units


def measure(
    libraries: Sequence[str],
    *,
    orders: int,
    cache: Path,
    variants: int = 1,
    block_sizes: Sequence[int] = BLOCK_SIZES,
    accumulates: Sequence[Accumulate] = ACCUMULATES,
    stages: Sequence[int] = (0, 1, 3),
    scales: Sequence[str] = SCALES,
    energy_orders: int = 3,
    tile: tuple[int, int] | None = TILE,
    workers: int | None = None,
    before: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Measure all that the page says.

    Args:
        libraries: Names or files, as `find_library` takes them.
        orders: Netlists made of each unit.
        cache: Where results are kept.
        variants: Variations of the recipe for area that each netlist goes through.
        block_sizes: Elements under one scale, the most important first.
        accumulates: Accumulations; those that hardware does not have are left out.
        stages: Depths; those that a unit does not have are left out.
        scales: Scale formats, the first that which the others are compared with.
        energy_orders: Netlists whose energy is measured; less than 2 for no energy.
        tile: Rows and columns of the tiles; None for none.
        workers: How many processes run at once; the number of processors where it is None.
        before: What was stored before, to which this is added; what is measured again takes its place. Of
            another version, or of another synthesizer, it is left aside.
        keep: Called with what there is so far, whenever there is more.

    Returns:
        What `page` takes, as JSON can hold it.
    """
    found = [find_library(name) for name in libraries]
    stored: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "pyosys": pyosys_version(),
        "libraries": [],
        "rows": [],
        "tiles": [],
        "errors": _errors(sorted(block_sizes)),
    }
    if before is not None and [before.get(key) for key in ("version", "pyosys")] == [
        VERSION,
        stored["pyosys"],
    ]:
        stored |= {key: list(before[key]) for key in ("libraries", "rows", "tiles")}
    stored["libraries"] = _merged(stored["libraries"], map(_facts, found), "sha256")
    # The most important first, so that a run that is broken off leaves something to read.
    for block_size, accumulate, library, depth in itertools.product(block_sizes, accumulates, found, stages):
        units = units_of(accumulate, block_size, [depth], scales)
        if not units:
            continue
        print(f"{library.name}: {', '.join(unit.name for unit in units)}", file=sys.stderr)
        comparison = compare(units, library, orders=orders, variants=variants, cache=cache, workers=workers)
        powered = energies(units, library, orders=energy_orders) if energy_orders > 1 else []
        rows = (
            _row(comparison, cost, [one for one in powered if one.unit == cost.unit])
            | {"orders": orders, "variants": variants}
            for cost in comparison.costs
        )
        stored["rows"] = _merged(stored["rows"], rows, "library", "unit")
        if tile is not None and depth < 2:
            chosen = [replace(unit, tile=tile) for unit in units if unit.spec.scales[0].name in TILE_SCALES]
            count = min(orders, TILE_ORDERS)
            of_tiles = tiles(chosen, library, orders=count, cache=cache, workers=workers)
            rows = (_tile_row(library.name, cost) | {"orders": count} for cost in of_tiles)
            stored["tiles"] = _merged(stored["tiles"], rows, "library", "unit")
        if keep is not None:
            keep(stored)
    return stored


def _facts(library: Library) -> dict[str, Any]:
    return {
        "name": library.name,
        "sha256": library.sha256,
        "area_unit": library.area_unit,
        "delay_unit": library.delay_unit,
        "energy_unit": energy_unit(library),
    }


def _merged(old: Iterable[dict[str, Any]], new: Iterable[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return records in the order of their keys' first appearance, the new ones instead of the old."""
    records = {tuple(record[key] for key in keys): record for record in old}
    records |= {tuple(record[key] for key in keys): record for record in new}
    return list(records.values())


def _row(comparison: Comparison, cost: Cost, powered: Sequence[UnitEnergy]) -> dict[str, Any]:
    unit = cost.unit
    row: dict[str, Any] = {
        "library": comparison.library.name,
        **unit.to_dict(),
        "area": cost.area.median,
        "nand2": cost.nand2.median,
        "delay": cost.delay.median,
        "period": cost.period.median,
        "flip_flops": cost.flip_flops.median,
        "deltas": {},
        "energy": {},
    }
    for metric in ("area", "delay", "period"):
        if delta := comparison.delta(unit, metric):
            row["deltas"][metric] = _short(delta.relative)
    if attribution := comparison.attribution(unit):
        row["attribution"] = {
            "agrees": attribution.agrees,
            "relative": _short(attribution.relative),
            "across": _short(attribution.across_relative),
            "across_area": _short(attribution.across),
            "whole_area": _short(attribution.whole.absolute),
            "parts": {part.role: _short(part.area) for part in attribution.parts if any(part.area.values)},
            "cells": {name: round(more, 1) for name, more in attribution.cells[:8]},
        }
    for one in powered:
        row["energy"][one.vectors] = {
            "total": one.total.median,
            "settled": one.settled.median,
            **({} if one.delta is None else {"delta": _short(one.delta)}),
        }
    return row


def _tile_row(library: str, cost: TileCost) -> dict[str, Any]:
    return {
        "library": library,
        **cost.unit.to_dict(),
        "area": cost.area.median,
        "nand2": cost.nand2.median,
        **({} if cost.delta is None else {"delta": _short(cost.delta)}),
    }


def _short(estimate: Estimate) -> dict[str, float]:
    low, high = estimate.interval
    return {"mean": round(estimate.mean, 4), "low": round(low, 4), "high": round(high, 4)}


def _errors(block_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure what each format makes of a real weight matrix."""
    tensors = real_tensors()
    if tensors is None:
        return []
    found = []
    for (scale, method, tensor_scale), block_size in itertools.product(_METHODS, block_sizes):
        way = Quantization(scale=scale, block_size=block_size, method=method, tensor_scale=tensor_scale)
        mse = measure_error(tensors[0], way).mse
        found.append(
            {
                "scale": scale,
                "method": method,
                "tensor_scale": tensor_scale,
                "block_size": block_size,
                "mse": mse,
            }
        )
    return found


def _keep(stored: dict[str, Any]) -> None:
    write_whole(STORED, json.dumps(stored, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m blockdot.lab.answer")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--library", action="append", help="a name, or Liberty files with a comma between")
    measuring.add_argument("--block-size", action="append", type=int, choices=BLOCK_SIZES)
    measuring.add_argument("--accumulate", action="append", choices=ACCUMULATES)
    measuring.add_argument("--scale", action="append", choices=SCALES)
    measuring.add_argument("--stages", action="append", type=int)
    measuring.add_argument("--orders", type=int, default=16)
    measuring.add_argument("--variants", type=int, default=2)
    measuring.add_argument("--energy-orders", type=int, default=3, help="1 for no energy")
    commands.add_parser("write")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "measure":
            STORED.parent.mkdir(parents=True, exist_ok=True)
            measure(
                chosen.library or ["neutral"],
                orders=chosen.orders,
                variants=chosen.variants,
                cache=Path("build/synthesis"),
                block_sizes=chosen.block_size or BLOCK_SIZES,
                accumulates=chosen.accumulate or ACCUMULATES,
                stages=chosen.stages or (0, 1, 3),
                scales=chosen.scale or SCALES,
                energy_orders=chosen.energy_orders,
                before=json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else None,
                keep=_keep,
            )
        else:
            stored = json.loads(STORED.read_text(encoding="utf-8"))
            text, drawn = page(stored), picture(stored)
            if drawn is not None:
                write_whole(PICTURE, drawn)
                text = page(stored, PICTURE.name)
            write_whole(WRITTEN, text)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"answer: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
