"""A quantizer taken apart: each step of its datapath as a netlist of its own, and the unit without them.

A quantizer is emitted as one module, so its hierarchy does not say what each step costs. Here every step is
built as it is inside the unit, but between ports. The unit is built once more with each step open: what would
go into it leaves the unit, and what would come out of it comes in. So its registers are left, and what moves
them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from amaranth.hdl import Elaboratable, Module, Signal, Value, signed
from amaranth.lib.wiring import Out

from .hierarchy import Emitter, emitted_module
from .quantizer.records import BlockInputs
from .quantizer_config import QuantizerConfig
from .quantizer_unit import QuantizerUnit
from .steps.records import Record, Step

__all__ = ["PART_TOP", "QuantizerPart", "quantizer_parts"]

PART_TOP: Final = "part"
"""Name of every part's top module, so that equal parts are equal texts."""


@dataclass(frozen=True)
class QuantizerPart:
    """A part of a quantizer.

    Attributes:
        step: The name of the step; None for the unit without its steps.
        inputs: The width of each port that is an input, by name; those in the place of steps are left out.
        outputs: The same of the outputs.
        rtlil: The netlist, whose top module is `PART_TOP`.
    """

    step: str | None
    inputs: dict[str, int]
    outputs: dict[str, int]
    rtlil: str


def quantizer_parts(config: QuantizerConfig) -> list[QuantizerPart]:
    """Return the steps of a quantizer in order, and behind them the unit without them.

    Args:
        config: How the quantizer is built.

    Raises:
        ValueError: If it is that of a serial quantizer.
    """
    unit, spec = QuantizerUnit.of(config), config.spec
    live: Record = BlockInputs(
        Signal(spec.block_size * spec.input_format.bits),
        Signal(spec.block_size * spec.random_bits) if spec.stochastic else None,
        Signal(32) if spec.tensor_scale else None,
    )
    parts: list[QuantizerPart] = []
    opened: list[_OpenStep] = []
    for step in unit.datapath.steps:
        emitter = Emitter(PART_TOP)
        alone = _StepAlone(step, live, emitter)
        text = emitted_module(alone, PART_TOP, emitter, [*alone.inputs, *alone.outputs])
        parts.append(
            QuantizerPart(step.name, _widths(alone.inputs), _widths(alone.outputs), emitter.modules + text)
        )
        opened.append(_OpenStep(step, live, alone.gives))
        live = alone.gives
    unit.datapath.steps = opened
    own: tuple[list[Signal], list[Signal]] = ([], [])
    for name, member in unit.signature.members.items():
        own[member.flow is Out].append(getattr(unit, name))
    ports = [*own[0], *own[1], *(port for step in opened for port in step.ports)]
    text = emitted_module(unit, PART_TOP, Emitter(PART_TOP), ports)
    return [*parts, QuantizerPart(None, _widths(own[0]), _widths(own[1]), text)]


def _widths(ports: Iterable[Signal]) -> dict[str, int]:
    return {port.name: len(port) for port in ports}


def _port(ports: list[Signal], prefix: str, name: str, value: Value) -> Signal:
    """Return a new port as wide as a value, and note it."""
    shape = signed(len(value)) if value.shape().signed else len(value)
    ports.append(Signal(shape, name=f"{prefix}_{name}"))
    return ports[-1]


class _StepAlone(Elaboratable):
    """A step between ports.

    Args:
        step: The step.
        before: Values as wide as those that it takes.
        emitter: Collects the components inside.

    Attributes:
        inputs: The ports that it takes.
        outputs: The ports that it gives.
        gives: These as a record.
    """

    def __init__(self, step: Step[Any, Any], before: Record, emitter: Emitter) -> None:
        self.inputs: list[Signal] = []
        self.outputs: list[Signal] = []
        self._module = Module()
        given = step.build(self._module, emitter, before.map(partial(_port, self.inputs, "i")))
        self.gives = given.map(partial(_port, self.outputs, "o"))
        values = given.named()
        self._module.d.comb += [port.eq(values[name]) for name, port in self.gives.named().items()]

    def elaborate(self, platform: object) -> Module:
        del platform
        return self._module


class _OpenStep(Step[Any, Any]):
    """A step in whose place the unit has ports.

    Args:
        step: The step.
        before: Values as wide as those that it takes.
        after: The same of those that it gives.

    Attributes:
        ports: Of the unit: what the step would take leaves there, and what it would give comes in.
    """

    def __init__(self, step: Step[Any, Any], before: Record, after: Record) -> None:
        super().__init__(step.name, step.depth, step.bits)
        self.ports: list[Signal] = []
        self._takes = before.map(partial(_port, self.ports, f"to_{step.name}"))
        self._gives = after.map(partial(_port, self.ports, f"of_{step.name}"))

    def build(self, m: Module, platform: object, before: Record) -> Record:
        del platform
        values = before.named()
        m.d.comb += [port.eq(values[name]) for name, port in self._takes.named().items()]
        return self._gives
