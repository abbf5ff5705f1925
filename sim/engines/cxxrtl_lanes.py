"""CXXRTL for the greatest volume: many units side by side, one in each bit of a machine word.

The unit's netlist is taken to gates, one bit to a wire, and the C++ that CXXRTL writes for it is compiled
against a runtime (``lanes.h``) in which a wire holds that bit of 512 units. Every operation then works for
all of them: a unit is simulated some fifty times faster than word by word. Each unit, a lane, plays a
stimulus of its own under the same stream rules as everywhere, so that whatever a lane does can be repeated by
the engine ``cxxrtl``.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ...base import external_tools
from ...hw import SerialQuantizerUnit, to_rtlil
from ...hw.stream_unit import Port, StreamUnit
from ...model.specifications import Specification
from ...synth import yosys
from ..quantizer_stimulus import QuantizerStimulus
from ..serial_stimulus import in_series
from ..stream_rules import Limits, Response, RunOutcome, result_ports, result_words
from ..unit_stimulus import UnitStimulus
from .cxxrtl import NEEDS as CXXRTL_NEEDS
from .cxxrtl import Runs, compiled, member, source_beside
from .cxxrtl_source import divide

__all__ = ["LANES", "NEEDS", "Batch", "BuiltUnit", "LanesResponse", "build", "run"]

LANES: Final = 512
"""Units that are simulated side by side; as in ``lanes.h``."""

NEEDS: Final = (*CXXRTL_NEEDS, *yosys.NEEDS)
"""Names of the tools that are needed."""

# Cells that write_cxxrtl takes in place of gates.
_TO_OPERATORS: Final = """
module \\$_AND_ (input A, B, output Y); assign Y = A & B; endmodule
module \\$_OR_ (input A, B, output Y); assign Y = A | B; endmodule
module \\$_XOR_ (input A, B, output Y); assign Y = A ^ B; endmodule
module \\$_NOT_ (input A, output Y); assign Y = ~A; endmodule
module \\$_MUX_ (input A, B, S, output Y); assign Y = (A & ~S) | (B & S); endmodule
module \\$_DFF_P_ (input C, D, output Q);
    \\$dff #(.WIDTH(1), .CLK_POLARITY(1)) register (.CLK(C), .D(D), .Q(Q));
endmodule
"""


@dataclass(frozen=True)
class BuiltUnit:
    """A compiled unit; small enough to be handed to another process.

    Attributes:
        spec: What it computes.
        name: Its name.
        stages: Its register stages.
        latency: Its latency in cycles.
        result_words: 32-bit words of a result.
        library: The shared library.
        serial: It is a quantizer that takes a number a cycle.
    """

    spec: Specification
    name: str
    stages: int
    latency: int
    result_words: int
    library: Path
    serial: bool = False


def _bits(port: Port) -> str:
    name = f"unit.{member(port)}"
    if port.width == 1:
        return f"bit_of({name})"
    return ", ".join(f"bit_of({name}_5b_{k}_5d_)" for k in range(port.width))


def build(unit: StreamUnit, build_dir: Path) -> BuiltUnit:
    """Compile a unit, unless that has been done.

    Args:
        unit: The unit.
        build_dir: The folder to build in; made if need be.

    Returns:
        The compiled unit.

    Raises:
        ToolError: If a tool is missing.
        EngineError: If the compiler fails.
        SynthesisError: If Yosys fails.
    """
    version = str(external_tools.require_tools(*NEEDS)["pyosys"].version)
    commands = [
        "read_rtlil unit.il",
        *yosys.gates(unit.name),
        "techmap -map operators.v",
        "splitnets -ports",
        "opt_clean",
        "write_cxxrtl -g0 unit.cc",
    ]
    netlist = to_rtlil(unit)
    loads = "".join(f"LOAD({_bits(port)})" for port in unit.data_ports)
    stores = "".join(f"STORE({_bits(port)})" for port in result_ports(unit))
    row_words = sum(-(-port.width // 32) for port in unit.data_ports) + 1
    ports = f"#define ROW_WORDS {row_words}\n#define LOAD_PORTS {loads}\n#define STORE_PORTS {stores}\n"

    def design() -> str:
        inputs = {"unit.il": netlist, "operators.v": _TO_OPERATORS}
        return ports + divide(yosys.run(commands, inputs=inputs, outputs=["unit.cc"])["unit.cc"])

    library = compiled(
        unit,
        design,
        "lanes.cc",
        build_dir,
        # Not what Yosys writes: splitnets takes wires in the order of their addresses, so that the same
        # netlist comes out in another order where, say, the environment is of another length.
        made_from=[netlist, *commands, _TO_OPERATORS, version, ports, source_beside("cxxrtl_source.py")],
        suffix="-lanes",
        headers={"cxxrtl/cxxrtl.h": source_beside("lanes.h")},
    )
    serial = isinstance(unit, SerialQuantizerUnit)
    return BuiltUnit(unit.spec, unit.name, unit.stages, unit.latency, result_words(unit), library, serial)


@dataclass(frozen=True, eq=False)
class Batch:
    """A stimulus cut into lanes, each of which is played to a unit of its own.

    Attributes:
        stimulus: The lanes' vectors, one lane after another. What its patterns say of cycle 0, each lane
            starts somewhere else.
        starts: The first vector of each lane, int64.
        phases: Where in the patterns of offers and of accepts each lane starts, int64, shape (lanes, 2).
    """

    stimulus: UnitStimulus
    starts: npt.NDArray[np.int64]
    phases: npt.NDArray[np.int64]

    @classmethod
    def cut(cls, stimulus: UnitStimulus, lanes: int = LANES) -> "Batch":
        """Cut a stimulus into about equal lanes, each of which starts a sum.

        Args:
            stimulus: The stimulus.
            lanes: How many lanes there are to be, at most; fewer where there are fewer sums.
        """
        wanted = np.arange(lanes) * stimulus.vectors // lanes
        sums = np.append(np.flatnonzero(stimulus.first), stimulus.vectors)
        starts = np.unique(np.append(0, sums[np.searchsorted(sums, wanted)]))
        starts = starts[starts < stimulus.vectors]
        # Primes, so that no two lanes stall alike.
        steps = np.arange(len(starts))[:, np.newaxis] * np.array([37, 53])
        return cls(stimulus, starts, steps % [len(stimulus.offer), len(stimulus.accept)])

    @classmethod
    def join(cls, stimuli: Sequence[UnitStimulus]) -> "Batch":
        """Make a lane of each of some stimuli.

        Args:
            stimuli: Stimuli for one specification and with the same patterns, each of which starts a sum.
        """
        whole = stimuli[0].join(stimuli[1:])
        starts = np.cumsum([0, *(one.vectors for one in stimuli[:-1])])
        return cls(whole, starts, np.zeros((len(stimuli), 2), np.int64))

    def as_played(self, built: BuiltUnit) -> "Batch":
        """Return the batch as a unit takes it: blocks one number after the other where it is serial."""
        if not built.serial:
            return self
        assert isinstance(self.stimulus, QuantizerStimulus)
        return Batch(in_series(self.stimulus), self.starts * self.stimulus.spec.block_size, self.phases)

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self.starts)

    def lane(self, lane: int) -> UnitStimulus:
        """Return what one lane plays, as a stimulus of its own."""
        end = self.starts[lane + 1] if lane + 1 < self.lanes else self.stimulus.vectors
        whole = self.stimulus
        return whole.select(
            slice(self.starts[lane], end),
            offer=np.roll(whole.offer, -self.phases[lane, 0]),
            accept=np.roll(whole.accept, -self.phases[lane, 1]),
        )


@dataclass(frozen=True, eq=False)
class LanesResponse:
    """What all lanes answered.

    Attributes:
        results: Bits of all results in the order of the stimulus, as `Response` has them; 0 for those that
            were not given.
        result_starts: The first result of each lane, int64.
        broken: The lanes that broke a stream rule.
        cycles: Cycles that the longest lane ran.
    """

    results: npt.NDArray[np.uint32]
    result_starts: npt.NDArray[np.int64]
    broken: npt.NDArray[np.int64]
    cycles: int
    _runs: Runs

    def lane(self, lane: int) -> tuple[RunOutcome, Response]:
        """Return how a lane's run ended, and what its unit answered."""
        return self._runs.answer(lane)

    def failing(self, expected: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Return the lanes that broke a rule or gave a result that is not the expected one, in order."""
        unequal = self.results != expected
        different = np.flatnonzero(unequal.any(axis=1) if unequal.ndim > 1 else unequal)
        lanes = np.searchsorted(self.result_starts, different, side="right") - 1
        return np.union1d(self.broken, lanes)


def run(built: BuiltUnit, batch: Batch) -> LanesResponse:
    """Run a batch through a compiled unit; other Python threads go on meanwhile.

    Args:
        built: The compiled unit.
        batch: What to put in; for the unit's specification.

    Returns:
        What all lanes answered.
    """
    library = ctypes.CDLL(str(built.library))
    limits = Limits.of(built.latency, batch.stimulus)
    runs = Runs(batch.stimulus, batch.starts, limits, batch.phases, built.result_words)
    library.blockdot_run_lanes(ctypes.c_void_p(runs.jobs.ctypes.data), ctypes.c_int64(len(runs.jobs)))
    return LanesResponse(
        results=runs.results,
        result_starts=runs.result_starts,
        broken=np.flatnonzero(runs.jobs["outcome"]),
        cycles=int(runs.jobs["cycles"].max()),
        _runs=runs,
    )
