"""The netlist that a unit has today: by it, a study tells what it measured of other hardware."""

from collections.abc import Callable, Iterable

from blockdot.hw.configurations import parse_configuration
from blockdot.lab.cost.measurement_job import emit
from blockdot.lab.cost.priced_unit import PricedUnit
from blockdot.synth.netlist import Netlist

from .records import StoredRecord

__all__ = ["marked_rows", "netlist_by_name", "todays_netlist"]


def todays_netlist(unit: PricedUnit) -> str:
    """Return the hash of a unit's netlist with its adders in the first order."""
    return Netlist(*emit(unit, 0)).sha256


def netlist_by_name(unit: str) -> str:
    """Return `todays_netlist` of a unit, by its name."""
    return todays_netlist(parse_configuration(unit))


def marked_rows(
    rows: Iterable[StoredRecord], *, today: Callable[[str], str] = netlist_by_name
) -> list[StoredRecord]:
    """Return rows, where each whose unit has another netlist today than its ``netlist`` is ``changed``.

    Args:
        rows: Rows of units.
        today: What tells a unit's netlist by its name.
    """
    rows = list(rows)
    # A unit has a row for each library.
    netlists = {unit: today(unit) for unit in {row["unit"]: None for row in rows}}
    marked: list[StoredRecord] = []
    for row in rows:
        facts = {key: value for key, value in row.items() if key != "changed"}
        marked.append(facts | ({"changed": True} if netlists[row["unit"]] != row["netlist"] else {}))
    return marked
