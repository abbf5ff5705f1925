"""A unit's datapath, step by step, as netlists that can be looked at one by one."""

from dataclasses import dataclass
from functools import partial

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, Value, signed

from ...hw import DotUnit
from ...hw.hierarchy import Emitter
from ...hw.steps.records import Accumulating, Codes, Record

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


class Chain:
    """The steps of a unit, each built alone by what builds it inside the unit.

    That the unit is these steps in a row, with its registers between them, is proven of the emitted Verilog
    like everything else.

    Args:
        unit: The unit.

    Attributes:
        steps: The steps in order.
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
        texts: list[str] = []
        for step in unit.datapath.steps:
            m = Module()
            takes = type(live)
            if step.accumulates:
                c = Signal(spec.c_format.bits) if spec.takes_c else None
                live = Accumulating(live, Signal(), Signal(), c)
            ports: list[Signal] = []
            inputs = live.map(partial(_port, ports, "i_"))
            given = step.build(m, emitter, inputs)
            live = given.map(partial(_port, ports, "o_"))
            taken, made, values = inputs.named(), live.named(), given.named()
            m.d.comb += [port.eq(values[name]) for name, port in made.items()]
            module = f"step_{step.name}"
            texts.append(rtlil.convert(m, name=module, ports=ports, platform=emitter, emit_src=False))
            self.steps.append(
                StepNetlist(
                    step.name,
                    module,
                    {name: len(port) for name, port in taken.items()},
                    {name: len(port) for name, port in made.items()},
                    step.accumulates,
                    takes,
                    type(live),
                )
            )
        self.rtlil = emitter.modules + "".join(texts)

    def __getitem__(self, name: str) -> StepNetlist:
        """Return the step of a name."""
        return next(step for step in self.steps if step.name == name)
