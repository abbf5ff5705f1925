"""What units of every shape have in common: parameters, ports, and the flow that moves their pipeline."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import Flow, Optimise, PipelineConfig
from .pipeline import PipelineControl, build_control, build_output, place_registers
from .steps.records import Factor, Step

__all__ = ["Port", "StreamDatapath", "StreamUnit", "vector_meaning"]


@dataclass(frozen=True)
class Port:
    """One port of the emitted module.

    Attributes:
        name: Its name.
        width: Its width in bits.
        direction: ``in`` or ``out``.
        meaning: What it carries, with its bit order.
    """

    name: str
    width: int
    direction: Literal["in", "out"]
    meaning: str


class StreamDatapath(Protocol):
    """What a unit computes in a cycle, as a row of steps between which pipeline registers may stand."""

    @property
    def steps(self) -> Sequence[Step[Any, Any]]:
        """The steps in order."""
        ...

    @property
    def widths(self) -> Mapping[str, int]:
        """Widths inside, in bits."""
        ...


class StreamUnit(wiring.Component):
    """A pipeline of datapaths behind streams: the base of every unit, each of which tells its contract.

    Args:
        config: How it is built.
        datapath: The steps from codes to results.
        last_cut: See `place_registers`.

    Attributes:
        config: How it is built.
        datapath: The steps from codes to results.
    """

    # Those that `ports` names.
    en: Signal
    i_valid: Signal
    i_ready: Signal
    i_first: Signal
    i_last: Signal
    o_valid: Signal
    o_ready: Signal

    def __init__(
        self, config: PipelineConfig[Any], datapath: StreamDatapath, *, last_cut: bool = False
    ) -> None:
        self.config: Any = config
        self.spec: Any = config.spec
        self.stages = config.stages
        self.optimise: Optimise = config.optimise
        self.flow: Flow = config.flow
        self.order = config.order
        self.datapath: Any = datapath
        self._cuts = place_registers(datapath.steps, config.stages, config.optimise, last_cut=last_cut)
        super().__init__(
            {
                port.name: (In if port.direction == "in" else Out)(port.width)
                for port in self.ports
                if port.name not in ("clk", "rst")
            }
        )

    @property
    @abstractmethod
    def data_ports(self) -> tuple[Port, ...]:
        """The ports of an input's codes, in order."""

    @property
    @abstractmethod
    def result_ports(self) -> tuple[Port, ...]:
        """The ports of what leaves with a valid output, in order."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What a unit of its kind has besides the parameters of every unit."""
        return {}

    @abstractmethod
    def build(self, m: Module, platform: object, control: PipelineControl | None) -> Value:
        """Build the datapaths, combinational where there is no control, and return the results.

        These are what the result ports carry, the first one's lowest.
        """

    def build_pipeline(self, m: Module, platform: object, move: Signal) -> tuple[Value, Value]:
        """Build all that moves with `move`: return whether a result is at the end, and that result."""
        accumulates = self.accumulates
        control = build_control(
            m,
            self.datapath.steps,
            self._cuts,
            valid=self.i_valid,
            move=move,
            first=self.i_first if accumulates else None,
            last=self.i_last if accumulates else None,
            c=self.c_input,
            g=self.build_factor(m, platform),
        )
        return control.valid, self.build(m, platform, control)

    # What is known without elaborating.

    @property
    def name(self) -> str:
        """The module's name, such as ``blockdot_e2m1_ue5m3_n16_fp32_s3``; see its configuration's."""
        return self.config.module_name

    @property
    def latency(self) -> int:
        """Cycles from the one in which an input is taken to the one in which its result is offered."""
        return self.stages

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step."""
        return self.config.max_stages

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the datapath's steps, in order."""
        return tuple(step.name for step in self.datapath.steps)

    @property
    def registers_after(self) -> tuple[str, ...]:
        """Names of the steps behind which a register stands, in order."""
        return tuple(self.datapath.steps[i].name for i in sorted(self._cuts))

    @property
    def widths(self) -> dict[str, int]:
        """Widths inside the unit, in bits."""
        return self.datapath.widths

    @property
    def accumulates(self) -> bool:
        """Whether an output is made of several inputs."""
        return any(step.accumulates for step in self.datapath.steps)

    @property
    def c_input(self) -> Value | None:
        """What a sum that starts here starts at; None where that is zero."""
        return None

    def build_factor(self, m: Module, platform: object) -> Factor | None:
        """Return what the result of an input is multiplied by; None where it is not."""
        del m, platform
        return None

    @property
    def ports(self) -> tuple[Port, ...]:
        """The emitted module's ports, in order."""
        if self.stages == 0:
            return (*self.data_ports, *self.result_ports)
        groups = (
            Port("i_first", 1, "in", "this input starts a sum"),
            Port("i_last", 1, "in", "this input ends its sum, whose result follows"),
        )
        stream = self.flow == "stream"
        ready = Port("i_ready", 1, "out", "an input is taken if one is offered")
        taken = Port("o_ready", 1, "in", "a result is taken if one is offered")
        enable = Port("en", 1, "in", "the pipeline moves")
        return (
            Port("clk", 1, "in", "clock, rising edge"),
            Port("rst", 1, "in", "reset of the control state, synchronous, active high"),
            *((enable,) if self.flow == "enable" else ()),
            Port("i_valid", 1, "in", "an input is offered"),
            *((ready,) if stream else ()),
            *(groups if self.accumulates else ()),
            *self.data_ports,
            Port("o_valid", 1, "out", "a result is offered"),
            *((taken,) if stream else ()),
            *self.result_ports,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.stages == 0:
            m.d.comb += self._results.eq(self.build(m, platform, None))
            return m
        move = Signal()
        valid, result = self.build_pipeline(m, platform, move)
        match self.flow:
            case "stream":
                valid, result = build_output(m, valid, result, ready=self.o_ready, move=move)
                m.d.comb += self.i_ready.eq(move)
            case "valid":
                m.d.comb += move.eq(1)
            case "enable":
                m.d.comb += move.eq(self.en)
        m.d.comb += [self.o_valid.eq(valid), self._results.eq(result)]
        return m

    @property
    def _results(self) -> Value:
        ports = [getattr(self, port.name) for port in self.result_ports]
        return ports[0] if len(ports) == 1 else Cat(*ports)


def vector_meaning(fmt: str, bits: int, count: int, what: str) -> str:
    """Return what a port of `count` codes carries, with its bit order."""
    if count == 1:
        return f"{what}, a {fmt} code"
    return f"{what}, {fmt} codes: number k at bits [{bits}k+{bits - 1}:{bits}k]"
