"""What was measured, as a file: JSON, CSV, Markdown, and one HTML page that needs nothing else."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..cost.area_delay import AreaDelayCurves
from ..cost.comparison import CostComparison
from ..cost.corner_cost import CornerCost
from ..cost.fpga_cost import FpgaCost
from ..cost.placed_cost import WiredCost
from ..cost.unit_energy import UnitEnergy
from ..cost.unit_layout import UnitLayout
from .cost_csv import cost_csv
from .cost_markdown import cost_markdown
from .cost_page import cost_page
from .layout_picture import layout_records

__all__ = [
    "COST_SCHEMA",
    "FORMATS",
    "SCHEMA_VERSION",
    "CostReport",
    "ReportChange",
    "read_report",
    "report_changes",
]

COST_SCHEMA: Final = "blockdot.area"
SCHEMA_VERSION: Final = 2

FORMATS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    ".json": lambda report: json.dumps(report, indent=1) + "\n",
    ".csv": cost_csv,
    ".md": cost_markdown,
    ".html": cost_page,
}
"""What writes a report, by the ending of the file."""

_CHANGED: Final = ("area", "period")


@dataclass(frozen=True)
class CostReport:
    """All that one run measured.

    Attributes:
        comparisons: One for each library.
        curves: The area-delay curves measured with each, in the same order.
        energies: The energies of the units with each, in the same order.
        fpga: What the units take of FPGAs.
        placed: What the units cost with their wires with each library, in the same order.
        layouts: What is drawn on a page; no part of the record.
        corners: What the units take at each corner of each library, in the same order.
    """

    comparisons: tuple[CostComparison, ...]
    curves: tuple[tuple[AreaDelayCurves, ...], ...] = ()
    energies: tuple[tuple[UnitEnergy, ...], ...] = ()
    fpga: tuple[FpgaCost, ...] = ()
    placed: tuple[tuple[WiredCost, ...], ...] = ()
    layouts: tuple[UnitLayout, ...] = ()
    corners: tuple[tuple[CornerCost, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole as JSON can hold it: schema `COST_SCHEMA`, version `SCHEMA_VERSION`."""
        curves = self.curves or ((),) * len(self.comparisons)
        energies = self.energies or ((),) * len(self.comparisons)
        placed = self.placed or ((),) * len(self.comparisons)
        corners = self.corners or ((),) * len(self.comparisons)
        return {
            "schema": COST_SCHEMA,
            "version": SCHEMA_VERSION,
            "results": [
                comparison.to_dict()
                | {
                    "curves": [one.to_dict() for one in several],
                    "energies": [one.to_dict() for one in powered],
                    "placed": [one.to_dict() for one in wired],
                    "corners": [one.to_dict() for one in cornered],
                }
                for comparison, several, powered, wired, cornered in zip(
                    self.comparisons, curves, energies, placed, corners, strict=True
                )
            ],
            "fpga": [cost.to_dict() for cost in self.fpga],
        }

    def text(self, ending: str) -> str:
        """Return the report in the format of a file's ending.

        Raises:
            ValueError: If there is no such format.
        """
        if ending not in FORMATS:
            raise ValueError(f"report must end in one of {', '.join(FORMATS)}, not {ending!r}")
        record = self.to_dict()
        if ending == ".html":
            record["layouts"] = layout_records(self.layouts)
        return FORMATS[ending](record)


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
    if found != (COST_SCHEMA, SCHEMA_VERSION):
        raise ValueError(
            f"report must be {COST_SCHEMA} version {SCHEMA_VERSION}, not {found[0]} version {found[1]}"
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
        ValueError: If no unit with the same library, and with or without its adder cells, is in both.
    """
    before = {(library, adders, cost["unit"]): cost for library, adders, cost in _costs(old)}
    found: list[ReportChange] = []
    for library, adders, cost in _costs(new):
        was = before.get((library, adders, cost["unit"]))
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
        units = [{(library, cost["unit"]) for library, _, cost in _costs(report)} for report in (old, new)]
        if units[0] & units[1]:
            raise ValueError("reports must both be of adder cells or neither, not one of them")
        raise ValueError("reports must have a unit with the same library in common, not none")
    return found


def _costs(report: dict[str, Any]) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Yield each unit's cost, with its library and whether that library's adder cells are used."""
    for result in report["results"]:
        for cost in result["costs"]:
            # Reports of before there were such recipes do not have the key.
            yield result["library"]["name"], bool(result.get("adders")), cost
