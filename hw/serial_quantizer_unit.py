"""The serial quantizer: a number a cycle goes in, and an element code a cycle comes out."""

from collections.abc import Sequence
from typing import Any, Self

from amaranth.hdl import Cat, Module, Signal, Value

from ..model.quantizer import QuantizerSpec
from .config import Flow, Optimise
from .pipeline import build_control, build_data
from .quantizer.block_buffer import build_block_buffer
from .quantizer.element_rounding import CompareStep, ElementCodeStep
from .quantizer.form import QuantizerForm, least_bits
from .quantizer.largest_magnitude import searched_bits
from .quantizer.records import QuantizedBlock
from .quantizer_config import QuantizerConfig
from .steps.records import Step
from .stream_unit import Port, StreamUnit, vector_meaning

__all__ = ["SerialQuantizerUnit"]


class SerialDatapath:
    """The steps from a number that leaves the buffer to its element code.

    Args:
        form: How the quantizer is built.

    Attributes:
        steps: The steps in order.
        widths: Widths inside, in bits.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.steps: Sequence[Step[Any, Any]] = (CompareStep(form), ElementCodeStep(form))
        bits, sticky = searched_bits(form)
        self.widths = {
            "magnitude": form.magnitude_bits,
            "searched_magnitude": form.input.exponent_bits + bits + sticky,
            "midpoint_fraction": form.element_fraction_bits,
            "midpoint_exponent": least_bits(form),
            "buffer": form.spec.block_size * (form.magnitude_bits + 1),
        }


class SerialQuantizerUnit(StreamUnit):
    """A quantizer that takes a number a cycle: the hardware of one `QuantizerSpec`.

    The numbers of a block come one after the other, element 0 first; the first one after reset begins a
    block, and every N of them are one. A block is passed over twice: its numbers are kept while its largest
    magnitude is searched, and leave one a cycle once the last one is there. Each gives one result: its
    element code, its block's scale code beside it, and whether it is the block's last.

    A number can be taken in every cycle. Where a block's numbers are taken in cycles in a row, the result of
    each is at the outputs `latency` cycles after it was taken: N plus the stages. A block whose last number
    has not come gives nothing.

    The streams are those of `DotUnit`. There is no combinational unit.

    Args:
        spec: What to compute: by ``absmax``, ``prevent_zero``, ``floor`` or ``ceil``, elements to nearest, no
            tensor scale.
        stages: Registers between the buffer and the outputs, 1 or 2.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `DotUnit`.
        order: Without effect, as there is no tree.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    i_x: Signal
    o_code: Signal
    o_scale: Signal
    o_last: Signal

    def __init__(
        self,
        spec: QuantizerSpec,
        *,
        stages: int = 1,
        optimise: Optimise = "area",
        flow: Flow = "stream",
        order: int = 0,
    ) -> None:
        config = QuantizerConfig(spec, stages=stages, optimise=optimise, flow=flow, order=order, serial=True)
        self._form = QuantizerForm(spec=spec, fast=config.optimise == "delay", order=config.order)
        super().__init__(config, SerialDatapath(self._form), last_cut=True)

    @classmethod
    def of(cls, config: QuantizerConfig) -> Self:
        """Return the unit of a configuration.

        Raises:
            ValueError: If it is that of a quantizer of whole blocks.
        """
        if not config.serial:
            raise ValueError(f"serial must be True for a serial quantizer, not {config.serial}")
        return cls(config.spec, **config.form)

    @property
    def latency(self) -> int:
        """Cycles from that in which a number is taken to that of its result, where its block has no gap."""
        return self.spec.block_size + self.stages

    @property
    def parameters(self) -> dict[str, Any]:
        """What a serial quantizer has besides the parameters of every unit."""
        return {"serial": True}

    @property
    def data_ports(self) -> tuple[Port, ...]:
        """The port of a number."""
        spec, bits = self.spec, self.spec.input_format.bits
        return (Port("i_x", bits, "in", vector_meaning(spec.input, bits, 1, "a block's next number")),)

    @property
    def result_ports(self) -> tuple[Port, ...]:
        """The ports of an element's code, and of what goes with it."""
        element, scale = self.spec.element_format, self.spec.scale_format
        return (
            Port("o_code", element.bits, "out", vector_meaning(element.name, element.bits, 1, "element")),
            Port("o_scale", scale.bits, "out", vector_meaning(scale.name, scale.bits, 1, "block scale")),
            Port("o_last", 1, "out", "the element is its block's last"),
        )

    def build_pipeline(self, m: Module, platform: object, move: Signal) -> tuple[Value, Value]:
        """See `StreamUnit`: what comes from the buffer is in the place of what is offered."""
        taken = self.i_valid & move
        reading, last, element = build_block_buffer(m, platform, self._form, self.i_x, taken, move)
        control = build_control(m, self.datapath.steps, self._cuts, valid=reading, move=move)
        found = build_data(m, platform, self.datapath.steps, self._cuts, element, control)
        assert isinstance(found, QuantizedBlock)
        for stage in range(self.stages):
            held = Signal(name=f"last_{stage}", reset_less=True)
            with m.If(move):
                m.d.sync += held.eq(last)
            last = held
        return control.valid, Cat(found.codes, found.scale, last)
