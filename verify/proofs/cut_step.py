"""A step's netlist, cut at some of its wires, so that each part between them can be proven alone.

What is before a wire is compared with what the wire should hold; what is behind it is asked with that in its
place. Nothing of the netlist is left out by this: a part is all of the step's gates, with some nets driven by
what its description says and no longer by their gates.

So if one part proves that a wire holds a number wherever the step's inputs can occur, and the next one proves
what the step makes of that number, then both prove what the step makes of its inputs. Where a part does not
care what a wire holds, no later one may take anything for granted of it. A bit of a wire that is a constant,
or the same net as another, is what it is in every part.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from .algebra import Polynomial, polynomial_is
from .description_text import DescriptionModule
from .gate_network import Network, NetworkGate, bit_index, network
from .leaves import register_name, settled
from .solver import SolverAnswer
from .solver_error import SolverError
from .steps import Chain, StepNetlist

__all__ = ["CutStep", "DescribedPart", "PartClaim", "StepParts", "SummedPart"]

NEXT: Final = "next_"
"""What stands before the name of a register in the name of what it takes."""


@dataclass(frozen=True, kw_only=True)
class DescribedPart:
    """Gates between wires of a step, and what they should make of these.

    A wire is called as in the netlist, ``accumulate.total``, and an output ``o_result``; in the description
    both are without what is before that: ``total``, ``result``.

    Attributes:
        taken: What its description takes besides the inputs of the step, by name: how wide it is, or the wire
            that is as wide. One with the name of a register is what that holds.
        seen: Wires whose bits the description takes under their names, as they come out.
        cut: Likewise, but they may hold anything.
        fed: Wires that are driven by what the description gives under their names.
        given: Wires, outputs of the step, and registers behind `NEXT`, that should hold what it gives.
        describe: Puts that into a module.
        leading: What it takes of which the place of the leading one is asked for case by case.
    """

    taken: Mapping[str, int | str]
    describe: Callable[[DescriptionModule], None]
    seen: Sequence[str] = ()
    cut: Sequence[str] = ()
    fed: Sequence[str] = ()
    given: Sequence[str] = ()
    leading: str = ""

    def check(self, step: "CutStep", seconds: float) -> SolverAnswer:
        """Prove that the gates do so; see `check_leaf`."""
        taken = {name: len(step.word(of)) if isinstance(of, str) else of for name, of in self.taken.items()}
        taken |= {_port(name): len(step.word(name)) for name in (*self.seen, *self.cut)}
        outputs = {_port(name): len(step.word(name)) for name in (*self.fed, *self.given)}
        module = DescriptionModule({**step.inputs, **taken}, outputs, clocked=False)
        self.describe(module)
        if missing := outputs.keys() - module.given:
            raise ValueError(f"description must give {sorted(missing)}")
        question = step.compared(module, self)
        leading = f"i_{self.leading}" if self.leading else ""
        return settled(question, question.outputs, leading=leading, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class SummedPart:
    """Gates between wires of a step that add many numbers, which algebra looks at.

    Attributes:
        cut: Wires that may hold anything.
        total: Wires whose sum, a signed number as wide as they are, is looked at.
        most: The largest magnitude that it can have.
        wanted: Gives the polynomial in nets that it should be, modulo the width.
    """

    cut: Sequence[str]
    total: Sequence[str]
    most: int
    wanted: "Callable[[CutStep], Polynomial]"

    def check(self, step: "CutStep", seconds: float) -> SolverAnswer:
        """Prove that the gates do so; see `check_leaf`."""
        del seconds
        what = " + ".join(self.total)
        width = len(step.word(self.total[0]))
        if self.most >> (width - 1):
            return SolverAnswer(False, "algebra", f"{what}: {self.most} in {width} bits")
        total: Polynomial = {}
        for name in self.total:
            step.add_word(total, name)
        return polynomial_is(step.cut(self.cut), total, width, self.wanted(step), what)


@dataclass(frozen=True, kw_only=True)
class PartClaim:
    """What is claimed of some parts of a step.

    Attributes:
        leaf: What it is about.
        claim: What is claimed.
        parts: The parts.
    """

    leaf: str
    claim: str
    parts: Sequence[DescribedPart | SummedPart]

    def check(self, step: "CutStep", seconds: float) -> SolverAnswer:
        """Prove the claim of a step; see `check_leaf`. The seconds are those for each part."""
        answers: list[SolverAnswer] = []
        for part in self.parts:
            answers.append(part.check(step, seconds))
            if not answers[-1].holds:
                return answers[-1]
        return next((answer for answer in answers if "SAT" in answer.method), answers[-1])


@dataclass(frozen=True, kw_only=True)
class StepParts:
    """How a step is cut.

    Attributes:
        wires: Patterns of the names of the wires where it is cut, without those of components.
        claims: What is claimed of the parts, in the order in which numbers go through them.
        others: What the names of the outputs begin with that no part is about.
    """

    wires: Sequence[str]
    claims: Sequence[PartClaim]
    others: tuple[str, ...] = ()


class CutStep:
    """A step as a network of gates whose wires are known by name.

    Args:
        chain: The unit's steps.
        step: The step.
        cut: How it is cut.

    Attributes:
        inputs: Width of each input of the step.
        whole: The network.

    Raises:
        ValueError: If no part is about an output or a register of the step.
    """

    def __init__(self, chain: Chain, step: StepNetlist, cut: StepParts) -> None:
        self.inputs = step.inputs
        self.whole = network({"steps.il": chain.rtlil}, step.module, rename=register_name, keep=cut.wires)
        parts = [part for claim in cut.claims for part in claim.parts]
        given = {name for part in parts if isinstance(part, DescribedPart) for name in part.given}
        registers = [register_name(net) for net in self.whole.registers]
        wanted = {
            *(f"o_{name}" for name in step.outputs if not name.startswith(cut.others)),
            *(NEXT + bit.partition("[")[0] for bit in registers),
        }
        if left := sorted(wanted - given):
            raise ValueError(f"parts must be about every output and register, also {', '.join(left)}")
        if len(set(registers)) < len(registers):
            raise ValueError(f"registers must differ in name to be told apart, not {sorted(registers)}")
        self._registers = {register_name(net): (net, taken) for net, taken in self.whole.registers.items()}
        # Every gate takes nets behind buffers; a wire may be such a buffer.
        self._gates = self.whole.gates
        self._words: dict[str, list[str]] = {}
        for net in (*self._gates, *self.whole.inputs):
            self._words.setdefault(net.partition("[")[0], []).append(net)
        for bits in self._words.values():
            bits.sort(key=bit_index)

    def inputs_of(self, name: str) -> list[str]:
        """Return the nets of an input of the step, lowest first."""
        return self._words[f"i_{name}"]

    def word(self, name: str) -> list[str]:
        """Return the nets that drive a wire, an output of the step, or what a register takes, lowest first.

        Raises:
            SolverError: If there is no such wire.
        """
        register = name.removeprefix(NEXT)
        named = self._words.get(name, [])
        if register != name:
            named = sorted(
                (bit for bit in self._registers if bit.partition("[")[0] == register), key=bit_index
            )
        if not named or [bit_index(bit) for bit in named] != list(range(len(named))):
            raise SolverError(f"step must have a wire {name!r} to be cut at, with every bit")
        nets = named if register == name else [self._registers[bit][1] for bit in named]
        return [self._source(net) for net in nets]

    def _source(self, net: str) -> str:
        gate = self._gates.get(net)
        # One buffer at most: what drives it was looked up already.
        return gate.inputs[0] if gate is not None and gate.cubes == ("1",) else net

    def constant(self, net: str) -> int | None:
        """Return what a net always holds where it is a constant; None where it is none."""
        gate = self._gates.get(net)
        return None if gate is None or gate.inputs else int(bool(gate.cubes))

    def add_net(self, total: Polynomial, net: str, factor: int) -> None:
        """Add a net, times a factor, to a polynomial."""
        self.add_product(total, (net,), factor)

    def add_product(self, total: Polynomial, nets: Sequence[str], factor: int) -> None:
        """Add the product of nets, times a factor, to a polynomial."""
        values = [self.constant(net) for net in nets]
        term = frozenset(net for net, value in zip(nets, values, strict=True) if value is None)
        total[term] = total.get(term, 0) + factor * (0 not in values)

    def add_word(self, total: Polynomial, name: str, factor: int = 1) -> None:
        """Add what a wire holds, taken as unsigned, times a factor, to a polynomial."""
        for k, net in enumerate(self.word(name)):
            self.add_net(total, net, factor << k)

    def cut(self, names: Sequence[str]) -> Network:
        """Return the network with wires that may hold anything.

        A wire's bit that is a constant, an input or a register stays what it is.
        """
        nets = {net for name in names for net in self.word(name) if self._can_be_cut(net)}
        gates = {net: gate for net, gate in self._gates.items() if net not in nets}
        return Network(
            [*self.whole.inputs, *sorted(nets)], self.whole.outputs, {}, _text(gates, lambda net: net)
        )

    def _can_be_cut(self, net: str) -> bool:
        return net in self._gates and self.constant(net) is None

    def _before(self, nets: Sequence[str], stops: Set[str]) -> dict[str, NetworkGate]:
        """Return the gates that nets depend on, as far as others do not stop the search."""
        found: dict[str, NetworkGate] = {}
        stack = list(nets)
        while stack:
            net = stack.pop()
            if net in self._gates and net not in found and net not in stops:
                found[net] = self._gates[net]
                stack += found[net].inputs
        return found

    def compared(self, module: DescriptionModule, part: DescribedPart) -> Network:
        """Return the network whose outputs are 1 where wires hold what a description says.

        As in `cut`, a bit that is a constant, an input or a register is not driven by anything else.
        """
        told = network({"description.v": str(module)}, "description")
        held = {net: f"i_{bit}" for bit, (net, _) in self._registers.items()}
        driven: dict[str, str] = {}
        for name in part.fed:
            outputs = told.word(f"o_{_port(name)}")
            for net, output in zip(self.word(name), outputs, strict=True):
                if self._can_be_cut(net):
                    driven[net] = _told(output)
        freed = sorted({net for name in part.cut for net in self.word(name) if self._can_be_cut(net)})
        driven |= {net: f"cut.{net}" for net in freed}
        inputs = set(told.inputs)

        def of_step(net: str) -> str:
            if net in driven:
                return driven[net]
            return f"step.{net}" if net in self._gates else held.get(net, net)

        looked_at = [net for name in (*part.given, *part.seen, *part.cut) for net in self.word(name)]
        body = _text(self._before(looked_at, driven.keys()), of_step)
        body += _text(told.gates, lambda net: net if net in inputs else _told(net))
        watched: set[str] = set()
        for path in (*part.seen, *part.cut):
            nets, port = self.word(path), f"i_{_port(path)}"
            for k, net in enumerate(nets):
                bit = port if len(nets) == 1 else f"{port}[{k}]"
                watched.add(bit)
                body += [f".names {of_step(net)} {bit}", "1 1"]
        free = [held.get(net, net) for net in self.whole.inputs]
        every = [*told.inputs, *free, *(driven[net] for net in freed)]
        outside = [net for net in dict.fromkeys(every) if net not in watched]
        question = Network(outside, [], {}, body)
        allowed = _told("allowed")
        for path in part.given:
            name, same = _port(path), list[str]()
            outputs = told.word(f"o_{name}")
            for k, (net, output) in enumerate(zip(self.word(path), outputs, strict=True)):
                same.append(f"same_{name}[{k}]")
                body += [f".names {of_step(net)} {_told(output)} {same[-1]}", "00 1", "11 1"]
            care = [_told(f"care_{name}")] if name in module.cares else []
            body += [f".names {' '.join(same)} every_{name}", "1" * len(same) + " 1"]
            body += [f".names {' '.join([allowed, f'every_{name}', *care])} ok_{name}"]
            body += ["0-- 1", "-1- 1", "--0 1"] if care else ["0- 1", "-1 1"]
            question.outputs.append(f"ok_{name}")
        for name in module.claims:
            body += [f".names {allowed} {_told(f'claim_{name}')} ok_claim_{name}", "0- 1", "-1 1"]
            question.outputs.append(f"ok_claim_{name}")
        # A solver may take a net that nothing drives for a constant.
        if loose := set(question.cone(question.outputs)[0]) - set(outside):
            raise ValueError(f"nets must be driven, or inputs: {', '.join(sorted(loose))}")
        return question


def _port(name: str) -> str:
    """Return the name of a wire or an output in a description."""
    return name.rpartition(".")[2].removeprefix("o_")


def _told(net: str) -> str:
    return f"told.{net}"


def _text(gates: Mapping[str, NetworkGate], name: Callable[[str], str]) -> list[str]:
    """Return BLIF of gates, each net under another name."""
    lines: list[str] = []
    for net, gate in gates.items():
        lines.append(" ".join([".names", *map(name, gate.inputs), name(net)]))
        lines += [f"{cube} 1" if gate.inputs else "1" for cube in gate.cubes]
    return lines
