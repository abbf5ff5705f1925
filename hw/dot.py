"""The unit: one specification's datapath, cut into pipeline stages, behind valid/ready streams."""

from dataclasses import dataclass
from typing import Final, Literal

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model import DotSpec
from .datapath import OPTIMISE, Datapath, Live, Optimise
from .pipeline import build_output, build_pipeline, place_registers

__all__ = ["FLOWS", "OPTIMISE", "DotUnit", "Flow", "Optimise", "Port"]

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


class DotUnit(wiring.Component):
    """A block dot-product unit: the hardware of one `DotSpec`.

    One input a cycle at any number of stages. The result of an input (of a sum's last input) is at the
    outputs `latency` cycles after the cycle in which it was taken. With ``stages=0`` the unit is
    combinational and has only data ports.

    Streams follow Amaranth's rules: a transfer happens in a cycle with valid and ready both high; valid
    stays and its payload holds until then. While the output is not ready the whole pipeline stands
    still. One result that arrives in the cycle in which it is found out goes to a spare register, so
    `i_ready` comes straight from a flip-flop: no combinational path leads to it. `rst` (synchronous,
    high) clears the control state; data registers keep what they hold.

    Where the specification accumulates, a sum starts at an input with `i_first` and ends at the one with
    `i_last`. An input before the first `i_first` after reset adds to an undefined sum. A new sum may
    start in the cycle after `i_last`.

    Args:
        spec: What to compute.
        stages: Registers between input and output; the accumulator is one of them. From 0 (from 1 where
            the specification accumulates) to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline. ``stream``: as above. ``valid``: it moves in every cycle, and who uses
            it takes results as they come; there are no ready ports and no spare register. ``enable``: the
            same in cycles with `en` high, and in others it stands still.
        order: Seed of the order in which bits enter the compressor trees: every order computes the same,
            through different wires, so that a synthesis result can be given with its spread.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    def __init__(
        self,
        spec: DotSpec,
        *,
        stages: int = 1,
        optimise: Optimise = "area",
        flow: Flow = "stream",
        order: int = 0,
    ) -> None:
        if not isinstance(spec, DotSpec):
            raise TypeError(f"spec must be a DotSpec, not {spec!r}")
        for name, value in (("stages", stages), ("order", order)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        if optimise not in OPTIMISE:
            raise ValueError(f"optimise must be one of {', '.join(OPTIMISE)}, not {optimise!r}")
        if flow not in FLOWS:
            raise ValueError(f"flow must be one of {', '.join(FLOWS)}, not {flow!r}")
        if order < 0:
            raise ValueError(f"order must not be negative, not {order}")
        self.spec = spec
        self.stages = stages
        self.optimise: Optimise = optimise
        self.flow: Flow = flow
        self.order = order
        self._datapath = Datapath(spec, optimise=optimise, order=order)
        least = int(spec.accumulates)
        if not least <= stages <= self.max_stages:
            raise ValueError(
                f"stages must be from {least} to {self.max_stages} for {spec.name}, not {stages}"
            )
        self._cuts = place_registers(self._datapath.steps, stages)
        super().__init__(
            {
                port.name: (In if port.direction == "in" else Out)(port.width)
                for port in self.ports
                if port.name not in ("clk", "rst")
            }
        )

    # What is known without elaborating.

    @property
    def name(self) -> str:
        """The module's name: ``blockdot_``, the specification's name, ``_s`` and the stages.

        A flow other than ``stream`` is named behind that.
        """
        flow = "" if self.flow == "stream" or not self.stages else f"_{self.flow}"
        return f"blockdot_{self.spec.name}_s{self.stages}{flow}"

    @property
    def latency(self) -> int:
        """Cycles from the one in which an input is taken to the one in which its result is offered."""
        return self.stages

    @property
    def max_stages(self) -> int:
        """The most registers this datapath has places for: one behind each step."""
        return len(self._datapath.steps)

    @property
    def registers_after(self) -> tuple[str, ...]:
        """Names of the steps behind which a register stands, in order."""
        return tuple(self._datapath.steps[i].name for i in sorted(self._cuts))

    @property
    def ports(self) -> tuple[Port, ...]:
        """The emitted module's ports, in order."""
        spec = self.spec
        n, blocks = spec.block_size, spec.blocks
        a, b = spec.elements
        scale_a, scale_b = spec.scales

        def vector(fmt: str, bits: int, count: int, what: str) -> str:
            if count == 1:
                return f"{what}, a {fmt} code"
            return f"{what}, {fmt} codes: number k at bits [{bits}k+{bits - 1}:{bits}k]"

        lanes = f"elements of {{}}{', block j above block j-1' if blocks > 1 else ''}"
        data = (
            Port("i_a", n * blocks * a.bits, "in", vector(a.name, a.bits, n * blocks, lanes.format("a"))),
            Port("i_b", n * blocks * b.bits, "in", vector(b.name, b.bits, n * blocks, lanes.format("b"))),
            Port(
                "i_a_scale",
                blocks * scale_a.bits,
                "in",
                vector(scale_a.name, scale_a.bits, blocks, "block scale of a"),
            ),
            Port(
                "i_b_scale",
                blocks * scale_b.bits,
                "in",
                vector(scale_b.name, scale_b.bits, blocks, "block scale of b"),
            ),
        )
        result = Port("o_result", 32, "out", "the result, binary32")
        if self.stages == 0:
            return (*data, result)
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
            *(groups if spec.accumulates else ()),
            *data,
            Port("o_valid", 1, "out", "a result is offered"),
            *((taken,) if stream else ()),
            result,
        )

    @property
    def widths(self) -> dict[str, int]:
        """Widths inside the unit, in bits."""
        return self._datapath.widths

    def elaborate(self, platform: object) -> Module:
        m = Module()
        steps = self._datapath.steps
        live: Live = {name: getattr(self, f"i_{name}") for name in ("a", "b", "a_scale", "b_scale")}
        if self.stages == 0:
            for step in steps:
                live = step.build(m, platform, live)
            m.d.comb += self.o_result.eq(live["result"])
            return m
        if self.spec.accumulates:
            live |= {"first": self.i_first, "last": self.i_last}
        move = Signal()
        end = build_pipeline(m, platform, steps, self._cuts, live, valid=self.i_valid, move=move)
        valid: Value = end.valid
        result = end.live["result"]
        match self.flow:
            case "stream":
                valid, result = build_output(m, end, result, ready=self.o_ready, move=move)
                m.d.comb += self.i_ready.eq(move)
            case "valid":
                m.d.comb += move.eq(1)
            case "enable":
                m.d.comb += move.eq(self.en)
        m.d.comb += [self.o_valid.eq(valid), self.o_result.eq(result)]
        return m
