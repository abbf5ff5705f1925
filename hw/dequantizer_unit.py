"""The dequantizer: from a block's element codes and its scale code to numbers, behind valid/ready streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from ..model.dequantizer import DequantizerSpec
from .config import Flow, Optimise
from .dequantizer_config import DequantizerConfig
from .leaves.bits import normalise, repeat, wire
from .leaves.compressor import Adder, add
from .leaves.decode import decode
from .pipeline import PipelineControl, build_data
from .step_delays import StepDelay
from .steps.records import Record, Step
from .stream_unit import Port, StreamUnit, vector_meaning

__all__ = ["DequantizerDatapath", "DequantizerUnit"]

_ROOM: Final = 10
"""Width of the exponent field of a product, with a sign: from -1, and up to 257, under ``ue8m0``."""


@dataclass(frozen=True)
class QuantizedCodes(Record):
    """A block's element codes, the first one lowest, and its scale's code."""

    codes: Value
    scale: Value


@dataclass(frozen=True)
class ScaleProducts(Record):
    """What the products of a scale and any element are made of.

    Attributes:
        codes: The element codes.
        nan: The scale is NaN.
        zero: It is zero.
        half: The exponent field of half the scale, as a field of the output's.
        fraction: What is behind the leading one of 1 and of 3/2 times its significand.
        wraps: 3/2 times it reaches 2.
    """

    codes: Value
    nan: Value
    zero: Value
    half: Value
    fraction: tuple[Value, Value]
    wraps: Value


@dataclass(frozen=True)
class DequantizedNumbers(Record):
    """The numbers' codes, the first one lowest."""

    numbers: Value


class ScaleMultipleStep(Step[QuantizedCodes, ScaleProducts]):
    """Multiply the scale's significand by 1 and 3/2: all that an element's significand may be."""

    def __init__(self, spec: DequantizerSpec) -> None:
        self.spec = spec
        lanes, scale = spec.block_size, spec.scale_format
        super().__init__("scale", StepDelay(14, hidden=2), 4 * lanes + 2 * scale.mantissa_bits + _ROOM + 7)

    def build(self, m: Module, platform: object, before: QuantizedCodes) -> ScaleProducts:
        scale = self.spec.scale_format
        decoded = decode(m, scale, before.scale, "scale")
        significand, zeros = decoded.significand, Const(0, 1)
        if scale.subnormals and scale.mantissa_bits:
            significand, zeros = normalise(m, significand)
        half = Signal(signed(_ROOM), name="half")
        m.d.comb += half.eq(decoded.exponent - zeros + (self.spec.output_format.bias - scale.bias - 1))
        threefold = wire(m, (significand * 3)[: len(significand) + 2], "threefold")
        wraps = threefold[-1]
        zero = Const(0) if scale.zero_code is None else ~before.scale.any()
        return ScaleProducts(
            before.codes,
            wire(m, decoded.nan, "nan"),
            wire(m, zero, "zero"),
            half.as_unsigned(),
            (
                wire(m, Cat(Const(0, 2), significand[:-1]), "fraction_of_one"),
                wire(m, Mux(wraps, threefold[:-1], Cat(Const(0, 1), threefold[:-2])), "fraction_of_three"),
            ),
            wraps,
        )


class ElementsStep(Step[ScaleProducts, DequantizedNumbers]):
    """Add each element's exponent to the scale's, and choose the product of its significand.

    Magnitudes of ``e2m1`` are 0, 1/2, and 1 and 3/2 times 1, 2 and 4: the exponent is a code's field, less
    one, and a half's is one below that.
    """

    def __init__(self, spec: DequantizerSpec, *, fast: bool) -> None:
        self.spec = spec
        self.fast = fast
        output = spec.output_format
        super().__init__("elements", StepDelay(14, hidden=2), spec.block_size * output.bits)

    def build(self, m: Module, platform: object, before: ScaleProducts) -> DequantizedNumbers:
        output = self.spec.output_format
        numbers: list[Value] = []
        for k in range(self.spec.block_size):
            code = wire(m, before.codes.word_select(k, 4), f"code_{k}")
            three = wire(m, code[0] & code[1:3].any(), f"is_three_{k}")
            fraction = wire(m, Mux(three, before.fraction[1], before.fraction[0]), f"fraction_{k}")
            digits = [code[1], code[2], *[Const(0)] * (_ROOM - 2)]
            kind: Adder = "sklansky" if self.fast else "ripple"
            total = add(m, list(before.half), digits, three & before.wraps, kind, f"exponent_{k}_")
            exponent = wire(m, Cat(*total[:_ROOM]), f"exponent_{k}")
            below = output.mantissa_bits - len(fraction)
            field: Value = exponent[: output.exponent_bits]
            whole: Value = Cat(Const(0, below), fraction)
            if self.spec.scale_format.exponent_bits >= output.exponent_bits:
                field, whole = self._at_the_ends(m, exponent, whole, k)
            live = wire(m, ~before.zero & code[:3].any(), f"live_{k}")
            magnitude = wire(m, Cat(whole, field) & repeat(live, output.bits - 1), f"magnitude_{k}")
            quiet = Const(output.infinity_code | 1 << output.mantissa_bits - 1, output.bits)
            numbers.append(Mux(before.nan, quiet, Cat(magnitude, code[3])))
        return DequantizedNumbers(wire(m, Cat(*numbers), "numbers"))

    def _at_the_ends(self, m: Module, exponent: Value, fraction: Value, lane: int) -> tuple[Value, Value]:
        """Return field and fraction of a product that may be infinite, or subnormal by one place or two."""
        output = self.spec.output_format
        low = exponent[: output.exponent_bits]
        infinite = ~exponent[-1] & (exponent[output.exponent_bits :].any() | low.all())
        infinite = wire(m, infinite, f"infinite_{lane}")
        by_two = exponent[-1]
        by_one = wire(m, ~exponent.any(), f"by_one_{lane}")
        normal = wire(m, ~by_one & ~by_two & ~infinite, f"normal_{lane}")
        # What is subnormal by two places is half of the least scale: its significand is 1.
        moved = Cat(fraction[1:], Const(1, 1))
        half = 1 << output.mantissa_bits - 2
        bits = len(fraction)
        whole = (
            (fraction & repeat(normal, bits))
            | (moved & repeat(by_one, bits))
            | Mux(by_two, Const(half, bits), Const(0, bits))
        )
        field = (low & repeat(normal, len(low))) | repeat(infinite, len(low))
        return field, whole


class DequantizerDatapath:
    """The steps from a block's codes to its numbers.

    Args:
        spec: What to compute.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.

    Attributes:
        steps: The steps in order.
        widths: Widths inside, in bits.
    """

    def __init__(self, spec: DequantizerSpec, *, optimise: Optimise) -> None:
        self.steps: Sequence[Step[Any, Any]] = (
            ScaleMultipleStep(spec),
            ElementsStep(spec, fast=optimise == "delay"),
        )
        self.widths = {"fraction": spec.scale_format.mantissa_bits + 2, "exponent": _ROOM}


class DequantizerUnit(StreamUnit):
    """A dequantizer: the hardware of one `DequantizerSpec`.

    One block a cycle at any number of stages. The numbers of a block are at the output `latency` cycles after
    the cycle in which it was taken. With ``stages=0`` the unit is combinational, and has neither clock nor
    handshakes. The last of the registers, where there are any, is that of the output.

    The streams are those of `DotUnit`.

    Args:
        spec: What to compute.
        stages: Registers between input and output, from 0 to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `DotUnit`.
        order: Without effect.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or there is no unit for the specification.
    """

    i_codes: Signal
    i_scale: Signal
    o_x: Signal

    def __init__(
        self,
        spec: DequantizerSpec,
        *,
        stages: int = 1,
        optimise: Optimise = "area",
        flow: Flow = "stream",
        order: int = 0,
    ) -> None:
        config = DequantizerConfig(spec, stages=stages, optimise=optimise, flow=flow, order=order)
        super().__init__(config, DequantizerDatapath(spec, optimise=config.optimise), last_cut=True)

    @classmethod
    def of(cls, config: DequantizerConfig) -> Self:
        """Return the unit of a configuration."""
        return cls(config.spec, **config.form)

    @property
    def data_ports(self) -> tuple[Port, ...]:
        """The ports of a block's codes."""
        spec, element, scale = self.spec, self.spec.element_format, self.spec.scale_format
        meaning = vector_meaning(element.name, element.bits, spec.block_size, "elements")
        return (
            Port("i_codes", spec.block_size * element.bits, "in", meaning),
            Port("i_scale", scale.bits, "in", vector_meaning(scale.name, scale.bits, 1, "block scale")),
        )

    @property
    def result_ports(self) -> tuple[Port, ...]:
        """The port of a block's numbers."""
        spec, bits = self.spec, self.spec.output_format.bits
        meaning = vector_meaning(spec.output, bits, spec.block_size, "numbers of a block")
        return (Port("o_x", spec.block_size * bits, "out", meaning),)

    def build(self, m: Module, platform: object, control: PipelineControl | None) -> Value:
        """Build the datapath and return the numbers."""
        inputs = QuantizedCodes(self.i_codes, self.i_scale)
        found = build_data(m, platform, self.datapath.steps, self._cuts, inputs, control)
        assert isinstance(found, DequantizedNumbers)
        return found.numbers
