"""One question of a SAT solver: are these outputs always 1?

ABC, which comes with the pyosys wheel, answers by SAT sweeping: it finds equal signals on the way, proves
them, and merges them, which is what makes a comparison of two adders of 32 bits a matter of seconds. Where
there are few inputs, all of them are tried instead.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...base import external_tools
from ...synth import yosys
from .gate_network import Network, bit_index
from .solver_error import SolverError

__all__ = ["SolverAnswer", "always", "equal", "everywhere", "unreachable"]

# So many inputs are tried one by one, a word of 2**_WORD of them at a time.
_MOST: Final = 26
_WORD: Final = 18


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
        words[word] = words.get(word, 0) | value << bit_index(bit)
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
