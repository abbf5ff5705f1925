"""What units of every shape have in common: parameters, ports, and the flow that moves their pipeline."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model import DotSpec
from .datapath import OPTIMISE, Datapath, Optimise
from .pipeline import PipelineControl, build_control, build_output, place_registers

__all__ = ["FLOWS", "Flow", "Port", "StreamUnit", "vector_meaning"]

Flow = Literal["stream", "valid", "enable"]
FLOWS: Final[tuple[Flow, ...]] = ("stream", "valid", "enable")


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


class StreamUnit(wiring.Component):
    """A pipeline of datapaths behind streams: the base of `DotUnit` and `DotArray`, which tell its contract.

    Args:
        spec: See `DotUnit`.
        stages: Likewise.
        optimise: Likewise.
        flow: Likewise.
        order: Likewise.
        segment: Likewise.
        decoded: The datapath takes decoded elements.

    Attributes:
        datapath: The steps from codes to results.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    def __init__(
        self,
        spec: DotSpec,
        *,
        stages: int,
        optimise: Optimise,
        flow: Flow,
        order: int,
        segment: int | None = None,
        decoded: bool = False,
    ) -> None:
        if not isinstance(spec, DotSpec):
            raise TypeError(f"spec must be a DotSpec, not {spec!r}")
        of_accumulator = () if segment is None else (("segment", segment),)
        for name, value in (("stages", stages), ("order", order), *of_accumulator):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        if optimise not in OPTIMISE:
            raise ValueError(f"optimise must be one of {', '.join(OPTIMISE)}, not {optimise!r}")
        if flow not in FLOWS:
            raise ValueError(f"flow must be one of {', '.join(FLOWS)}, not {flow!r}")
        if order < 0:
            raise ValueError(f"order must not be negative, not {order}")
        if segment is not None:
            if spec.accumulate != "exact":
                raise ValueError(f"segment must be None for accumulate={spec.accumulate!r}, not {segment}")
            if not 1 <= segment < spec.accumulator_bits:
                raise ValueError(
                    f"segment must be from 1 to {spec.accumulator_bits - 1} for {spec.name}, not {segment}"
                )
        self.spec = spec
        self.stages = stages
        self.optimise: Optimise = optimise
        self.flow: Flow = flow
        self.order = order
        self.segment = segment
        build = partial(Datapath, spec, optimise=optimise, order=order, decoded=decoded, segment=segment)
        self.datapath = build(whole=stages == 1)
        self._max_stages = len((self.datapath if stages != 1 else build()).steps)
        least = int(spec.accumulates)
        if not least <= stages <= self.max_stages:
            raise ValueError(
                f"stages must be from {least} to {self.max_stages} for {spec.name}, not {stages}"
            )
        self._cuts = place_registers(self.datapath.steps, stages, optimise)
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
    def result_port(self) -> Port:
        """The port of the results."""

    @abstractmethod
    def build(self, m: Module, platform: object, control: PipelineControl | None) -> Value:
        """Build the datapaths, combinational where there is no control, and return the results."""

    # What is known without elaborating.

    @property
    @abstractmethod
    def name(self) -> str:
        """The module's name."""

    @property
    def _suffix(self) -> str:
        """What a name ends in: the stages, and a flow other than ``stream``."""
        flow = "" if self.flow == "stream" or not self.stages else f"_{self.flow}"
        return f"s{self.stages}{flow}"

    @property
    def latency(self) -> int:
        """Cycles from the one in which an input is taken to the one in which its result is offered."""
        return self.stages

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step."""
        return self._max_stages

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
    def ports(self) -> tuple[Port, ...]:
        """The emitted module's ports, in order."""
        if self.stages == 0:
            return (*self.data_ports, self.result_port)
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
            *(groups if self.spec.accumulates else ()),
            *self.data_ports,
            Port("o_valid", 1, "out", "a result is offered"),
            *((taken,) if stream else ()),
            self.result_port,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.stages == 0:
            m.d.comb += self.o_result.eq(self.build(m, platform, None))
            return m
        move = Signal()
        accumulates = self.spec.accumulates
        control = build_control(
            m,
            self.datapath.steps,
            self._cuts,
            valid=self.i_valid,
            move=move,
            first=self.i_first if accumulates else None,
            last=self.i_last if accumulates else None,
        )
        valid, result = control.valid, self.build(m, platform, control)
        match self.flow:
            case "stream":
                valid, result = build_output(m, valid, result, ready=self.o_ready, move=move)
                m.d.comb += self.i_ready.eq(move)
            case "valid":
                m.d.comb += move.eq(1)
            case "enable":
                m.d.comb += move.eq(self.en)
        m.d.comb += [self.o_valid.eq(valid), self.o_result.eq(result)]
        return m


def vector_meaning(fmt: str, bits: int, count: int, what: str) -> str:
    """Return what a port of `count` codes carries, with its bit order."""
    if count == 1:
        return f"{what}, a {fmt} code"
    return f"{what}, {fmt} codes: number k at bits [{bits}k+{bits - 1}:{bits}k]"
