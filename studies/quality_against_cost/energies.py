"""Switching energy of the units that the points are made of, on real vectors."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from blockdot.hw.config import UnitConfig
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.lab.cost.energy_workloads import ENERGY_LANES, Workload, quantizer_workload, workloads
from blockdot.lab.cost.jobs import Progress, measure_all
from blockdot.lab.cost.measurement_job import MeasurementJob
from blockdot.lab.cost.priced_unit import PricedUnit
from blockdot.lab.cost.switching_energy import ENERGY_VERSION
from blockdot.lab.cost.unit_energy import energy_unit
from blockdot.lab.demo_weights import Tensors, real_tensors
from blockdot.lab.statistics import Summary
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.metric import Metric
from blockdot.synth.recipes import FLOW_VERSION, choose
from blockdot.synth.yosys import pyosys_version

from ..records import StoredRecord, joined, read_stored
from ..todays_netlist import todays_netlist
from .points import LIBRARY, Areas

__all__ = ["ANSWER", "RECIPE", "known_energies", "measure_energies", "of_today"]

ANSWER: Final = Path("studies/answer/results.jsonl")
"""Where another study keeps what it measured of units."""

RECIPE: Final = "a2"
"""What maps the units whose cost is measured here."""

ORDERS: Final = 2
"""Netlists of each dot-product unit. They differ by a few per cent, as glitches do."""


def known_energies(library: str) -> dict[str, StoredRecord]:
    """Return the energies on real vectors that another study keeps of a library's units, by unit.

    Those that were found in another way than they are today are left out. Each has the ``netlist`` that it is
    of: the hardware may have changed since.
    """
    return {
        row["unit"]: {
            **{name: real[name] for name in ("total", "settled", "netlists")},
            "source": "answer",
            "flow": row["flow"],
            "netlist": row["netlist"],
        }
        for row in read_stored(ANSWER)["rows"]
        if row["library"] == library
        and (real := row["energy"].get("real")) is not None
        and real["version"] == ENERGY_VERSION
    }


def of_today(kept: Mapping[str, StoredRecord], netlists: Mapping[str, str]) -> dict[str, StoredRecord]:
    """Return what is kept of the hardware of today.

    Args:
        kept: What is kept, by unit.
        netlists: The netlist that each unit has today, by its name.
    """
    return {
        name: row for name, row in kept.items() if name in netlists and row.get("netlist") == netlists[name]
    }


def measure_energies(
    stored: StoredRecord,
    *,
    library: str = LIBRARY,
    known: dict[str, StoredRecord] | None = None,
    only: str = "*",
    orders: int = ORDERS,
    lanes: int = ENERGY_LANES,
    today: Callable[[PricedUnit], str] = todays_netlist,
    keep: Callable[[StoredRecord], None] = lambda _: None,
    progress: Callable[[str], Progress | None] | None = None,
) -> StoredRecord:
    """Return what is stored with the energies of all units that are cheapest by their stored areas.

    Args:
        stored: What is kept already, with areas.
        library: A name, or files, as `find_library` takes them.
        known: Energies that are taken from elsewhere, by the unit's name; another study's where it is None.
        only: A pattern that the names of units must have.
        orders: How many netlists are made of each dot-product unit. Of a quantizer it is one, as a product
            pays for a small share of it.
        lanes: Vectors side by side.
        today: What tells a unit's netlist: what is kept of another is measured again.
        keep: Called with what there is so far, after each unit.
        progress: Called with a word on what comes next; what it returns is called after each unit.

    Raises:
        FileNotFoundError: If the weights that make the vectors are not installed.
        ValueError: If no unit has the pattern.
    """
    tensors = real_tensors()
    if tensors is None:
        raise FileNotFoundError("weights must be installed for real vectors: make demo")
    cells = find_library(library)
    metric = Metric("energy", energy_unit(cells), "lower", 0)
    (recipe,) = choose([RECIPE])
    names = [name for name in Areas(stored["areas"], cells.name).units() if fnmatchcase(name, only)]
    if not names:
        raise ValueError(f"only must match the name of a unit that has an area in {cells.name}, not {only!r}")
    units = _units(names)
    netlists = {unit.name: today(unit) for unit in units}
    known = of_today(known_energies(cells.name) if known is None else known, netlists)
    kept = {
        row["unit"]: row
        for row in stored["energies"]
        if row["library"] == cells.name and row["version"] == ENERGY_VERSION
    }
    there = of_today(kept, netlists)
    missing = [unit for unit in units if unit.name not in there]
    missing.sort(key=lambda unit: unit.name not in known)
    tell = None if progress is None else progress(f"{cells.name}: energies")
    for done, unit in enumerate(missing, 1):
        found = known.get(unit.name)
        if found is None:
            made = 1 if isinstance(unit, QuantizerConfig) else orders
            samples = measure_all(
                [
                    MeasurementJob(
                        unit, order, workloads=(_fed(unit, tensors, lanes),), powered=recipe.varied(order)
                    )
                    for order in range(made)
                ],
                cells,
                workers=1,
            )
            energies = [sample.energies[0] for sample in samples]
            total = Summary(metric, tuple(energy.total for energy in energies))
            found = {
                "total": total.median,
                "settled": Summary(metric, tuple(energy.settled for energy in energies)).median,
                "least": total.minimum,
                "most": total.maximum,
                "netlists": made,
                "source": "measured",
                "flow": FLOW_VERSION,
                "netlist": netlists[unit.name],
            }
        row = {
            "library": cells.name,
            "unit": unit.name,
            "energy_unit": metric.unit,
            "version": ENERGY_VERSION,
        }
        stored = stored | {
            "pyosys": pyosys_version(),
            "energies": joined(stored["energies"], [row | found]),
        }
        keep(stored)
        if tell is not None:
            tell(done, len(missing), unit.name)
    return stored


def _units(names: Sequence[str]) -> list[UnitConfig | QuantizerConfig]:
    return [
        QuantizerConfig.parse(name) if name.startswith("quantize_") else UnitConfig.parse(name)
        for name in names
    ]


def _fed(unit: UnitConfig | QuantizerConfig, tensors: Tensors, lanes: int) -> Workload:
    if isinstance(unit, QuantizerConfig):
        return quantizer_workload(unit.spec, unit.stages, tensors, lanes=lanes)
    return next(iter(workloads(unit.spec, unit.stages, tensors, lanes=lanes)))
