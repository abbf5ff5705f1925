"""A design as a network of plain gates, its registers cut open: what is asked of a solver.

Yosys makes gates of a design. What a register holds is an input of the network, and what it takes an output.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from ...synth import yosys
from .solver_error import SolverError

__all__ = ["PART", "Network", "NetworkGate", "bit_index", "network"]

PART: Final = "(* part *)"
"""What stands before a module of few inputs that has many instances: its gates are made once, and few."""

# A table of 256 rows is thousands of gates before, and some forty behind.
_PARTS: Final = (
    "select -set parts A:part", "techmap @parts", "opt_expr @parts", "simplemap @parts",
    "abc -g simple -script +strash;collapse;strash;dc2;map @parts", "opt_clean @parts",
)  # fmt: skip
_GATES: Final = (
    "opt_expr", "opt_clean", "techmap", "opt_expr", "simplemap", "setattr -unset init w:*",
    "dfflegalize -cell $_DFF_P_ x", "opt_clean",
)  # fmt: skip


@dataclass(frozen=True)
class NetworkGate:
    """One gate.

    Attributes:
        inputs: Its input nets.
        cubes: For each product of its sum, the values of the inputs: ``0``, ``1``, or ``-`` for either.
    """

    inputs: tuple[str, ...]
    cubes: tuple[str, ...]

    def evaluate(self, values: Sequence[int], ones: int) -> int:
        """Return the output for words of inputs, a case in each bit of `ones`."""
        total = 0
        for cube in self.cubes:
            product = ones
            for value, wanted in zip(values, cube, strict=True):
                if wanted != "-":
                    product &= value if wanted == "1" else ~value
            total |= product
        return total


@dataclass
class Network:
    """A network of gates as BLIF, whose registers are cut open.

    Attributes:
        inputs: Names of the input bits; those of registers' outputs stand among them.
        outputs: Names of the output bits.
        registers: For the name of each bit of a register, the name of the net that it takes.
        body: The gates.
    """

    inputs: list[str]
    outputs: list[str]
    registers: dict[str, str]
    body: list[str] = field(default_factory=list)

    def word(self, name: str) -> list[str]:
        """Return the bits of an output word, lowest first."""
        bits = [bit for bit in self.outputs if bit == name or bit.startswith(f"{name}[")]
        return sorted(bits, key=bit_index)

    @cached_property
    def gates(self) -> dict[str, "NetworkGate"]:
        """What drives each net that is not an input; no gate takes what a buffer gives, but what it takes."""
        gates: dict[str, NetworkGate] = {}
        k = 0
        while k < len(self.body):
            _, *inputs, output = self.body[k].split()
            k += 1
            cubes: list[str] = []
            while k < len(self.body) and self.body[k][0] != ".":
                *cube, value = self.body[k].split()
                if value != "1":
                    raise SolverError(f"cover of {output} must list where it is 1")
                cubes.append(cube[0] if cube else "")
                k += 1
            gates[output] = NetworkGate(tuple(inputs), tuple(cubes))
        names: dict[str, str] = {}

        def source(net: str) -> str:
            """Return the net behind buffers."""
            passed: list[str] = []
            while net not in names and net in gates and gates[net].cubes == ("1",):
                passed.append(net)
                (net,) = gates[net].inputs
            return names.setdefault(net, net) if not passed else names.setdefault(passed[0], source(net))

        return {net: NetworkGate(tuple(map(source, gate.inputs)), gate.cubes) for net, gate in gates.items()}

    def cone(self, outputs: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the inputs on which some outputs depend, and the gates between, in order of evaluation."""
        inputs: list[str] = []
        order: list[str] = []
        seen: set[str] = set()
        stack = [(net, False) for net in reversed(outputs)]
        while stack:
            net, ready = stack.pop()
            if ready:
                order.append(net)
            elif net not in seen:
                seen.add(net)
                if net in self.gates:
                    stack.append((net, True))
                    stack += [(source, False) for source in self.gates[net].inputs]
                else:
                    inputs.append(net)
        return inputs, order

    def function(self, outputs: Sequence[str]) -> tuple[list[str], Callable[[Sequence[int], int], list[int]]]:
        """Return the inputs on which some outputs depend, and a function from words of them to theirs.

        A word holds one case in each bit of the function's last argument, a word of ones.
        """
        inputs, order = self.cone(outputs)
        number = {net: k for k, net in enumerate([*inputs, *order])}
        lines = ["def function(inputs, ones):\n"]
        lines += [f" v{k} = inputs[{k}]\n" for k in range(len(inputs))]
        for net in order:
            gate = self.gates[net]
            products = [
                "&".join(
                    f"v{number[source]}" if wanted == "1" else f"(ones^v{number[source]})"
                    for source, wanted in zip(gate.inputs, cube, strict=True)
                    if wanted != "-"
                )
                or "ones"
                for cube in gate.cubes
            ]
            lines.append(f" v{number[net]} = {'|'.join(products) or '0'}\n")
        lines.append(f" return [{', '.join(f'v{number[net]}' for net in outputs)}]\n")
        space: dict[str, Any] = {}
        exec(compile("".join(lines), "<network>", "exec"), space)
        return inputs, space["function"]

    def text(self, outputs: Sequence[str]) -> str:
        """Return BLIF of the network with these outputs alone."""
        lines = [".model network", ".inputs " + " ".join(self.inputs), ".outputs " + " ".join(outputs)]
        return "\n".join([*lines, *self.body, ".end", ""])


def bit_index(bit: str) -> int:
    """Return the place of a bit in its word, by the net's name."""
    found = re.search(r"\[(\d+)\]$", bit)
    return int(found[1]) if found else 0


def _statements(blif: str) -> list[list[str]]:
    """Return the lines of BLIF, split into words; those that go on are joined."""
    return [line.split() for line in blif.replace("\\\n", " ").splitlines() if line and line[0] != "#"]


def network(
    sources: Mapping[str, str],
    top: str,
    *,
    rename: Callable[[str], str] = lambda name: name,
    prepare: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    seconds: float | None = 300,
) -> Network:
    """Make gates of a design.

    Args:
        sources: The text of each source by file name: ``.il`` is RTLIL, ``.v`` Verilog, read in order.
        top: Name of the top module.
        prepare: Yosys commands that read the sources and make one module of them, where it is not the usual
            ones.
        rename: Makes the name of a register's bit out of that of its net; bits of the same name are one.
        keep: Patterns of the names of wires that are to be found in the network, beside ports and registers.
        seconds: How long Yosys may take.

    Returns:
        The network.

    Raises:
        ToolError: If pyosys is missing.
        SynthesisError: If Yosys fails.
    """
    usual = [
        *(f"read_{'rtlil' if name.endswith('.il') else 'verilog'} {name}" for name in sources),
        f"hierarchy -check -top {top}",
        "proc -norom",
        # Of several names of one net, a register's own is the one to keep.
        *(f"setattr -set keep 1 w:{pattern}" for pattern in ("accumulator*", *keep)),
        *(_PARTS if any(PART in text for text in sources.values()) else ()),
        "flatten -noscopeinfo",
    ]
    made = yosys.run(
        [
            *(usual if prepare is None else prepare),
            *_GATES,
            "write_blif -buf _BUF_ i o out.blif",
        ],
        inputs=sources,
        outputs=["out.blif"],
        seconds=seconds,
    )
    return _read(made["out.blif"], rename)


def _read(blif: str, rename: Callable[[str], str]) -> Network:
    made = Network([], [], {})
    cover: list[str] = []
    first: dict[str, str] = {}
    for words in _statements(blif):
        match words[0]:
            case ".model" | ".end":
                continue
            case ".inputs":
                made.inputs += [bit for bit in words[1:] if bit not in ("clk", "rst")] + [
                    bit for bit in words[1:] if bit == "rst"
                ]
            case ".outputs":
                made.outputs += words[1:]
            case ".latch":
                name = rename(words[2])
                if name in first:
                    cover += [f".names {first[name]} {words[2]}", "1 1"]
                else:
                    first[name] = words[2]
                made.registers[words[2]] = words[1]
            case ".subckt" if words[1] == "_BUF_":
                pins = dict(word.split("=") for word in words[2:])
                cover += [f".names {pins['i']} {pins['o']}", "1 1"]
            case ".gate" | ".subckt":
                raise SolverError(f"cell must be a plain gate, not {words[1]}")
            case _:
                cover.append(" ".join(words))
    made.inputs += first.values()
    made.body = cover
    return made
