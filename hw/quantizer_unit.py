"""The quantizer: from a block of numbers to element codes and a scale code, behind valid/ready streams."""

from typing import Self

from amaranth.hdl import Cat, Module, Signal, Value

from ..model.quantizer import QuantizerSpec
from .config import Flow, Optimise
from .pipeline import PipelineControl, build_data
from .quantizer.datapath import QuantizerDatapath
from .quantizer.records import BlockInputs, QuantizedBlock
from .quantizer_config import QuantizerConfig
from .stream_unit import Port, StreamUnit, vector_meaning

__all__ = ["QuantizerUnit"]


class QuantizerUnit(StreamUnit):
    """A quantizer: the hardware of one `QuantizerSpec`.

    One block a cycle at any number of stages. The codes of a block are at the outputs `latency` cycles after
    the cycle in which it was taken. With ``stages=0`` the unit is combinational, and has neither clock nor
    handshakes. The last of the registers, where there are any, is that of the outputs.

    The streams are those of `DotUnit`: an input is taken, and an output given, in a cycle in which valid and
    ready are both high; valid stays and its payload holds until then; `i_ready` comes straight from a
    flip-flop.

    A block with a NaN or an infinity in it gets the scale format's NaN, and elements of code 0.

    Args:
        spec: What to compute.
        stages: Registers between input and output, from 0 to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `DotUnit`.
        order: Seed of the order in which elements enter trees: every order computes the same, through
            different wires.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    i_x: Signal
    i_random: Signal
    i_g: Signal
    o_codes: Signal
    o_scale: Signal

    def __init__(
        self,
        spec: QuantizerSpec,
        *,
        stages: int = 1,
        optimise: Optimise = "area",
        flow: Flow = "stream",
        order: int = 0,
    ) -> None:
        config = QuantizerConfig(spec, stages=stages, optimise=optimise, flow=flow, order=order)
        super().__init__(
            config, QuantizerDatapath(spec, optimise=config.optimise, order=config.order), last_cut=True
        )

    @classmethod
    def of(cls, config: QuantizerConfig) -> Self:
        """Return the unit of a configuration.

        Raises:
            ValueError: If it is that of a serial quantizer.
        """
        if config.serial:
            raise ValueError(f"serial must be False for a unit that takes whole blocks, not {config.serial}")
        return cls(config.spec, **config.form)

    @property
    def data_ports(self) -> tuple[Port, ...]:
        """The ports of a block: its numbers; random bits and a tensor scale, where there are any."""
        spec, bits = self.spec, self.spec.input_format.bits
        meaning = vector_meaning(spec.input, bits, spec.block_size, "numbers of a block")
        ports = [Port("i_x", spec.block_size * bits, "in", meaning)]
        if spec.stochastic:
            bits = spec.random_bits
            meaning = f"random bits of the elements: number k's at bits [{bits}k+{bits - 1}:{bits}k]"
            ports.append(Port("i_random", spec.block_size * bits, "in", meaning))
        if spec.tensor_scale:
            ports.append(Port("i_g", 32, "in", "the tensor scale, binary32, positive and finite"))
        return tuple(ports)

    @property
    def result_ports(self) -> tuple[Port, ...]:
        """The ports of a block's codes."""
        spec, element, scale = self.spec, self.spec.element_format, self.spec.scale_format
        meaning = vector_meaning(element.name, element.bits, spec.block_size, "elements")
        return (
            Port("o_codes", spec.block_size * element.bits, "out", meaning),
            Port("o_scale", scale.bits, "out", vector_meaning(scale.name, scale.bits, 1, "block scale")),
        )

    def build(self, m: Module, platform: object, control: PipelineControl | None) -> Value:
        """Build the datapath and return element codes below the scale code."""
        inputs = BlockInputs(
            self.i_x,
            self.i_random if self.spec.stochastic else None,
            self.i_g if self.spec.tensor_scale else None,
        )
        found = build_data(m, platform, self.datapath.steps, self._cuts, inputs, control)
        assert isinstance(found, QuantizedBlock)
        return Cat(found.codes, found.scale)
