"""Whether two netlists compute the same, proven by SAT sweeping in abc.

Both are cut open at their registers, which are the same cells of the same names in both: what a register
shows is an input, and what it takes an output.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from .gate_netlist import GATE_FUNCTIONS, GateNetlist
from .liberty import CellFunction, Library
from .yosys import SynthesisError, YosysSession

__all__ = ["require_equal"]

_SECONDS: Final = 600.0
_EQUAL: Final = "Networks are equivalent"
_INPUT: Final = re.compile(r"Input pattern:(.*)")
_CONSTANTS: Final = {"0": "zero", "1": "one", "x": "zero", "z": "zero"}


def require_equal(
    session: YosysSession, one: GateNetlist, other: GateNetlist, library: Library, what: str
) -> None:
    """Prove that two netlists of gates and library cells compute the same.

    Args:
        session: Where abc is run.
        one: A netlist.
        other: Another, with the same ports and registers.
        library: The cells.
        what: What the other is, for the message.

    Raises:
        SynthesisError: If they do not, if that is not decided in ten minutes, or if their ports or registers
            differ.
    """
    texts = {"one.blif": _blif(one, library), "other.blif": _blif(other, library)}
    # abc would compare what both have.
    if len({_borders(text) for text in texts.values()}) > 1:
        raise SynthesisError(f"{what} must have the ports and registers of {one.top}, not others")
    log = session.run_abc(("cec one.blif other.blif",), texts, _SECONDS)
    if _EQUAL not in log:
        found = _INPUT.search(log)
        told = f"differ at {' '.join(found[1].split())}" if found else "be undecided"
        raise SynthesisError(f"{what} must compute what {one.top} does, not {told}")


def _borders(blif: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(line.split()[1:]) for line in blif.splitlines()[1:3])


def _blif(netlist: GateNetlist, library: Library) -> str:
    """Return a netlist as BLIF without registers."""
    inputs: list[str] = []
    outputs: list[str] = []
    body = [".names zero", ".names one", "1"]

    def net(bit: int | str) -> str:
        return _CONSTANTS[bit] if isinstance(bit, str) else f"n{bit}"

    def enter(name: str, bit: int | str) -> None:
        inputs.append(name)
        body.extend((f".names {name} {net(bit)}", "1 1"))

    def leave(name: str, bit: int | str) -> None:
        outputs.append(name)
        body.extend((f".names {net(bit)} {name}", "1 1"))

    for name, port in netlist.module["ports"].items():
        for place, bit in enumerate(port["bits"]):
            (enter if port["direction"] == "input" else leave)(f"port.{name}.{place}", bit)
    for name, (kind, pins) in netlist.cells.items():
        if kind in GATE_FUNCTIONS:
            functions = [("Y", GATE_FUNCTIONS[kind])]
        else:
            cell = library.cells[kind]
            if cell.sequential:
                for pin, bit in pins.items():
                    (enter if pin in dict(cell.functions) else leave)(f"register.{name}.{pin}", bit)
                continue
            functions = [(pin, CellFunction(text)) for pin, text in cell.functions]
        for output, function in functions:
            if output in pins:
                body.extend(_cover(function, net(pins[output]), {pin: net(bit) for pin, bit in pins.items()}))
    head = [".model top", f".inputs {' '.join(inputs)}", f".outputs {' '.join(outputs)}"]
    return "\n".join([*head, *body, ".end", ""])


def _cover(function: CellFunction, output: str, nets: Mapping[str, str]) -> Iterator[str]:
    """Yield the cases in which a function is 1."""
    names = sorted(function.names)
    yield f".names {' '.join([*(nets[name] for name in names), output])}"
    for row in range(1 << len(names)):
        columns = {name: row >> place & 1 for place, name in enumerate(names)}
        if function.evaluate(columns, 1):
            yield "".join(str(columns[name]) for name in names) + (" 1" if names else "1")
