"""What units cost, as CSV: a line for each unit and figure."""

from collections.abc import Iterator
from typing import Any, Final

from ..cost.fpga_cost import PLACED, RESOURCES
from ..cost.placed_cost import WIRED_DELTAS
from .records import csv_text

__all__ = ["cost_csv"]

_UNIT_COLUMNS: Final = (
    "unit",
    "block_size",
    "blocks",
    "accumulate",
    "guard",
    "stages",
    "optimise",
    "segment",
)
_BLOCK_COLUMNS: Final = ("output", "input", "method", "rounding", "tensor_scale")
"""What dequantizers and quantizers have besides; other units' cells are empty there."""

_COLUMNS: Final[tuple[str, ...]] = (
    "library", "unit", "element", "scale", "block_size", "blocks", "accumulate", "guard", "stages",
    "optimise", "segment", "metric", "unit_of_measure", "median", "minimum", "maximum", "base", "delta",
    "delta_low", "delta_high", "delta_percent", "delta_percent_low", "delta_percent_high", "orders",
    "variants", "recipes", "pyosys", "adders", *_BLOCK_COLUMNS,
)  # fmt: skip


_WIRED: Final = "with wires"
_ROUTED: Final = "routed"


def cost_csv(report: dict[str, Any]) -> str:
    """One line for each unit and metric, with its difference if it has one."""
    return csv_text(_COLUMNS, _rows(report))


def _unit_cells(cost: dict[str, Any]) -> dict[str, Any]:
    return {name: cost[name] for name in _UNIT_COLUMNS} | {name: cost.get(name) for name in _BLOCK_COLUMNS}


def _rows(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for result in report["results"]:
        deltas = {(delta["other"], delta["metric"]["name"]): delta for delta in result["deltas"]}
        common = {
            "library": result["library"]["name"],
            "orders": len(result["orders"]),
            "variants": result["variants"],
            "recipes": " ".join(result["recipes"]),
            "pyosys": result["tools"]["pyosys"],
            "adders": " ".join(result.get("adders", ())),
        }
        units: dict[str, dict[str, Any]] = {}
        for cost in result["costs"]:
            units[cost["unit"]] = unit = common | {
                **_unit_cells(cost),
                "element": "x".join(dict.fromkeys(cost["element"])),
                "scale": "x".join(dict.fromkeys(cost["scale"])),
            }
            for metric in ("area", "area_nand2", "delay", "period", "fmax", "flip_flops"):
                if cost[metric] is None:
                    continue
                row = unit | _figures(metric, cost[metric])
                if delta := deltas.get((cost["unit"], metric)):
                    row |= {"base": delta["base"]} | _ends("delta", delta["absolute"])
                    row |= _ends("delta_percent", delta["relative"])
                yield row
        for energy in result["energies"]:
            yield from _energy_rows(units[energy["unit"]], energy, "")
        for cost in result["corners"]:
            for metric, figures in cost["figures"].items():
                row = units[cost["unit"]] | _figures(f"at {cost['corner']}, {metric}", figures)
                if cost["base"] and metric in cost["deltas"]:
                    row |= {"base": cost["base"]} | _ends("delta_percent", cost["deltas"][metric])
                yield row
        for cost in result["placed"]:
            for metric, figures in cost["figures"].items():
                row = units[cost["unit"]] | _figures(f"{_WIRED}, {metric}", figures)
                if metric in WIRED_DELTAS and cost["base"]:
                    row |= {"base": cost["base"]} | _ends("delta_percent", cost["deltas"][metric])
                yield row
            for metric, figures in ((cost["routed"] or {}).get("figures") or {}).items():
                row = units[cost["unit"]] | _figures(f"{_ROUTED}, {metric}", figures)
                if delta := cost["routed"]["deltas"].get(metric):
                    row |= {"base": cost["base"]} | _ends("delta_percent", delta)
                yield row
            for energy in cost["energies"]:
                yield from _energy_rows(units[cost["unit"]], energy | {"base": cost["base"]}, f"{_WIRED}, ")
    for cost in report["fpga"]:
        row = {"library": cost["target"]} | _unit_cells(cost)
        for metric in RESOURCES:
            figures = row | _figures(metric, cost[metric])
            if metric == "luts" and cost["delta"]:
                figures |= {"base": cost["base"]} | _ends("delta_percent", cost["delta"])
            yield figures
        for metric in PLACED if cost["placed"] else ():
            figures = row | _figures(metric, cost["placed"][metric])
            if delta := cost["placed"][f"{metric}_delta"]:
                figures |= {"base": cost["base"]} | _ends("delta_percent", delta)
            yield figures


def _energy_rows(unit: dict[str, Any], energy: dict[str, Any], before: str) -> Iterator[dict[str, Any]]:
    for what, name, delta in (
        ("energy", "total", energy["delta"]),
        ("energy without glitches", "settled", energy["settled_delta"]),
    ):
        row = unit | _figures(f"{before}{what}, {energy['vectors']}", energy[name])
        if delta:
            row |= {"base": energy["base"]} | _ends("delta_percent", delta)
        yield row


def _figures(metric: str, figures: dict[str, Any]) -> dict[str, Any]:
    spread = {name: figures[name] for name in ("median", "minimum", "maximum")}
    return {"metric": metric, "unit_of_measure": figures["unit"], **spread}


def _ends(name: str, estimate: dict[str, Any]) -> dict[str, Any]:
    return {name: estimate["mean"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}
