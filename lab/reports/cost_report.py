"""What was measured, as a file: JSON, CSV, Markdown, and one HTML page that needs nothing else."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..cost.area_delay import AreaDelayCurves
from ..cost.comparison import CostComparison
from ..cost.fpga_cost import RESOURCES, FpgaCost
from ..cost.unit_energy import UnitEnergy

__all__ = [
    "FORMATS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "CostReport",
    "ReportChange",
    "read_report",
    "report_changes",
]

SCHEMA: Final = "blockdot.area"
SCHEMA_VERSION: Final = 2

FORMATS: Final = (".json", ".csv", ".md", ".html")
"""The endings of the files that a report can be written to."""

_PAGE: Final = Path(__file__).with_name("page.html")
_CHANGED: Final = ("area", "period")
_PLACED: Final = ("logic_cells", "fmax")


@dataclass(frozen=True)
class CostReport:
    """All that one run measured.

    Attributes:
        comparisons: One for each library.
        curves: The area-delay curves measured with each, in the same order.
        energies: The energies of the units with each, in the same order.
        fpga: What the units take of FPGAs.
    """

    comparisons: tuple[CostComparison, ...]
    curves: tuple[tuple[AreaDelayCurves, ...], ...] = ()
    energies: tuple[tuple[UnitEnergy, ...], ...] = ()
    fpga: tuple[FpgaCost, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole as JSON can hold it: schema `SCHEMA`, version `SCHEMA_VERSION`."""
        curves = self.curves or ((),) * len(self.comparisons)
        energies = self.energies or ((),) * len(self.comparisons)
        return {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "results": [
                comparison.to_dict()
                | {
                    "curves": [one.to_dict() for one in several],
                    "energies": [one.to_dict() for one in powered],
                }
                for comparison, several, powered in zip(self.comparisons, curves, energies, strict=True)
            ],
            "fpga": [cost.to_dict() for cost in self.fpga],
        }

    def text(self, ending: str) -> str:
        """Return the report in the format of a file's ending.

        Raises:
            ValueError: If there is no such format.
        """
        match ending:
            case ".json":
                return json.dumps(self.to_dict(), indent=1) + "\n"
            case ".csv":
                return _csv(self.to_dict())
            case ".md":
                return "\n".join(_markdown(self.to_dict())) + "\n"
            case ".html":
                return _html(self.to_dict())
        raise ValueError(f"report must end in one of {', '.join(FORMATS)}, not {ending!r}")


def read_report(path: Path) -> dict[str, Any]:
    """Read a report's JSON.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a report of this version.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"report must be a JSON file of blockdot area, not {str(path)!r}") from error
    found = (record.get("schema"), record.get("version")) if isinstance(record, dict) else (None, None)
    if found != (SCHEMA, SCHEMA_VERSION):
        raise ValueError(
            f"report must be {SCHEMA} version {SCHEMA_VERSION}, not {found[0]} version {found[1]}"
        )
    return record


@dataclass(frozen=True)
class ReportChange:
    """How a figure differs from what it was in an older report.

    Attributes:
        library: The library.
        unit: The unit.
        metric: ``area`` or ``period``.
        unit_of_measure: The unit that the figures are in.
        before: The median then.
        after: The median now.
    """

    library: str
    unit: str
    metric: str
    unit_of_measure: str
    before: float
    after: float

    @property
    def percent(self) -> float:
        """The difference in percent of what it was; infinite where it was nothing."""
        if self.after == self.before:
            return 0.0
        return 100 * (self.after - self.before) / self.before if self.before else math.inf


def report_changes(old: dict[str, Any], new: dict[str, Any]) -> list[ReportChange]:
    """Return how the figures of the units that are in both of two reports differ.

    Raises:
        ValueError: If no unit with the same library is in both.
    """
    before = {(library, cost["unit"]): cost for library, cost in _costs(old)}
    found: list[ReportChange] = []
    for library, cost in _costs(new):
        was = before.get((library, cost["unit"]))
        if was is not None:
            found += [
                ReportChange(
                    library,
                    cost["unit"],
                    metric,
                    cost[metric]["unit"],
                    was[metric]["median"],
                    cost[metric]["median"],
                )
                for metric in _CHANGED
            ]
    if not found:
        raise ValueError("reports must have a unit with the same library in common, not none")
    return found


def _costs(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for result in report["results"]:
        for cost in result["costs"]:
            yield result["library"]["name"], cost


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
_COLUMNS: Final[tuple[str, ...]] = (
    "library", "unit", "element", "scale", "block_size", "blocks", "accumulate", "guard", "stages",
    "optimise", "segment", "metric", "unit_of_measure", "median", "minimum", "maximum", "base", "delta",
    "delta_low", "delta_high", "delta_percent", "delta_percent_low", "delta_percent_high", "orders",
    "variants", "recipes", "pyosys",
)  # fmt: skip


def _csv(report: dict[str, Any]) -> str:
    """One line for each unit and metric, with its difference if it has one."""
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for result in report["results"]:
        deltas = {(delta["other"], delta["metric"]["name"]): delta for delta in result["deltas"]}
        common = {
            "library": result["library"]["name"],
            "orders": len(result["orders"]),
            "variants": result["variants"],
            "recipes": " ".join(result["recipes"]),
            "pyosys": result["tools"]["pyosys"],
        }
        units: dict[str, dict[str, Any]] = {}
        for cost in result["costs"]:
            units[cost["unit"]] = unit = common | {
                **{name: cost[name] for name in _UNIT_COLUMNS},
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
                writer.writerow(row)
        for energy in result["energies"]:
            for what, name, delta in (
                ("energy", "total", energy["delta"]),
                ("energy without glitches", "settled", energy["settled_delta"]),
            ):
                row = units[energy["unit"]] | _figures(f"{what}, {energy['vectors']}", energy[name])
                if delta:
                    row |= {"base": energy["base"]} | _ends("delta_percent", delta)
                writer.writerow(row)
    for cost in report["fpga"]:
        row = {"library": cost["target"]} | {name: cost[name] for name in _UNIT_COLUMNS}
        for metric in RESOURCES:
            figures = row | _figures(metric, cost[metric])
            if metric == "luts" and cost["delta"]:
                figures |= {"base": cost["base"]} | _ends("delta_percent", cost["delta"])
            writer.writerow(figures)
        for metric in _PLACED if cost["placed"] else ():
            figures = row | _figures(metric, cost["placed"][metric])
            if delta := cost["placed"][f"{metric}_delta"]:
                figures |= {"base": cost["base"]} | _ends("delta_percent", delta)
            writer.writerow(figures)
    return text.getvalue()


def _figures(metric: str, figures: dict[str, Any]) -> dict[str, Any]:
    spread = {name: figures[name] for name in ("median", "minimum", "maximum")}
    return {"metric": metric, "unit_of_measure": figures["unit"], **spread}


def _ends(name: str, estimate: dict[str, Any]) -> dict[str, Any]:
    return {name: estimate["mean"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}


def _interval(estimate: dict[str, Any], digits: int) -> str:
    margin = (estimate["high"] - estimate["low"]) / 2
    unit = f" {estimate['unit']}" if estimate["unit"] else ""
    return f"{estimate['mean']:+.{digits}f} ± {margin:.{digits}f}{unit}"


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; all columns but the first are aligned to the right."""
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|--:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _markdown(report: dict[str, Any]) -> Iterator[str]:
    for result in report["results"]:
        library = result["library"]
        yield f"## {library['name']}"
        yield ""
        yield (
            f"pyosys {result['tools']['pyosys']}, recipes {', '.join(result['recipes'])}, "
            f"{len(result['orders'])} netlists of each unit, {result['variants']} x mapped for area, "
            f"intervals of {100 * result['level']:.0f} %. Gates alone: no wires, no placement."
        )
        if left_out := library.get("left_out"):
            yield f"Cells not used: {', '.join(f'`{rule}`' for rule in left_out)}."
        yield ""
        yield from table_lines(
            (
                "unit",
                f"area [{library['area_unit']}]",
                "area [NAND2]",
                f"delay [{library['delay_unit']}]",
                f"period [{library['delay_unit']}]",
                "fmax [MHz]",
                "flip-flops",
            ),
            [
                (
                    cost["unit"],
                    f"{cost['area']['median']:.1f}",
                    f"{cost['area_nand2']['median']:.1f}",
                    f"{cost['delay']['median']:.3f}",
                    f"{cost['period']['median']:.3f}",
                    f"{cost['fmax']['median']:.1f}" if cost["fmax"] else "",
                    f"{cost['flip_flops']['median']:.0f}",
                )
                for cost in result["costs"]
            ],
        )
        yield ""
        if result["deltas"]:
            deltas: dict[str, dict[str, Any]] = {}
            for delta in result["deltas"]:
                deltas.setdefault(delta["other"], {"base": delta["base"]})[delta["metric"]["name"]] = delta
            ways = {one["other"]: one for one in result["attributions"]}
            yield from table_lines(
                ("unit", "against", "area, whole", "area, attributed", "both", "delay", "period"),
                [
                    (
                        other,
                        found["base"],
                        _interval(found["area"]["relative"], 2),
                        _interval(ways[other]["relative"], 2) if other in ways else "",
                        ("agree" if ways[other]["agrees"] else "**differ**") if other in ways else "",
                        _interval(found["delay"]["relative"], 2),
                        _interval(found["period"]["relative"], 2),
                    )
                    for other, found in deltas.items()
                ],
            )
            yield ""
        if result["energies"]:
            yield from table_lines(
                (
                    "unit",
                    "vectors",
                    f"energy [{result['energies'][0]['total']['unit']}]",
                    "without glitches",
                    "difference",
                    "without glitches",
                ),
                [
                    (
                        energy["unit"],
                        energy["vectors"],
                        f"{energy['total']['median']:.0f}",
                        f"{energy['settled']['median']:.0f}",
                        _interval(energy["delta"], 2) if energy["delta"] else "",
                        _interval(energy["settled_delta"], 2) if energy["settled_delta"] else "",
                    )
                    for energy in result["energies"]
                ],
            )
            yield ""
        for attribution in result["attributions"]:
            yield f"`{attribution['other']}` less `{attribution['base']}`, component by component:"
            yield ""
            yield from table_lines(
                ("component", f"area [{library['area_unit']}]", "ports before", "ports after"),
                [
                    (
                        part["role"],
                        "the same" if part["equal"] else _interval(part["area"], 1),
                        "" if part["equal"] else f"{part['base_count']} x ({part['base_ports']})",
                        "" if part["equal"] else f"{part['other_count']} x ({part['other_ports']})",
                    )
                    for part in attribution["parts"]
                ]
                + [
                    ("all of them", _interval(attribution["total"], 1), "", ""),
                    ("across components", _interval(attribution["across"], 1), "", ""),
                    ("the whole", _interval(attribution["whole"], 1), "", ""),
                ],
            )
            yield ""
    if report["fpga"]:
        yield from _fpga_lines(report["fpga"])


def _fpga_lines(costs: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## FPGA"
    yield ""
    yield from table_lines(
        ("unit", "target", *(name.replace("_", "-") for name in RESOURCES), "LUTs against the first"),
        [
            (
                cost["unit"],
                cost["target"],
                *(f"{cost[name]['median']:.0f}" for name in RESOURCES),
                _interval(cost["delta"], 2) if cost["delta"] else "",
            )
            for cost in costs
        ],
    )
    yield ""
    placed = [cost for cost in costs if cost["placed"]]
    if not placed:
        return
    about = placed[0]["placed"]
    yield (
        f"Placed and routed on the iCE40 {about['device']} by nextpnr {about['nextpnr']}, each netlist from "
        f"{len(about['seeds'])} seeds. The logic cells are those of the unit alone, fmax is from register to "
        f"register through it."
    )
    yield ""
    yield from table_lines(
        ("unit", "logic cells", "fmax [MHz]", "least", "greatest", "logic cells against the first", "fmax"),
        [
            (
                cost["unit"],
                f"{one['logic_cells']['median']:.0f}",
                *(f"{one['fmax'][name]:.2f}" for name in ("median", "minimum", "maximum")),
                *(_interval(one[f"{name}_delta"], 2) if one[f"{name}_delta"] else "" for name in _PLACED),
            )
            for cost, one in ((cost, cost["placed"]) for cost in placed)
        ],
    )
    yield ""


def _html(report: dict[str, Any]) -> str:
    # Inside a script element nothing ends it but </, and these two are line ends to old JavaScript.
    data = json.dumps(report).replace("</", "<\\/").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return _PAGE.read_text(encoding="utf-8").replace("/*REPORT*/null", data)
