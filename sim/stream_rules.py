"""The rules of streams, and of a run cycle by cycle, whatever simulates the unit.

`DotUnit` says what its ports promise. `StreamRule` is that promise as one rule for each way to break it: the
engines, the cocotb bench and the proofs hold a unit to these rules, each in its own language, and say beside
their code only what is their own.

Cycle 0 is the first one after two cycles of reset. During a cycle the bench puts values on the inputs, sees
what the unit puts on its outputs, and the rising edge of the clock ends the cycle. Every engine plays
the same cycles, so that the same stimulus gives the same `Response` on all of them:

* While no input is under offer, and `Stimulus.offer` says so for this cycle, the next one is offered:
  ``i_valid`` rises, and holds until ``i_ready``.
* While none is under offer the payload shows the next one with every bit inverted, so that a unit that
  takes it anyway is found out.
* ``o_ready`` follows `Stimulus.accept`. Both patterns start again when they end.
* When every input is taken and every result given, the run goes on for a few cycles more, in which
  nothing may come.

The rules are held by `StreamBench` for the engines in Python and by ``stream.h`` for CXXRTL. A
combinational unit has no streams: one vector after another is put on its inputs, a cycle each.
"""

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..hw.stream_unit import Port, StreamUnit
from .unit_stimulus import Inputs

__all__ = [
    "RESET_CYCLES",
    "EngineError",
    "Limits",
    "Payload",
    "Pins",
    "Response",
    "RunOutcome",
    "StreamBench",
    "StreamError",
    "StreamRule",
    "as_number",
    "as_words",
    "payloads",
    "result_ports",
    "result_words",
]


_WORD: Final = 0xFFFFFFFF

RESET_CYCLES: Final = 2
"""Cycles of reset before cycle 0."""


class StreamRule(enum.IntEnum):
    """The rules that a unit can break. The C++ of CXXRTL's engines takes names and numbers from here."""

    KEPT = 0
    """No rule was broken."""

    VALID_HELD = 1
    """A result that is offered is offered until it is taken: ``o_valid`` holds until ``o_ready``."""

    RESULT_STABLE = 2
    """Its bits stay as they are until then: ``o_result`` holds as well."""

    RESULT_OWED = 3
    """There is one result for each input that asks for one, behind that input, and no other result."""

    PROGRESS = 4
    """An input is taken or a result is given within `Limits.patience` cycles, while any is to come."""

    DEFINED = 5
    """After reset, ready, valid and the bits of an offered result are 0 or 1. Only a result whose sum had no
    first input may have undefined bits."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Response:
    """What a unit answered.

    Attributes:
        results: Bits of the results in order, uint32; a row of words for each where it has several: those of
            one port after another, each from a word of its own on, the least significant first.
        result_cycles: The cycle in which each result was taken from the unit, int64.
        input_cycles: The cycle in which the unit took each input, int64.
        cycles: Cycles that were run after reset.
    """

    results: npt.NDArray[np.uint32]
    result_cycles: npt.NDArray[np.int64]
    input_cycles: npt.NDArray[np.int64]
    cycles: int


class EngineError(RuntimeError):
    """A simulator, or a compiler it needs, failed."""


class StreamError(RuntimeError):
    """A unit broke a rule of its streams.

    Attributes:
        rule: The rule it broke.
        cycle: The cycle in which that was seen.
        response: What it had answered until then.
    """

    def __init__(self, message: str, rule: StreamRule, response: Response) -> None:
        super().__init__(message)
        self.rule = rule
        self.cycle = response.cycles
        self.response = response


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long an engine waits.

    Attributes:
        patience: Cycles in a row without a transfer after which the unit is held to be stuck.
        drain: Cycles after the last transfer in which nothing may come.
    """

    patience: int
    drain: int

    @classmethod
    def of(cls, latency: int, stimulus: Inputs) -> "Limits":
        """Return limits that no working unit of that latency can reach.

        A unit whose every register waits for ``o_ready`` moves on once in a whole `accept` pattern at
        worst, and an input may wait for a whole `offer` pattern.
        """
        patience = (latency + 1) * len(stimulus.accept) + len(stimulus.offer) + 64
        return cls(patience=patience, drain=latency + 8)


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended: `StreamRule.KEPT`, or the rule that was broken and the results it is about.

    Attributes:
        rule: The rule.
        held: Bits of the result that was under offer; of the first word that differs, where it has several.
        seen: Bits of the result that was seen, likewise.
    """

    rule: StreamRule
    held: int = 0
    seen: int = 0

    def conclude(self, unit: StreamUnit, stimulus: Inputs, limits: Limits, response: Response) -> Response:
        """Return `response` if the rules were kept.

        Raises:
            StreamError: If one was not.
        """
        cycle = response.cycles
        match self.rule:
            case StreamRule.KEPT:
                return response
            case StreamRule.VALID_HELD:
                text = (
                    f"o_valid of {unit.name} must hold until o_ready, "
                    f"not fall at cycle {cycle} with {self.held:#010x} under offer"
                )
            case StreamRule.RESULT_STABLE:
                names = " and ".join(port.name for port in result_ports(unit))
                text = (
                    f"{names} of {unit.name} must hold until o_ready, "
                    f"not change from {self.held:#010x} to {self.seen:#010x} at cycle {cycle}"
                )
            case StreamRule.RESULT_OWED:
                text = (
                    f"o_valid of {unit.name} must follow an input that asks for a result, "
                    f"not come with {self.seen:#010x} at cycle {cycle} after all "
                    f"{len(response.results)} results asked for"
                )
            case StreamRule.PROGRESS:
                text = (
                    f"{unit.name} must take an input or give a result within {limits.patience} cycles, "
                    f"not stand still until cycle {cycle} with {len(response.input_cycles)} of "
                    f"{stimulus.vectors} inputs taken and {len(response.results)} of "
                    f"{np.count_nonzero(stimulus.last)} results given"
                )
            case StreamRule.DEFINED:
                text = f"outputs of {unit.name} must be 0 or 1, not undefined at cycle {cycle}"
        raise StreamError(text, self.rule, response)


class Payload(NamedTuple):
    """What one input port shows, vector after vector.

    Attributes:
        port: Name of the port.
        width: Its width in bits.
        values: Its value for each vector.
    """

    port: str
    width: int
    values: list[int]


def result_ports(unit: StreamUnit) -> tuple[Port, ...]:
    """Return the ports of what leaves with a valid output, in order."""
    return tuple(
        port for port in unit.ports if port.direction == "out" and port.name not in ("i_ready", "o_valid")
    )


def result_words(unit: StreamUnit) -> int:
    """Return how many 32-bit words a result has, each of its ports beginning with one of its own."""
    return sum(-(-port.width // 32) for port in result_ports(unit))


def as_number(words: npt.NDArray[np.uint32] | np.uint32) -> int:
    """Return the bits of a result as one number, the first word lowest."""
    return int.from_bytes(np.asarray(words).astype("<u4").tobytes(), "little")


def as_words(results: list[int], words: int) -> npt.NDArray[np.uint32]:
    """Return results that are one number each as `Response` has them."""
    if words == 1:
        return np.array(results, np.uint32)
    octets = b"".join(result.to_bytes(4 * words, "little") for result in results)
    return np.frombuffer(octets, "<u4").astype(np.uint32).reshape(-1, words)


def payloads(unit: StreamUnit, stimulus: Inputs) -> list[Payload]:
    """Return what each port of a unit's input stream shows, ``i_valid`` apart."""
    columns: dict[str, list[int]] = {
        name: [int.from_bytes(row.tobytes(), "little") for row in words]
        for name, words in stimulus.words().items()
    }
    columns["i_first"] = stimulus.first.astype(int).tolist()
    columns["i_last"] = stimulus.last.astype(int).tolist()
    return [Payload(port.name, port.width, columns[port.name]) for port in unit.ports if port.name in columns]


class Pins(NamedTuple):
    """What the bench puts on the inputs during a cycle.

    Attributes:
        valid: The value of ``i_valid``.
        vector: Which vector the payload shows.
        inverted: Whether it shows it with every bit inverted.
        ready: The value of ``o_ready``.
    """

    valid: bool
    vector: int
    inverted: bool
    ready: bool


class StreamBench:
    """Plays a stimulus: `drive` at the start of a cycle, `observe` before the edge that ends it.

    Args:
        last: For each vector, whether it asks for a result.
        offer: Whether an input is offered, per cycle, repeated.
        accept: Whether a result is accepted, per cycle, repeated.
        limits: How long to wait.
        words: 32-bit words of a result.
    """

    def __init__(
        self,
        *,
        last: npt.NDArray[np.bool_],
        offer: npt.NDArray[np.bool_],
        accept: npt.NDArray[np.bool_],
        limits: Limits,
        words: int = 1,
    ) -> None:
        self._words = words
        self._last: list[bool] = last.tolist()
        self._offer: list[bool] = offer.tolist()
        self._accept: list[bool] = accept.tolist()
        self._limits = limits
        self._results: list[int] = []
        self._result_cycles: list[int] = []
        self._input_cycles: list[int] = []
        self._cycle = 0
        self._owed = 0
        self._idle = 0
        self._left = limits.drain
        self._offering = False
        self._waiting = False
        self._held = 0

    @property
    def given(self) -> int:
        """How many results the unit has given."""
        return len(self._results)

    def drive(self) -> Pins:
        """Return what the inputs are to show during the cycle that starts now."""
        taken = len(self._input_cycles)
        if not self._offering:
            self._offering = taken < len(self._last) and self._offer[self._cycle % len(self._offer)]
        return Pins(
            valid=self._offering,
            vector=min(taken, len(self._last) - 1),
            inverted=not self._offering,
            ready=self._accept[self._cycle % len(self._accept)],
        )

    def observe(self, *, i_ready: bool, o_valid: bool, o_result: int) -> RunOutcome | None:
        """Note what the outputs show before the edge that ends the cycle.

        Args:
            i_ready: Whether an input is taken.
            o_valid: Whether a result is offered.
            o_result: The result's words as one number, the first word lowest.

        Returns:
            The outcome if the run ends here, else None.
        """
        given = len(self._results)
        if self._waiting and not o_valid:
            return RunOutcome(rule=StreamRule.VALID_HELD, held=self._held & _WORD)
        if self._waiting and o_result != self._held:
            different = o_result ^ self._held
            word = ((different & -different).bit_length() - 1) // 32 * 32
            held, seen = self._held >> word & _WORD, o_result >> word & _WORD
            return RunOutcome(rule=StreamRule.RESULT_STABLE, held=held, seen=seen)
        if o_valid and given == self._owed:
            return RunOutcome(rule=StreamRule.RESULT_OWED, seen=o_result & _WORD)
        ready = self._accept[self._cycle % len(self._accept)]
        take, give = self._offering and i_ready, o_valid and ready
        self._waiting = o_valid and not ready
        self._held = o_result
        if give:
            self._results.append(o_result)
            self._result_cycles.append(self._cycle)
        if take:
            self._owed += self._last[len(self._input_cycles)]
            self._input_cycles.append(self._cycle)
            self._offering = False
        if len(self._input_cycles) == len(self._last) and len(self._results) == self._owed:
            self._left -= 1
            if self._left < 0:
                self._cycle += 1
                return RunOutcome(rule=StreamRule.KEPT)
        elif take or give:
            self._idle = 0
        else:
            self._idle += 1
            if self._idle > self._limits.patience:
                return RunOutcome(rule=StreamRule.PROGRESS)
        self._cycle += 1
        return None

    def response(self) -> Response:
        """Return what the unit has answered so far."""
        return Response(
            results=as_words(self._results, self._words),
            result_cycles=np.array(self._result_cycles, np.int64),
            input_cycles=np.array(self._input_cycles, np.int64),
            cycles=self._cycle,
        )
