"""A unit's datapath, step by step, as netlists that can be looked at one by one."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, Value, signed

from ...hw import DotUnit
from ...hw.hierarchy import Emitter
from ...hw.step_delays import StepDelay
from ...hw.steps.records import Accumulating, Codes, Factor, Record, Result, Scaling, Step
from ...hw.steps.tensor_scale import read_factor

__all__ = ["Chain", "StepNetlist"]


@dataclass(frozen=True)
class StepNetlist:
    """One step of a datapath as a module of RTLIL.

    Attributes:
        name: The step's name.
        module: The module's name. Its ports are ``i_`` and ``o_`` with the name of a live value behind it.
        inputs: Width of each live value that it takes.
        outputs: Width of each that it gives.
        accumulates: It holds the accumulator, and takes ``first``, ``enable`` and a clock; and ``c``.
        multiplies: It takes what results are multiplied by as well.
        takes: What kind of values it takes, those apart.
        gives: What kind it gives.
    """

    name: str
    module: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    accumulates: bool
    takes: type[Record] = Record
    gives: type[Record] = Record
    multiplies: bool = False

    def instance(self, name: str, wires: dict[str, str]) -> str:
        """Return a Verilog instance of the step.

        Args:
            name: Name of the instance.
            wires: What each port is tied to, by the port's name.
        """
        clock = {"clk": "clk", "rst": "rst"} if self.accumulates else {}
        ports = ", ".join(f".{port}({wire})" for port, wire in (wires | clock).items())
        return f"{self.module} {name} ({ports});\n"


def _port(ports: list[Signal], prefix: str, name: str, value: Value) -> Signal:
    shape = signed(len(value)) if value.shape().signed else len(value)
    ports.append(Signal(shape, name=f"{prefix}{name}"))
    return ports[-1]


@dataclass(frozen=True)
class _Number(Record):
    """A binary32 number."""

    g: Value


class _ReadFactorStep(Step[_Number, Factor]):
    """What a unit makes of g at its input."""

    def __init__(self) -> None:
        super().__init__("read_g", StepDelay(0), 0)

    def build(self, m: Module, platform: object, before: _Number) -> Factor:
        return read_factor(m, platform, before.g)


class Chain:
    """The steps of a unit, each built alone by what builds it inside the unit.

    That the unit is these steps in a row, with its registers between them, is proven of the emitted Verilog
    like everything else.

    Args:
        unit: The unit.

    Attributes:
        steps: The steps in order.
        factor: What makes of g what results are multiplied by, beside the first step; None where they are
            not.
        rtlil: All of them, and the components that they share.
    """

    def __init__(self, unit: DotUnit) -> None:
        spec = unit.spec
        self.unit = unit
        emitter = Emitter("component")
        count = spec.block_size * spec.blocks
        live: Record = Codes(
            Signal(count * spec.elements[0].bits),
            Signal(count * spec.elements[1].bits),
            Signal(spec.blocks * spec.scales[0].bits) if spec.has_scales else None,
            Signal(spec.blocks * spec.scales[1].bits) if spec.has_scales else None,
        )
        self.steps: list[StepNetlist] = []
        self.factor: StepNetlist | None = None
        self._emitter = emitter
        self._texts: list[str] = []
        g: Record | None = None
        if spec.tensor_scale:
            self.factor, g = self._netlist(_ReadFactorStep(), _Number(Signal(32)), _Number)
        for step in unit.datapath.steps:
            takes = type(live)
            if step.accumulates:
                c = Signal(spec.c_format.bits) if spec.takes_c else None
                live = Accumulating(live, Signal(), Signal(), c)
            elif step.multiplies:
                assert isinstance(live, Result)
                assert isinstance(g, Factor)
                live = Scaling(live, g)
            netlist, live = self._netlist(step, live, takes)
            self.steps.append(netlist)
        self.rtlil = emitter.modules + "".join(self._texts)

    def _netlist(self, step: Step[Any, Any], live: Record, takes: type[Record]) -> tuple[StepNetlist, Record]:
        """Build a step alone, and return it, and the values that it gives, as signals."""
        m = Module()
        ports: list[Signal] = []
        inputs = live.map(partial(_port, ports, "i_"))
        given = step.build(m, self._emitter, inputs)
        gives = given.map(partial(_port, ports, "o_"))
        taken, made, values = inputs.named(), gives.named(), given.named()
        m.d.comb += [port.eq(values[name]) for name, port in made.items()]
        module = f"step_{step.name}"
        self._texts.append(rtlil.convert(m, name=module, ports=ports, platform=self._emitter, emit_src=False))
        netlist = StepNetlist(
            step.name,
            module,
            {name: len(port) for name, port in taken.items()},
            {name: len(port) for name, port in made.items()},
            step.accumulates,
            takes,
            type(gives),
            step.multiplies,
        )
        return netlist, gives

    def __getitem__(self, name: str) -> StepNetlist:
        """Return the step of a name."""
        every = self.steps if self.factor is None else [self.factor, *self.steps]
        return next(step for step in every if step.name == name)
