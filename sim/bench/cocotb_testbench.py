"""A cocotb 2 test bench for units of every kind: those of blockdot, and anybody's that keep its contract.

`Testbench` joins the parts: `Source` puts vectors on the input stream, `Sink` accepts results, `Monitor`
watches both streams and holds them to their rules, and `Scoreboard` knows from the model what must come. A
test is then

    @cocotb.test(timeout_time=1, timeout_unit="ms")
    async def random_sums(dut):
        bench = Testbench(dut, DotSpec(scale="ue5m3", accumulate="fp32"))
        await bench.start()
        await bench.play(random(bench.spec, 1000, seed=1))

What is expected follows from what the ports showed, not from what was meant to be put on them. Inputs change
with the falling edge of the clock, and everything is read before the rising edge, so nothing races with it.
``docs/verification.md`` has a whole example, around ports of other names.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from ...model.specifications import Specification
from ..stream_rules import RESET_CYCLES
from ..unit_stimulus import Codes, UnitStimulus
from .scoreboard import Scoreboard, scoreboard_for

__all__ = ["PERIOD_NS", "Monitor", "Ports", "Sink", "Source", "Testbench"]

PERIOD_NS: Final = 10
"""The clock's period, where `Testbench` drives it."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a unit calls its ports.

    Attributes:
        clk: The clock.
        rst: The reset, synchronous.
        rst_active: The level at which it resets.
        i_valid: An input is offered.
        i_ready: It is taken.
        i_first: It starts a sum; where the specification accumulates.
        i_last: It asks for the sum's result; likewise.
        i_a: Elements of a, number k at bits [wk+w-1 : wk], block j above block j-1.
        i_b: Elements of b.
        i_a_scale: Block scales of a.
        i_b_scale: Block scales of b.
        i_c: What a sum starts at, where the specification takes it.
        i_x: Of a quantizer, the numbers, number k at bits [wk+w-1 : wk]; of a serial one the next number.
        i_random: Of a quantizer, the random bits of each, where it takes them.
        i_g: The tensor scale, binary32: of a quantizer, or of a dot product, where the specification has one.
        i_codes: Of a dequantizer, the elements' codes.
        i_scale: Of a dequantizer, the scale's code.
        o_valid: A result is offered.
        o_ready: It is taken.
        o_result: The result of a dot product.
        o_codes: Of a quantizer, the elements' codes.
        o_code: Of a serial quantizer, the element's code.
        o_scale: Of either, the scale's code.
        o_last: Of a serial quantizer, whether the element is its block's last.
        o_x: Of a dequantizer, the numbers.
    """

    clk: str = "clk"
    rst: str = "rst"
    rst_active: int = 1
    i_valid: str = "i_valid"
    i_ready: str = "i_ready"
    i_first: str = "i_first"
    i_last: str = "i_last"
    i_a: str = "i_a"
    i_b: str = "i_b"
    i_a_scale: str = "i_a_scale"
    i_b_scale: str = "i_b_scale"
    i_c: str = "i_c"
    i_x: str = "i_x"
    i_random: str = "i_random"
    i_g: str = "i_g"
    i_codes: str = "i_codes"
    i_scale: str = "i_scale"
    o_valid: str = "o_valid"
    o_ready: str = "o_ready"
    o_result: str = "o_result"
    o_codes: str = "o_codes"
    o_code: str = "o_code"
    o_scale: str = "o_scale"
    o_last: str = "o_last"
    o_x: str = "o_x"


_PORTS: Final = Ports()

_Spec = TypeVar("_Spec", bound=Specification)


class _Pins:
    """The ports of a design under test, by what they are for."""

    def __init__(self, dut: Any, ports: Ports) -> None:
        self._dut = dut
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dut, getattr(self._ports, name))

    def level(self, name: str) -> bool:
        """Return a one-bit port that must be 0 or 1."""
        text = str(getattr(self, name).value)
        assert text in ("0", "1"), f"{getattr(self._ports, name)} must be 0 or 1 after reset, not {text}"
        return text == "1"

    def word(self, name: str) -> int | None:
        """Return the bits of a port; None if one is neither 0 nor 1."""
        text = str(getattr(self, name).value)
        return int(text, 2) if set(text) <= {"0", "1"} else None

    @property
    def in_reset(self) -> bool:
        """Whether the unit is being reset, or was never."""
        return str(self.rst.value) != str(1 - self._ports.rst_active)


class Source:
    """Puts vectors on the input stream.

    While nothing is offered the payload shows the next vector with every bit inverted, so that a unit which
    takes it all the same is found out.

    Args:
        dut: The design under test.
        ports: Its ports.
        sums: Whether inputs say that they start a sum, and that they ask for its result.
    """

    def __init__(self, dut: Any, ports: Ports, *, sums: bool) -> None:
        self._pins = _Pins(dut, ports)
        self._sums = sums

    def _words(self, stimulus: UnitStimulus) -> dict[str, list[int]]:
        columns = {
            name: [int.from_bytes(row.tobytes(), "little") for row in words]
            for name, words in stimulus.words().items()
        }
        if self._sums:
            columns["i_first"] = stimulus.first.astype(int).tolist()
            columns["i_last"] = stimulus.last.astype(int).tolist()
        return columns

    async def send(self, stimulus: UnitStimulus) -> None:
        """Offer every vector in order, in the cycles that ``stimulus.offer`` allows, until it is taken.

        A vector that a reset comes upon is offered again after it.
        """
        pins = self._pins
        columns = [(getattr(pins, name), words) for name, words in self._words(stimulus).items()]
        offers = itertools.cycle(stimulus.offer.tolist())
        vector, offering = 0, False
        while vector < stimulus.vectors:
            await FallingEdge(pins.clk)
            offering = not pins.in_reset and (next(offers) or offering)
            pins.i_valid.value = int(offering)
            for port, words in columns:
                port.value = words[vector] ^ (0 if offering else (1 << len(port)) - 1)
            await ReadOnly()
            if offering and not pins.in_reset and pins.level("i_ready"):
                vector += 1
                offering = False
        await FallingEdge(pins.clk)
        pins.i_valid.value = 0


class Sink:
    """Accepts results.

    Args:
        dut: The design under test.
        ports: Its ports.

    Attributes:
        accepts: In which cycles a result is accepted: one of it for each cycle.
    """

    def __init__(self, dut: Any, ports: Ports) -> None:
        self._pins = _Pins(dut, ports)
        self.accepts: Iterator[bool] = itertools.repeat(True)

    def follow(self, pattern: Iterable[bool]) -> None:
        """Accept in the cycles of a pattern, over and over."""
        self.accepts = itertools.cycle(bool(one) for one in pattern)

    async def run(self) -> None:
        """Drive ``o_ready`` until the test ends."""
        while True:
            await FallingEdge(self._pins.clk)
            self._pins.o_ready.value = int(next(self.accepts))


class Monitor:
    """Watches both streams, tells a scoreboard of every transfer, and holds the unit to the stream rules.

    The rules are those of `blockdot.sim.stream_rules.StreamRule`.

    Args:
        dut: The design under test.
        ports: Its ports.
        scoreboard: What to tell of transfers.
        patience: Cycles within which something must be transferred while an input or a result waits for the
            unit. The bench, for its part, may refuse results for longer.

    Attributes:
        cycles: Cycles since the last reset.
        taken: Inputs taken in all.
        idle: Cycles since the last transfer, without those in which the bench held everything up.
    """

    def __init__(self, dut: Any, ports: Ports, scoreboard: Scoreboard, *, patience: int) -> None:
        self._pins = _Pins(dut, ports)
        self._scoreboard = scoreboard
        self._patience = patience
        self._waiting: tuple[int | None] | None = None
        self.cycles = self.taken = self.idle = 0

    def _codes(self) -> tuple[Codes, ...]:
        arrays: list[Codes] = []
        for port in self._scoreboard.inputs:
            word = self._pins.word(port.name) if port.bits else 0
            assert word is not None, f"{port.name} must be 0 or 1 when an input is offered, not undefined"
            arrays.append(port.codes(word))
        return tuple(arrays)

    def _result(self) -> int | None:
        """Return the bits of the result ports, each from a 32-bit word of its own on; None if undefined."""
        result, place = 0, 0
        for name in self._scoreboard.results:
            word = self._pins.word(name)
            if word is None:
                return None
            result |= word << place
            place += -(-len(getattr(self._pins, name)) // 32) * 32
        return result

    async def run(self) -> None:
        """Watch until the test ends.

        Raises:
            AssertionError: If the unit breaks a rule, or gives another result than the model.
        """
        while True:
            await FallingEdge(self._pins.clk)
            await ReadOnly()
            if self._pins.in_reset:
                self._scoreboard.reset()
                self._waiting = None
                self.cycles = self.idle = 0
            else:
                self._cycle()
                self.cycles += 1

    def _cycle(self) -> None:
        pins, board = self._pins, self._scoreboard
        take = pins.level("i_valid") & pins.level("i_ready")
        valid, ready = pins.level("o_valid"), pins.level("o_ready")
        # Refused by the bench, or with nothing to do.
        excused = not ready or not (pins.level("i_valid") or board.owed)
        if take:
            flags = {}
            if board.sums:
                flags = {"first": pins.level("i_first"), "last": pins.level("i_last")}
            board.take(self._codes(), **flags)
            self.taken += 1
        result = self._result() if valid else None
        if self._waiting is not None:
            assert valid, "o_valid must hold until o_ready, not fall"
            names = " and ".join(board.results)
            assert (result,) == self._waiting, f"{names} must hold until o_ready, not change"
        self._waiting = (result,) if valid and not ready else None
        if valid and ready:
            board.give(result)
        elif valid:
            assert board.owed, "o_valid must follow an input that asks for a result, not come unasked"
        if take or (valid and ready):
            self.idle = 0
        elif not excused:
            self.idle += 1
        assert self.idle <= self._patience, (
            f"unit must take an input or give a result within {self._patience} cycles, not stand still"
        )


class Testbench(Generic[_Spec]):
    """All of it around one unit.

    Args:
        dut: The design under test.
        spec: What it computes.
        ports: Its ports.
        patience: Cycles that a unit may keep an input or a result waiting without any transfer.
        clock: Whether to drive the clock; otherwise something else does.
        serial: Whether it is a quantizer that takes a number a cycle.

    Attributes:
        spec: The same.
        scoreboard: What must come.
        monitor: What watches.
        sink: What accepts.
    """

    __test__ = False  # not a test of pytest's, whatever its name

    def __init__(
        self,
        dut: Any,
        spec: _Spec,
        *,
        ports: Ports = _PORTS,
        patience: int = 1000,
        clock: bool = True,
        serial: bool = False,
    ) -> None:
        self.spec = spec
        self.scoreboard = scoreboard_for(spec, serial=serial)
        self.monitor = Monitor(dut, ports, self.scoreboard, patience=patience)
        self.sink = Sink(dut, ports)
        self._source = Source(dut, ports, sums=self.scoreboard.sums)
        self._pins = _Pins(dut, ports)
        self._ports = ports
        self._patience = patience
        self._clock = Clock(self._pins.clk, PERIOD_NS, "ns") if clock else None

    async def start(self) -> None:
        """Start the clock and everything that runs beside a test, and reset the unit."""
        self._pins.rst.value = self._ports.rst_active
        self._pins.i_valid.value = 0
        self._pins.o_ready.value = 0
        if self._clock is not None:
            self._clock.start(start_high=False)
        cocotb.start_soon(self.monitor.run())
        cocotb.start_soon(self.sink.run())
        await self.reset()

    async def reset(self, cycles: int = RESET_CYCLES) -> None:
        """Reset the unit; what it had taken is lost, and what it owed is owed no more."""
        await FallingEdge(self._pins.clk)
        self._pins.rst.value = self._ports.rst_active
        for _ in range(cycles):
            await FallingEdge(self._pins.clk)
        self._pins.rst.value = 1 - self._ports.rst_active

    async def idle(self, cycles: int) -> None:
        """Let cycles pass."""
        for _ in range(cycles):
            await FallingEdge(self._pins.clk)

    async def play(self, stimulus: UnitStimulus) -> None:
        """Send a stimulus, accept as it says, and wait for every result.

        Raises:
            AssertionError: If a result is not the model's, a rule is broken, or results stay away.
        """
        self.sink.follow(stimulus.accept.tolist())
        await self._source.send(stimulus)
        await self.drain()

    async def drain(self) -> None:
        """Wait until nothing is owed, and a little longer, in which nothing may come."""
        left = (self._patience + 1) * (self.scoreboard.owed + 2)
        while self.scoreboard.owed:
            await self.idle(1)
            left -= 1
            assert left, f"{self.scoreboard.owed} results must come, not stay away"
        await self.idle(8)
