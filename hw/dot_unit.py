"""The unit: one specification's datapath, cut into pipeline stages, behind valid/ready streams."""

from typing import Any, Self

from amaranth.hdl import Module, Signal, Value

from ..model import DotSpec
from .config import Flow, Optimise, UnitConfig
from .datapath import make_datapath
from .pipeline import PipelineControl, build_data
from .steps.records import Codes, Factor
from .steps.tensor_scale import read_factor
from .stream_unit import Port, StreamUnit, vector_meaning

__all__ = ["DotUnit"]


class DotUnit(StreamUnit):
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
    start in the cycle after `i_last`. Where the specification takes C, a sum starts at `i_c`, which counts
    with `i_first` alone. Where it has a tensor scale, a result is multiplied by `i_g`, which counts with
    `i_last` alone; where nothing is accumulated, with every input.

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
        segment: With an accumulator that is ``exact``: bits behind which a carry is kept, as a bit more of
            it, instead of running on in the same cycle; 1 makes it a carry-save register. The loop is then no
            longer than a segment's addition; a step more, that adds the carries, is behind it. None for one
            carry that runs through.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    i_a: Signal
    i_b: Signal
    i_a_scale: Signal
    i_b_scale: Signal
    i_c: Signal
    i_g: Signal
    o_result: Signal

    def __init__(
        self,
        spec: DotSpec,
        *,
        stages: int = 1,
        optimise: Optimise = "area",
        flow: Flow = "stream",
        order: int = 0,
        segment: int | None = None,
    ) -> None:
        config = UnitConfig(spec, stages=stages, optimise=optimise, flow=flow, order=order, segment=segment)
        self.segment = segment
        super().__init__(config, make_datapath(config))

    @classmethod
    def of(cls, config: UnitConfig) -> Self:
        """Return the unit of a configuration.

        Raises:
            ValueError: If it is the configuration of a tile.
        """
        if config.tile is not None:
            raise ValueError(f"tile must be None for a single unit, not {config.tile}")
        return cls(config.spec, **config.form, segment=config.segment)

    @property
    def data_ports(self) -> tuple[Port, ...]:
        """The ports of an input's codes, in order."""
        spec = self.spec
        count = spec.block_size * spec.blocks
        above = ", block j above block j-1" if spec.blocks > 1 else ""
        ports = []
        for name, fmt in zip("ab", spec.elements, strict=True):
            meaning = vector_meaning(fmt.name, fmt.bits, count, f"elements of {name}{above}")
            ports.append(Port(f"i_{name}", count * fmt.bits, "in", meaning))
        for name, fmt in zip("ab", spec.scales, strict=True):
            if spec.has_scales:
                meaning = vector_meaning(fmt.name, fmt.bits, spec.blocks, f"block scale of {name}")
                ports.append(Port(f"i_{name}_scale", spec.blocks * fmt.bits, "in", meaning))
        if spec.takes_c:
            form = spec.c_format
            ports.append(Port("i_c", form.bits, "in", f"what a sum that starts here starts at, {form.name}"))
        if spec.tensor_scale:
            ports.append(Port("i_g", 32, "in", "what the result is multiplied by, binary32"))
        return tuple(ports)

    @property
    def c_input(self) -> Value | None:
        """See `StreamUnit`."""
        return self.i_c if self.spec.takes_c else None

    def build_factor(self, m: Module, platform: object) -> Factor | None:
        """See `StreamUnit`."""
        return read_factor(m, platform, self.i_g) if self.spec.tensor_scale else None

    @property
    def result_ports(self) -> tuple[Port, ...]:
        """The port of the results."""
        result = self.spec.result_format
        return (Port("o_result", result.bits, "out", f"the result, {result.name}"),)

    @property
    def parameters(self) -> dict[str, Any]:
        """What a dot-product unit has besides the parameters of every unit."""
        return {"segment": self.segment}

    def build(self, m: Module, platform: object, control: PipelineControl | None) -> Value:
        """Build the datapath and return the result."""
        scales = (self.i_a_scale, self.i_b_scale) if self.spec.has_scales else (None, None)
        codes = Codes(self.i_a, self.i_b, *scales)
        g = self.build_factor(m, platform) if control is None else control.g
        return build_data(m, platform, self.datapath.steps, self._cuts, codes, control, g).result
