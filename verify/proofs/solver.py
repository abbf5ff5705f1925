"""From Verilog and RTLIL to one question of a SAT solver: are these outputs always 1?

Yosys makes gates of a design; registers are cut open, so that what they hold is an input and what they take
an output; ABC, which comes with the pyosys wheel, answers by SAT sweeping: it finds equal signals on the way,
proves them, and merges them, which is what makes a comparison of two adders of 32 bits a matter of seconds.
"""

import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ...base import external_tools
from ...synth import yosys

__all__ = [
    "Network",
    "NetworkGate",
    "SolverAnswer",
    "SolverError",
    "always",
    "equal",
    "everywhere",
    "network",
    "unreachable",
]

_GATES: Final = (
    "opt_expr", "opt_clean", "techmap", "opt_expr", "simplemap", "setattr -unset init w:*",
    "dfflegalize -cell $_DFF_P_ x", "opt_clean",
)  # fmt: skip


# So many inputs are tried one by one, a word of 2**_WORD of them at a time.
_MOST: Final = 26
_WORD: Final = 18


class SolverError(RuntimeError):
    """A solver gave no answer."""


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
        return sorted(bits, key=_index)

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


def _index(bit: str) -> int:
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
    seconds: float | None = 300,
) -> Network:
    """Make gates of a design.

    Args:
        sources: The text of each source by file name: ``.il`` is RTLIL, ``.v`` Verilog, read in order.
        top: Name of the top module.
        prepare: Yosys commands that read the sources and make one module of them, where it is not the usual
            ones.
        rename: Makes the name of a register's bit out of that of its net; bits of the same name are one.
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
        "setattr -set keep 1 w:accumulator*",
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


@dataclass(frozen=True)
class SolverAnswer:
    """What a solver said.

    Attributes:
        holds: Whether all outputs are always 1.
        method: How that was found out.
        output: An output that is not, and the input that shows it; empty if there is none.
        inputs: That input: values by port, in hexadecimal.
    """

    holds: bool
    method: str
    output: str = ""
    inputs: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.holds:
            return "holds"
        told = ", ".join(f"{name}={value}" for name, value in sorted(self.inputs.items()))
        return f"{self.output} fails at {told}"


def everywhere(question: Network, outputs: Sequence[str]) -> SolverAnswer | None:
    """Say whether some outputs are 1 for every input by trying every input; None where there are too many.

    Args:
        question: The network.
        outputs: The outputs.

    Returns:
        The answer, if the outputs depend on few inputs.
    """
    if len(question.cone(outputs)[0]) > _MOST:
        return None
    inputs, function = question.function(outputs)
    method = f"every input (2^{len(inputs)})"
    low = min(len(inputs), _WORD)
    ones = (1 << (1 << low)) - 1
    # Input k of a word changes every 2**k cases.
    patterns = [ones // ((1 << (2 << k)) - 1) * (((1 << (1 << k)) - 1) << (1 << k)) for k in range(low)]
    for high in range(1 << (len(inputs) - low)):
        words = [*patterns, *(ones if high >> k & 1 else 0 for k in range(len(inputs) - low))]
        for output, value in zip(outputs, function(words, ones), strict=True):
            if value != ones:
                wrong = ones ^ value
                case = (wrong & -wrong).bit_length() - 1
                bits = {net: word >> case & 1 for net, word in zip(inputs, words, strict=True)}
                return SolverAnswer(False, method, output, _words(bits))
    return SolverAnswer(True, method)


def _words(bits: Mapping[str, int]) -> dict[str, str]:
    words: dict[str, int] = {}
    for bit, value in bits.items():
        word = bit.partition("[")[0]
        words[word] = words.get(word, 0) | value << _index(bit)
    return {word: f"{value:#x}" for word, value in words.items()}


def _abc() -> Path:
    folder = external_tools.require_tools(*yosys.NEEDS)["pyosys"].path
    assert folder is not None
    program = folder / "yosys-abc"
    if not program.is_file():
        raise SolverError(f"pyosys must come with yosys-abc, not without: {program}")
    return program


def _run_abc(commands: str, files: Mapping[str, str], seconds: float) -> str:
    with tempfile.TemporaryDirectory(prefix="blockdot-abc-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                [_abc(), "-c", commands],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds + 30,
            )
        except subprocess.TimeoutExpired:
            raise SolverError(f"ABC must end within {seconds:.0f} s, not take longer") from None
    return done.stdout


def always(question: Network, outputs: Sequence[str], *, seconds: float = 300) -> SolverAnswer:
    """Say whether some outputs are 1 for every input.

    Args:
        question: The network.
        outputs: The outputs.
        seconds: How long the solver may take.

    Returns:
        The answer.

    Raises:
        SolverError: If there is none within the time.
    """
    ones = Network(question.inputs, list(outputs), {}, [f".names {bit}\n1" for bit in outputs])
    printed = _run_abc(
        f"cec -T {seconds:.0f} -C 100000000 -n question.blif ones.blif",
        {"question.blif": question.text(outputs), "ones.blif": ones.text(outputs)},
        seconds,
    )
    if "Networks are equivalent" in printed:
        return SolverAnswer(True, "SAT")
    pattern = re.search(r"Input pattern: +(.*)", printed)
    which = re.search(r"Output (\S+): +Value in Network1 = 0", printed)
    if "NOT EQUIVALENT" not in printed or not pattern:
        tail = " ".join(printed.split())[-300:]
        raise SolverError(f"ABC must settle the question within {seconds:.0f} s, not say: {tail}")
    assignments = (assignment.split("=") for assignment in pattern[1].split())
    bits = {question.inputs[int(number.removeprefix("pi"))]: int(value) for number, value in assignments}
    name = outputs[int(which[1].removeprefix("po"))] if which else outputs[0]
    return SolverAnswer(False, "SAT", name, _words(bits))


def equal(
    left: Network,
    right: Network,
    pairs: Mapping[str, str],
    *,
    possible: Sequence[str] = (),
    seconds: float = 300,
) -> SolverAnswer:
    """Say whether two networks give the same, and their registers take the same, for every input and state.

    Args:
        left: One network.
        right: The other, with outputs of the same names.
        pairs: For each register of `left` the one of `right` that holds the same.
        possible: BLIF of a net ``possible`` over `left`'s inputs and registers; what happens where it is 0
            does not count.
        seconds: How long the solver may take.

    Returns:
        The answer.

    Raises:
        SolverError: If there is none within the time.
    """
    # What the left one has keeps its names, the other's nets get a mark.
    shared = {theirs: ours for ours, theirs in pairs.items()} | {
        bit: bit for bit in left.inputs if bit not in left.registers
    }

    def marked(net: str) -> str:
        return shared.get(net, f"{net}~")

    condition = list(possible) or [".names possible", "1"]
    joined = Network([*left.inputs], [], {}, [*left.body, *condition])
    joined.inputs += [marked(bit) for bit in right.inputs if bit not in shared]
    for line in right.body:
        command, *nets = line.split()
        joined.body.append(" ".join([command, *map(marked, nets)]) if command == ".names" else line)
    compared = [(bit, bit, marked(bit)) for bit in left.outputs]
    compared += [
        (f"next_{ours}", left.registers[ours], marked(right.registers[theirs]))
        for ours, theirs in pairs.items()
    ]
    names: list[str] = []
    for what, ours, theirs in compared:
        joined.body += [f".names {ours} {theirs} possible same_{what}", "00- 1", "11- 1", "--0 1"]
        names.append(f"same_{what}")
    return always(joined, names, seconds=seconds)


def unreachable(question: Network, zero: Sequence[str], *, seconds: float = 120) -> SolverAnswer:
    """Say whether every output is 1 in every state that can be reached, by property-directed reachability.

    Args:
        question: The network, with its registers.
        zero: Registers that hold 0 at first; what the others hold is anything.
        seconds: How long the solver may take.

    Returns:
        The answer; where it does not hold, the output alone.

    Raises:
        SolverError: If there is none within the time.
    """
    # All at once; which one it is, where one fails, is then found one by one.
    every = Network(question.inputs, ["every"], question.registers, [*question.body])
    every.body += [".names " + " ".join([*question.outputs, "every"]), "1" * len(question.outputs) + " 1"]
    if _kept(every, "every", zero, seconds):
        return SolverAnswer(True, "PDR")
    failed = (output for output in question.outputs if not _kept(question, output, zero, seconds))
    return SolverAnswer(False, "PDR", next(failed, "a rule"))


def _kept(question: Network, output: str, zero: Sequence[str], seconds: float) -> bool:
    # What no state breaks, reachable or not, needs no search; nor does ABC search for what is constant.
    if always(question, [output], seconds=seconds).holds:
        return True
    outside = [bit for bit in question.inputs if bit not in question.registers]
    lines = [".model network", ".inputs " + " ".join(outside), ".outputs bad"]
    lines += [f".latch {taken} {net} {0 if net in zero else 2}" for net, taken in question.registers.items()]
    lines += [*question.body, f".names {output} bad", "0 1", ".end", ""]
    printed = _run_abc(
        f"read_blif question.blif; undc; strash; pdr -T {seconds:.0f}",
        {"question.blif": "\n".join(lines)},
        seconds,
    )
    constant = "All outputs solved" in printed and "Reached timeout" not in printed
    if "was asserted" in printed or constant:
        return False
    if "Property proved" not in printed and "UNSATISFIABLE" not in printed:
        tail = " ".join(printed.split())[-300:]
        raise SolverError(f"ABC must settle {output} within {seconds:.0f} s, not say: {tail}")
    return True
