"""Faults put into a unit's netlist: which of them the tests' inputs find, and which change nothing.

Yosys puts all faults into one netlist, each of them awake for one value of a control word. The netlist is
then run with one fault in each bit of a machine word, all of them side by side, against the one without a
fault. What no input finds is given to the solver: whether any input in any state that occurs tells the two
apart. If one does, the proofs refute the mutant, as `blockdot prove` compares every register and output.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ..hw import DotUnit, UnitConfig
from ..hw.configurations import Configuration
from ..hw.stream_unit import StreamUnit
from ..hw.verilog import plain_verilog
from ..model import DotSpec, QuantizerSpec
from ..sim.drawn_stimulus import draw
from ..sim.serial_stimulus import as_played
from ..sim.stream_rules import as_number, result_ports
from ..sim.unit_stimulus import UnitStimulus
from ..synth import yosys
from .accumulation_checks import ACCUMULATION_CHECKS
from .directed_stimulus import directed_stimulus
from .proofs.gate_network import Network, network
from .proofs.solver import equal
from .proofs.solver_error import SolverError

__all__ = [
    "FATES",
    "Fate",
    "Mutant",
    "Mutants",
    "agree",
    "built",
    "examine_mutant",
    "mutate",
    "play",
    "stimuli_for",
    "wanted_results",
]

Fate = Literal["killed", "refuted", "equivalent", "survived"]
FATES: Final[tuple[Fate, ...]] = ("killed", "refuted", "equivalent", "survived")

_CONTROL: Final = "mutation"
# Yosys chooses among so many times the faults that are wanted, so that no component is left out.
_CHOICE: Final = 6
_RANDOM: Final = 3000
# One fault of a main unit takes 280 s of a quiet processor; a busy one must not leave it without an answer.
_SECONDS: Final = 900


@dataclass(frozen=True)
class Mutant:
    """A fault in a netlist, and what became of it.

    Attributes:
        component: The component it is in; ``control`` for what is between them.
        fault: The fault, as Yosys names it: mode, cell, port and bit.
        fate: ``killed`` by an input of the simulation; ``refuted`` by proof; ``equivalent``, as no input in
            any state that occurs can tell it from the unit; or ``survived``, where there is no answer.
        cycle: The cycle in which an output first differs; None where none does.
    """

    component: str
    fault: str
    fate: Fate
    cycle: int | None


@dataclass(frozen=True)
class Mutants:
    """All mutants of a unit.

    Attributes:
        unit: The unit's name.
        seed: Seed of the choice of faults.
        vectors: Inputs that they were run on.
        mutants: The mutants.
    """

    unit: str
    seed: int
    vectors: int
    mutants: tuple[Mutant, ...]

    def count(self, fate: Fate, component: str | None = None) -> int:
        """Return how many mutants, of one component or of all, met a fate."""
        return sum(one.fate == fate and component in (None, one.component) for one in self.mutants)

    @property
    def components(self) -> list[str]:
        """The components that have mutants, in alphabetical order."""
        return sorted({one.component for one in self.mutants})


def _prepared(unit: StreamUnit) -> list[str]:
    return [
        "read_verilog unit.v",
        f"hierarchy -check -top {unit.name}",
        "proc",
        "setattr -set keep 1 w:accumulator*",
        "flatten -noscopeinfo",
        "opt_clean",
    ]


def _option(command: str, name: str) -> str:
    found = re.search(rf" -{name} (\S+)", command)
    return found[1] if found else ""


def _component(command: str) -> str:
    """Return the component that a fault is in, without its number."""
    inside = re.match(r"\$flatten\\(\w+)\.", _option(command, "cell"))
    return re.sub(r"_\d+$", "", inside[1]) if inside else "control"


def _choose(unit: StreamUnit, count: int, seed: int, source: str) -> list[str]:
    """Return Yosys commands that each put in a fault, from every component in turn."""
    made = yosys.run(
        [*_prepared(unit), f"mutate -list {_CHOICE * count} -seed {seed} -o list.txt"],
        inputs={"unit.v": source},
        outputs=["list.txt"],
    )
    commands = dict.fromkeys(line for line in made["list.txt"].splitlines() if line.startswith("mutate"))
    of_components: dict[str, list[str]] = {}
    for command in commands:
        # A fault at Q would take the register's name away, and is one of all that reads the register.
        # Netlists are compared without their clock.
        if "dff" in _option(command, "cell") and _option(command, "port") in ("Q", "CLK"):
            continue
        of_components.setdefault(_component(command), []).append(command)
    chosen: list[str] = []
    while len(chosen) < count and any(of_components.values()):
        for name in sorted(of_components):
            if of_components[name] and len(chosen) < count:
                chosen.append(of_components[name].pop(0))
    return chosen


def built(config: Configuration) -> StreamUnit:
    """Return the unit of a configuration.

    Raises:
        ValueError: If it is a tile.
    """
    return DotUnit.of(config) if isinstance(config, UnitConfig) else config.build()


def stimuli_for(config: Configuration, vectors: int, seed: int) -> list[UnitStimulus]:
    """Return the inputs that faults are to be found by: directed ones, and so many random ones."""
    stimuli = (directed_stimulus(config.spec), draw(config.spec, vectors, seed=seed))
    return [as_played(config, stimulus) for stimulus in stimuli]


def mutate(
    unit: Configuration,
    count: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Mutants:
    """Put faults into a unit's emitted netlist, and find them.

    Args:
        unit: How the unit is built.
        count: How many faults, at least 1.
        seed: Seed of their choice; not negative.
        progress: Is told how many inputs were played, of how many.

    Returns:
        The mutants, and what became of each.

    Raises:
        ToolError: If pyosys is missing.
        SynthesisError: If Yosys fails.
        ValueError: If a number is outside its domain, the unit is a tile, or it does not give
            the model's results without a fault.
    """
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    component = built(unit)
    # Which mutants a seed draws hangs on where the text has line breaks.
    source = plain_verilog(component)
    commands = _choose(component, count, seed, source)
    # A word of one bit would have no index.
    bits = max(len(commands).bit_length(), 2)
    awake = [
        command.replace("mutate ", f"mutate -ctrl {_CONTROL} {bits} {k} ", 1)
        for k, command in enumerate(commands, 1)
    ]
    faulty = network(
        {"unit.v": source}, component.name, prepare=[*_prepared(component), *awake], seconds=None
    )
    stimuli = stimuli_for(unit, _RANDOM, seed)
    found: dict[int, int] = {}
    vectors = sum(stimulus.vectors for stimulus in stimuli)
    played = 0
    for stimulus in stimuli:
        lanes = [k for k in range(1, len(commands) + 1) if k not in found]
        shown, results = play(faulty, component, stimulus, lanes)
        if not agree(results, wanted_results(stimulus)):
            raise ValueError(f"{component.name} must give the model's results, as it has no fault yet")
        found |= {lane: cycle + played for lane, cycle in shown.items()}
        played += stimulus.vectors
        progress(played, vectors)
    right = _awake(faulty, 0)
    mutants: list[Mutant] = []
    for k, command in enumerate(commands, 1):
        fault = " ".join(_option(command, name) for name in ("mode", "cell", "port", "portbit"))
        fate: Fate = "killed" if k in found else examine_mutant(component, right, _awake(faulty, k))
        mutants.append(Mutant(_component(command), fault, fate, found.get(k)))
    return Mutants(component.name, seed, vectors, tuple(mutants))


def _control_words(lanes: Sequence[int]) -> dict[str, int]:
    """Return the control word's bits: lane 0 of a machine word has no fault, lane k that of lanes[k - 1]."""
    every = [0, *lanes]
    return {
        f"{_CONTROL}[{bit}]": sum((number >> bit & 1) << k for k, number in enumerate(every))
        for bit in range(max(every).bit_length())
    }


def wanted_results(stimulus: UnitStimulus) -> list[int | None]:
    """Return the model's results, each as one number; None for those that are not defined."""
    start = stimulus.undefined_count
    return [None] * start + [*map(as_number, stimulus.expected()[start:])]


def agree(results: Sequence[int], wanted: Sequence[int | None]) -> bool:
    """Say whether results are all that are wanted (see `wanted_results`), as far as they are defined."""
    return len(results) == len(wanted) and all(
        one in (None, result) for one, result in zip(wanted, results, strict=True)
    )


def play(
    one: Network,
    unit: StreamUnit,
    stimulus: UnitStimulus,
    lanes: Sequence[int] = (),
    *,
    patience: int = 20,
    wanted: Sequence[int | None] = (),
) -> tuple[dict[int, int], list[int]]:
    """Play a stimulus, with its gaps and refusals, to netlists that differ in a control word.

    Args:
        one: The netlist.
        unit: The unit that it is of, perhaps with a fault.
        stimulus: The stimulus.
        lanes: The control words, besides 0.
        patience: Cycles for each vector, and for ten more, after which a unit is taken to hang.
        wanted: Results that it should give, see `wanted_results`: the first other one is the last that is
            played, as more would say no more.

    Returns:
        For each control word that shows at an output, the cycle in which it first does; and the results of
        word 0, each as one number (see `as_number`), as many as came before too many cycles had passed.
    """
    ones = (1 << (len(lanes) + 1)) - 1
    streams = unit.stages > 0
    # Where each bit of a result stands: a port begins with a word of its own.
    bits: list[str] = []
    places: list[int] = []
    for port in result_ports(unit):
        start = 32 * (-(-(places[-1] + 1) // 32) if places else 0)
        bits += one.word(port.name)
        places += range(start, start + port.width)
    outputs = bits + (["o_valid", "i_ready"] if streams else [])
    inputs, function = one.function([*outputs, *one.registers.values()])
    constant = dict.fromkeys(inputs, 0) | _control_words(lanes)
    columns = {
        name: [int.from_bytes(row.tobytes(), "little") for row in words]
        for name, words in stimulus.words().items()
    }
    if isinstance(unit.spec, DotSpec) and unit.spec.accumulates:
        columns["i_first"] = stimulus.first.astype(int).tolist()
        columns["i_last"] = stimulus.last.astype(int).tolist()
    ports = [(bit, *_place(bit)) for bit in inputs if _place(bit)[0] in columns]
    state = dict.fromkeys(one.registers, 0)
    shown = 0
    when: dict[int, int] = {}
    results: list[int] = []
    vector = cycle = 0
    offer = accept = np.ones(1, np.bool_)
    if streams:
        offer, accept = stimulus.offer, stimulus.accept
    # A result takes as long as the pipeline and the refusals last.
    tail = (unit.latency + 2) * (len(accept) + 1) if streams else 0
    offering = False
    most = patience * (stimulus.vectors + 10)
    while cycle < most and (vector < stimulus.vectors or tail > 0):
        tail -= vector >= stimulus.vectors
        values = dict(constant)
        reset = streams and cycle < 2
        if streams:
            offering = (
                vector < stimulus.vectors and (bool(offer[cycle % len(offer)]) or offering) and not reset
            )
            ready = ones * bool(accept[cycle % len(accept)])
            values |= {"rst": ones * reset, "i_valid": ones * offering, "o_ready": ready}
        offered = min(vector, stimulus.vectors - 1)
        for bit, name, k in ports:
            values[bit] = ones * (columns[name][offered] >> k & 1)
        values |= state
        answers = function([values[net] for net in inputs], ones)
        words = answers[: len(outputs)]
        state = dict(zip(one.registers, answers[len(outputs) :], strict=True))
        cycle += 1
        if reset:
            continue
        taken = not streams or bool(offering and words[-1] & 1)
        valid = not streams or bool(words[-2] & 1)
        differs = 0
        for k, word in enumerate(words):
            if k < len(bits) and not valid:
                continue
            differs |= word ^ (ones if word & 1 else 0)
        new = differs & ~shown
        shown |= differs
        while new:
            low = new & -new
            when[low.bit_length() - 1] = cycle
            new ^= low
        if valid and (not streams or accept[(cycle - 1) % len(accept)]):
            results.append(sum((word & 1) << at for at, word in zip(places, words, strict=False)))
            if len(results) <= len(wanted) and wanted[len(results) - 1] not in (None, results[-1]):
                break
        if taken:
            vector += 1
            offering = False
    return {lanes[lane - 1]: at for lane, at in sorted(when.items())}, results


def _place(bit: str) -> tuple[str, int]:
    word, bracket, rest = bit.partition("[")
    return word, int(rest[:-1]) if bracket else 0


def _possible(unit: StreamUnit, registers: Collection[str]) -> list[str]:
    """Return BLIF of a net ``possible``: inputs are those of the contract, the accumulator holds what it can.

    A tensor scale is positive and finite. A number of the format that sums are kept in is no other NaN than
    the quiet one, and a finite one not infinite; a fixed-point sum is not the least number of its width,
    which the guard bits keep away.
    """
    if isinstance(unit.spec, QuantizerSpec) and unit.spec.tensor_scale:
        g = [f"i_g[{k}]" for k in range(32)]
        return [
            ".names " + " ".join([*g[23:31], "g_infinite"]),
            "1" * 8 + " 1",
            ".names " + " ".join([*g[:31], "g_zero"]),
            "0" * 31 + " 1",
            f".names {g[31]} g_infinite g_zero possible",
            "000 1",
        ]
    bits = [net for net in registers if _place(net)[0] == "accumulator"]
    if not bits or not isinstance(unit.spec, DotSpec):
        return [".names possible", "1"]
    bits.sort(key=lambda net: _place(net)[1])
    holds = ACCUMULATION_CHECKS[unit.spec.accumulate].holds
    if holds == "fixed point":
        return [
            ".names " + " ".join([*bits, "least"]),
            "0" * (len(bits) - 1) + "1 1",
            ".names least possible",
            "0 1",
        ]
    fields = unit.spec.sum_format.fields
    fraction, exponent = fields.fraction_bits, fields.exponent_bits
    field = bits[fraction:-1]
    infinite = "0" * fraction + "1" * exponent
    quiet = f"{'0' * (fraction - 1)}1{'1' * exponent}0"
    lines = [".names " + " ".join([*field, "odd"]), "1" * exponent + " 1"]
    lines += [".names " + " ".join([*bits, "quiet"]), f"{quiet} 1"]
    lines += [".names " + " ".join([*bits[:-1], "huge"]), f"{infinite} 1"]
    allowed = ["0-- 1", "-1- 1", *(["--1 1"] if holds == "binary32" else [])]
    lines += [".names odd quiet huge value", *allowed]
    if "accumulator_normal" not in registers:
        return [*lines, ".names value possible", "1 1"]
    # The hidden bit beside it is that of its field, where it is a finite number.
    lines += [".names " + " ".join([*field, "zero"]), "0" * exponent + " 1"]
    return [*lines, ".names value odd zero accumulator_normal possible", "11-- 1", "1-01 1", "1-10 1"]


def _awake(one: Network, number: int) -> Network:
    """Return the network with one fault; none for number 0."""
    control = {bit: _place(bit)[1] for bit in one.inputs if _place(bit)[0] == _CONTROL}
    body = list(one.body)
    for bit, k in control.items():
        body += [f".names {bit}", *(["1"] if number >> k & 1 else [])]
    return Network([bit for bit in one.inputs if bit not in control], one.outputs, one.registers, body)


def examine_mutant(unit: StreamUnit, right: Network, wrong: Network) -> Fate:
    """Say whether any input, in any state that occurs, tells a faulty netlist from a unit's.

    Args:
        unit: The unit.
        right: Its netlist.
        wrong: The other, with registers of the same names.
    """
    if right.registers.keys() != wrong.registers.keys():
        return "refuted"
    pairs = {net: net for net in right.registers}
    try:
        answer = equal(right, wrong, pairs, possible=_possible(unit, right.registers), seconds=_SECONDS)
    except SolverError:
        return "survived"
    return "equivalent" if answer.holds else "refuted"
