"""Which component of a unit each cell of its mapped netlist came from.

Mapping leaves no names: a netlist is flattened, and its gates are optimised across the components' borders.
What most of them compute stays. So the unit is simulated twice on the same random vectors: as gates that know
their component, before anything is optimised, and as mapped. A cell that shows what a gate shows, or the
opposite, is of the gate's component; of several such gates the first counts. What is left, the insides of
larger cells, is of the component that most of the cells behind it are of.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ...synth import yosys
from ...synth.cell_models import CellModels
from ...synth.gate_netlist import GATE_FUNCTIONS, GateNetlist
from ...synth.mapped_netlist import CellInstance, MappedNetlist, Net
from ...synth.netlist import Netlist
from .components import REST, module_roles

__all__ = ["cell_components"]

_LANES: Final = 1024
_MODULE: Final = re.compile(r"^module \\(\S+)\n.*?^end\n", re.MULTILINE | re.DOTALL)
# What is a module's own and leaves gates behind; the names of components do not begin so.
_LOGIC: Final = re.compile(r"^  (?=cell \$|process )", re.MULTILINE)
_EVERY: Final = (1 << _LANES) - 1
_CONSTANTS: Final = {"rst": 0, "i_valid": 1, "o_ready": 1, "en": 1}


def cell_components(source: Netlist, mapped: MappedNetlist, models: CellModels, stages: int) -> list[str]:
    """Return the component of each cell, by its role in the unit; what is within a component is of that one.

    Args:
        source: The unit, as `to_rtlil` emits it.
        mapped: Its gates.
        models: Their library.
        stages: After how many cycles an input has reached every register.

    Raises:
        SynthesisError: If the unit cannot be made of gates.
        ValueError: If a cell cannot be simulated.
    """
    roles = module_roles(source.text, source.top)
    inputs = _vectors(mapped, stages + 2)
    known: dict[int, str] = {}
    for owner, key in _shown_by_gates(source, inputs):
        known.setdefault(key, roles[owner].partition("/")[0])
    # What never changes tells nothing.
    known.pop(0, None)
    found = [
        next((known[key] for key in keys if key in known), None)
        for keys in _shown_by_cells(mapped, models, inputs)
    ]
    return _filled(mapped, models, found)


def _vectors(mapped: MappedNetlist, cycles: int) -> list[dict[str, list[int]]]:
    """Return what each input port shows in each cycle, bit by bit."""
    draw = random.Random(0)

    def bits(port: str, width: int) -> list[int]:
        if port in _CONSTANTS:
            return [_EVERY * _CONSTANTS[port]] * width
        return [draw.getrandbits(_LANES) for _ in range(width)]

    return [{port: bits(port, len(nets)) for port, nets in mapped.inputs.items()} for _ in range(cycles)]


def _key(shown: Iterable[int]) -> int:
    """Return what a net shows in all cycles, or the opposite, whichever is less; 0 if it never changes."""
    whole = every = 0
    for value in shown:
        whole = whole << _LANES | value
        every = every << _LANES | _EVERY
    return min(whole, whole ^ every)


def _named(module: re.Match[str]) -> str:
    """Return a module whose logic has the module's name for a source."""
    return _LOGIC.sub(lambda _: f'  attribute \\src "{module[1]}"\n', module[0])


def _shown_by_gates(
    source: Netlist, inputs: Sequence[Mapping[str, Sequence[int]]]
) -> Iterator[tuple[str, int]]:
    """Yield the module that each gate and flip-flop of the plain unit is of, and what it shows."""
    text = _MODULE.sub(_named, source.text)
    commands = ["read_rtlil unit.il", *yosys.gates(source.top), "write_json gates.json"]
    made = yosys.run(commands, inputs={"unit.il": text}, outputs=["gates.json"])["gates.json"]
    netlist = GateNetlist(json.loads(made), source.top)
    registers = {
        pins["Q"]: (name, pins["D"]) for name, (kind, pins) in netlist.cells.items() if kind == "$_DFF_P_"
    }
    values: dict[int | str, int] = {"0": 0, "1": _EVERY, "x": 0}
    states = dict.fromkeys(registers, 0)
    shown: dict[int | str, list[int]] = {}
    for cycle in inputs:
        values |= states
        for port, bits in cycle.items():
            values |= dict(zip(netlist.module["ports"][port]["bits"], bits, strict=True))
        for net in netlist.ordered:
            _, kind, pins = netlist.gates[net]
            columns = {pin: values[bit] for pin, bit in pins.items()}
            values[net] = GATE_FUNCTIONS[kind].evaluate(columns, _EVERY)
        states = {net: values[data] for net, (_, data) in registers.items()}
        for net in (*registers, *netlist.ordered):
            shown.setdefault(net, []).append(values[net])
    names = {net: name for net, (name, _) in registers.items()}
    names |= {net: name for net, (name, _, _) in netlist.gates.items()}
    for net, several in shown.items():
        # Gates that were found equal bear both names; behind them may stand that of a map of Yosys.
        owner = netlist.module["cells"][names[net]]["attributes"].get("src", source.top)
        yield owner.partition("|")[0], _key(several)


def _shown_by_cells(
    mapped: MappedNetlist, models: CellModels, inputs: Sequence[Mapping[str, Sequence[int]]]
) -> list[list[int]]:
    """Return what the outputs of each cell show."""
    values: dict[Net, int] = {MappedNetlist.ZERO: 0, MappedNetlist.ONE: _EVERY}
    registers = [one for one in mapped.instances if models[one.cell].clock is not None]
    gates = list(mapped.ordered(models))
    states = [0] * len(registers)
    shown: dict[Net, list[int]] = {}

    def pins(instance: CellInstance, *state: int) -> list[int]:
        read = (
            values.get(instance.pins.get(pin, MappedNetlist.ZERO), 0) for pin in models[instance.cell].inputs
        )
        return [_EVERY, *read, *state]

    def show(instance: CellInstance, *state: int) -> None:
        for pin, function in models[instance.cell].functions.items():
            if pin in instance.pins:
                values[instance.pins[pin]] = function(*pins(instance, *state)) & _EVERY
                shown.setdefault(instance.pins[pin], []).append(values[instance.pins[pin]])

    for cycle in inputs:
        for port, bits in cycle.items():
            values |= dict(zip(mapped.inputs[port], bits, strict=True))
        for instance, state in zip(registers, states, strict=True):
            show(instance, state, state ^ _EVERY)
        for instance in gates:
            show(instance)
        states = [
            next_state(*pins(instance, state, state ^ _EVERY)) & _EVERY
            for instance, state in zip(registers, states, strict=True)
            if (next_state := models[instance.cell].next_state) is not None
        ]
    return [
        [_key(shown[net]) for pin, net in one.pins.items() if pin in models[one.cell].functions]
        for one in mapped.instances
    ]


def _filled(mapped: MappedNetlist, models: CellModels, found: Sequence[str | None]) -> list[str]:
    """Return the component of each cell; those not found are of what most cells behind them are of."""
    filled = list(found)
    takers: dict[Net, list[int]] = {}
    for place, instance in enumerate(mapped.instances):
        for pin, net in instance.pins.items():
            if pin not in models[instance.cell].functions:
                takers.setdefault(net, []).append(place)
    registers = [place for place, one in enumerate(mapped.instances) if models[one.cell].clock is not None]
    for place in (*reversed(mapped.order(models)), *registers):
        if filled[place] is None:
            instance = mapped.instances[place]
            behind = Counter(
                role
                for pin, net in instance.pins.items()
                if pin in models[instance.cell].functions
                for taker in takers.get(net, ())
                if (role := filled[taker]) is not None
            )
            filled[place] = behind.most_common(1)[0][0] if behind else REST
    return [role or REST for role in filled]
