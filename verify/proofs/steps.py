"""A unit's datapath, step by step, as netlists that can be looked at one by one."""

from dataclasses import dataclass

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed

from ...hw import DotUnit
from ...hw.hierarchy import Emitter

__all__ = ["Chain", "StepNetlist"]


@dataclass(frozen=True)
class StepNetlist:
    """One step of a datapath as a module of RTLIL.

    Attributes:
        name: The step's name.
        module: The module's name. Its ports are ``i_`` and ``o_`` with the name of a live value behind it.
        inputs: Width of each live value that it takes.
        outputs: Width of each that it gives.
        accumulates: It holds the accumulator, and takes ``first`` and ``enable`` and a clock.
    """

    name: str
    module: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    accumulates: bool

    def instance(self, name: str, wires: dict[str, str]) -> str:
        """Return a Verilog instance of the step.

        Args:
            name: Name of the instance.
            wires: What each port is tied to, by the port's name.
        """
        clock = {"clk": "clk", "rst": "rst"} if self.accumulates else {}
        ports = ", ".join(f".{port}({wire})" for port, wire in (wires | clock).items())
        return f"{self.module} {name} ({ports});\n"


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
        live = {
            "a": (count * spec.elements[0].bits, False),
            "b": (count * spec.elements[1].bits, False),
            "a_scale": (spec.blocks * spec.scales[0].bits, False),
            "b_scale": (spec.blocks * spec.scales[1].bits, False),
        }
        self.steps: list[StepNetlist] = []
        texts: list[str] = []
        for step in unit.datapath.steps:
            m = Module()
            taken = live | ({"first": (1, False), "enable": (1, False)} if step.accumulates else {})
            inputs = {
                name: Signal(signed(width) if is_signed else width, name=f"i_{name}")
                for name, (width, is_signed) in taken.items()
            }
            outputs: dict[str, Signal] = {}
            for name, value in step.build(m, emitter, dict(inputs)).items():
                outputs[name] = Signal(value.shape(), name=f"o_{name}")
                m.d.comb += outputs[name].eq(value)
            module = f"step_{step.name}"
            ports = [*inputs.values(), *outputs.values()]
            texts.append(rtlil.convert(m, name=module, ports=ports, platform=emitter, emit_src=False))
            live = {name: (len(port), port.shape().signed) for name, port in outputs.items()}
            self.steps.append(
                StepNetlist(
                    step.name,
                    module,
                    {name: len(port) for name, port in inputs.items()},
                    {name: len(port) for name, port in outputs.items()},
                    step.accumulates,
                )
            )
        self.rtlil = emitter.modules + "".join(texts)

    def __getitem__(self, name: str) -> StepNetlist:
        """Return the step of a name."""
        return next(step for step in self.steps if step.name == name)
