"""What units take of an FPGA, over several functionally equal netlists, and how two formats differ in it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, Final

from ..hw.synth.flow import Netlist
from ..hw.synth.fpga import FpgaSynthesizer, Resources
from ..hw.synth.metric import Metric
from .estimate import Estimate, Summary, relative
from .measure import Make, Unit, emit, seeds_of
from .pool import processors

__all__ = ["RESOURCES", "FpgaCost", "fpga"]

RESOURCES: Final = ("luts", "carries", "flip_flops", "dsps", "muxes")
"""The resources that are told, by their names in `Resources`."""


@dataclass(frozen=True)
class FpgaCost:
    """What a unit takes of an FPGA, over its netlists.

    Attributes:
        unit: The unit.
        target: The FPGA's family.
        resources: The number of each of `RESOURCES`, by name.
        base: The unit that it is compared with; None for none.
        delta: The look-up tables less the base's of the same order, in percent of those.
    """

    unit: Unit
    target: str
    resources: dict[str, Summary]
    base: Unit | None = None
    delta: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return {
            "target": self.target,
            **self.unit.to_dict(),
            **{name: summary.to_dict() for name, summary in self.resources.items()},
            "base": None if self.base is None else self.base.name,
            "delta": None if self.delta is None else self.delta.to_dict(),
        }


def fpga(
    units: Sequence[Unit],
    targets: Sequence[str],
    *,
    orders: int = 5,
    seed: int = 0,
    workers: int | None = None,
    make: Make = emit,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[FpgaCost]:
    """Measure units on FPGAs.

    Args:
        units: What to measure. Of those alike but for the scale format, the first is what the others are
            compared with.
        targets: Names out of `hw.synth.fpga.TARGETS`.
        orders: How many netlists are made of each unit, at least 2.
        seed: Which ones.
        workers: How many syntheses run at once; the number of processors where it is None.
        make: Makes a unit's netlist in an order.
        progress: Called after each netlist with how many are done, how many there are, and the unit's name.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
        SynthesisError: If a unit cannot be synthesized.
    """
    seeds = seeds_of(orders, seed)
    found: dict[tuple[Unit, int], dict[str, Resources]] = {}
    with FpgaSynthesizer() as synthesizer:
        # Amaranth is not made for several threads; Yosys runs in processes of its own.
        made = {(unit, order): Netlist(*make(unit, order)) for unit in units for order in seeds}
        with ThreadPoolExecutor(processors() if workers is None else workers) as executor:
            running = {
                executor.submit(synthesizer.run, netlist, targets): key for key, netlist in made.items()
            }
            try:
                for future in as_completed(running):
                    key = running[future]
                    found[key] = future.result()
                    if progress is not None:
                        progress(len(found), len(running), key[0].name)
            except BaseException:
                synthesizer.close()
                executor.shutdown(cancel_futures=True)
                raise
    costs: list[FpgaCost] = []
    for target in targets:
        bases: dict[Unit, FpgaCost] = {}
        for unit in units:
            several = [found[unit, order][target] for order in seeds]
            cost = FpgaCost(
                unit,
                target,
                {
                    name: Summary(Metric(name, "", "lower", 0), tuple(getattr(one, name) for one in several))
                    for name in RESOURCES
                },
            )
            base = bases.setdefault(unit.kin, cost)
            if base is not cost:
                before, after = (one.resources["luts"] for one in (base, cost))
                delta = relative(after.metric, before.values, after.values)
                cost = replace(cost, base=base.unit, delta=delta)
            costs.append(cost)
    return costs
