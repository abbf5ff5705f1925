"""What is stored of each measurement of the answer: rows small enough to be read."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from blockdot.lab.cost.area_delay import AreaDelayCurves
from blockdot.lab.cost.comparison import CostComparison
from blockdot.lab.cost.measurement_job import emit
from blockdot.lab.cost.priced_unit import unit_record
from blockdot.lab.cost.switching_energy import ENERGY_VERSION
from blockdot.lab.cost.tile_cost import TileCost
from blockdot.lab.cost.unit_cost import UnitCost
from blockdot.lab.cost.unit_energy import UnitEnergy, energy_unit
from blockdot.lab.demo_weights import real_tensors
from blockdot.lab.quality.quantization_error import Quantization, measure_errors
from blockdot.model.quantize import Method
from blockdot.synth.liberty import Library
from blockdot.synth.netlist import Netlist
from blockdot.synth.recipes import FLOW_VERSION
from blockdot.synth.yosys import pyosys_version

from ..attributions import attribution_record
from ..intervals import rounded_interval

__all__ = [
    "curve_rows",
    "error_rows",
    "library_facts",
    "merged",
    "tile_row",
    "unit_row",
]

# Errors of the same data: the scales alone, and what UE4M3 can be helped with.
_METHODS: Final[tuple[tuple[str, Method, bool], ...]] = (
    ("ue4m3", "absmax", False),
    ("ue4m3", "absmax", True),
    ("ue4m3", "four_over_six", True),
    ("ue5m3", "absmax", False),
    ("ue5m3", "four_over_six", False),
    ("ue4m4", "absmax", False),
    ("ue8m0", "ceil", False),
)

# What two measurements of one unit may differ in.
_FIGURES: Final = ("area", "delay", "period", "flip_flops", "deltas", "points")


def library_facts(library: Library) -> dict[str, Any]:
    """Return what is stored of a library."""
    return {
        "name": library.name,
        "sha256": library.sha256,
        "area_unit": library.area_unit,
        "nand2_area": library.nand2.area,
        "delay_unit": library.delay_unit,
        "energy_unit": energy_unit(library),
    }


def _tools_today() -> dict[str, Any]:
    """Return what is stored with each row of what maps to gates: the synthesizer and the flow."""
    return {"pyosys": pyosys_version(), "flow": FLOW_VERSION}


def _tools_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return what mapped the unit of a row to gates, as `_tools_today` does."""
    return {name: row[name] for name in ("pyosys", "flow")}


def unit_row(comparison: CostComparison, cost: UnitCost, powered: Sequence[UnitEnergy]) -> dict[str, Any]:
    """Return what is stored of a unit: its figures, and its differences from what it is compared with."""
    unit = cost.unit
    row: dict[str, Any] = {
        "library": comparison.library.name,
        **unit_record(unit),
        **_tools_today(),
        "netlist": cost.netlist,
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
            row["deltas"][metric] = rounded_interval(delta.relative)
    if attribution := comparison.attribution(unit):
        row["attribution"] = attribution_record(attribution)
    for one in powered:
        row["energy"][one.vectors] = {
            "version": ENERGY_VERSION,
            "netlists": len(one.total.values),
            "total": one.total.median,
            "settled": one.settled.median,
            "deltas": {
                name: rounded_interval(delta)
                for name, delta in (("total", one.delta), ("settled", one.settled_delta))
                if delta is not None
            },
        }
    orders = comparison.orders
    return row | {"orders": [orders[0], orders[-1] + 1], "variants": comparison.variants}


def curve_rows(library: str, made: AreaDelayCurves, orders: range) -> Iterator[dict[str, Any]]:
    """Yield what is stored of a unit's area at equal delay, made in these orders."""
    (base, *others) = made.curves
    for other in others:
        deltas = {delta.delay: delta for delta in made.deltas if delta.other == other.unit}
        yield {
            "library": library,
            **unit_record(other.unit),
            **_tools_today(),
            "netlist": Netlist(*emit(other.unit, orders[0])).sha256,
            "base": base.unit.name,
            "orders": [orders[0], orders[-1] + 1],
            "points": [
                {
                    "delay": delay,
                    "base": ours.median,
                    "area": theirs.median,
                    "delta": rounded_interval(deltas[delay].relative),
                }
                for delay, ours, theirs in zip(made.delays, base.areas, other.areas, strict=True)
                if ours is not None and theirs is not None
            ],
        }


def tile_row(library: str, cost: TileCost) -> dict[str, Any]:
    """Return what is stored of a tile."""
    return {
        "library": library,
        **unit_record(cost.unit),
        **_tools_today(),
        "area": cost.area.median,
        "nand2": cost.nand2.median,
        **({} if cost.delta is None else {"delta": rounded_interval(cost.delta)}),
    }


def error_rows(block_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure what each format makes of a real weight matrix."""
    tensors = real_tensors()
    if tensors is None:
        return []
    found = []
    for (scale, method, tensor_scale), block_size in itertools.product(_METHODS, block_sizes):
        way = Quantization(scale=scale, block_size=block_size, method=method, tensor_scale=tensor_scale)
        mse = measure_errors(tensors[0], way).mse
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


def merged(old: Iterable[dict[str, Any]], new: Iterable[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return records in the order of their keys' first appearance, the better of two with the same."""
    records = {tuple(record[key] for key in keys): record for record in old}
    for record in new:
        key = tuple(record[key] for key in keys)
        records[key] = _better(records[key], record) if key in records else record
    return list(records.values())


def _better(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the new record, unless the old one is of the same hardware and tools, and of more netlists.

    A record that takes the place of one of the same netlists, but of other tools, has these as ``before``,
    and whether its figures are the ``same``.
    """
    if "netlist" not in old or old["netlist"] != new["netlist"]:
        return new
    if _tools_of(old) != _tools_of(new):
        if _netlists(old) != _netlists(new):
            return new
        same = all(old[name] == new[name] for name in _FIGURES if name in new)
        return new | {"before": _tools_of(old) | {"same": same}}
    if _netlists(old) > _netlists(new):
        better = old
    else:
        better = new | ({"before": old["before"]} if "before" in old else {})
    if "energy" not in new:
        return better
    kinds = old["energy"] | new["energy"]
    return better | {"energy": {kind: _better_energy(old, new, kind) for kind in kinds}}


def _better_energy(old: dict[str, Any], new: dict[str, Any], kind: str) -> dict[str, Any]:
    found = [row["energy"][kind] for row in (new, old) if kind in row["energy"]]
    return max(found, key=lambda energy: (energy["version"], energy["netlists"]))


def _netlists(row: dict[str, Any]) -> int:
    first, end = row["orders"]
    return (end - first) * row.get("variants", 1)
