"""What one netlist takes at one corner of a process."""

from ...synth.cell_models import CellModels
from ...synth.mapped_netlist import MappedNetlist
from ...synth.static_timing import analyse
from ...synth.yosys import SynthesisError

__all__ = ["corner_figures"]


def corner_figures(mapped: MappedNetlist, models: CellModels) -> dict[str, float]:
    """Return a netlist's delay and period, and its leakage power in nW where the library states any.

    Args:
        mapped: The netlist.
        models: Its cells at the corner.

    Returns:
        ``delay`` and ``period``, in the unit of the library's `delay`, and ``leakage``.

    Raises:
        SynthesisError: If a cell cannot be timed.
    """
    library = models.library
    try:
        timing = analyse(mapped, models)
    except ValueError as error:
        raise SynthesisError(f"corner {library.name} must time every cell: {error}") from error
    figures = {
        "delay": library.reported_delay(timing.gates),
        "period": library.reported_delay(timing.period),
    }
    leakage = models.leakage_nw(instance.cell for instance in mapped.instances)
    return figures if leakage is None else figures | {"leakage": leakage}
