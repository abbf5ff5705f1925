"""A cocotb 2 test bench for dot-product units: those of blockdot, and anybody's that keep its contract.

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
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from ...model import DotSpec
from ..stimulus import Stimulus
from ..stream_rules import RESET_CYCLES

__all__ = ["PERIOD_NS", "Monitor", "Ports", "Scoreboard", "Sink", "Source", "Testbench"]

PERIOD_NS: Final = 10
"""The clock's period, where `Testbench` drives it."""

Codes = npt.NDArray[np.unsignedinteger]


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
        o_valid: A result is offered.
        o_ready: It is taken.
        o_result: The result, binary32.
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
    o_valid: str = "o_valid"
    o_ready: str = "o_ready"
    o_result: str = "o_result"


_PORTS: Final = Ports()


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


class Scoreboard:
    """What must come, as the model computes it from what was taken.

    Args:
        spec: What the unit computes.

    Attributes:
        compared: Results that were compared.
        undefined: Results of sums that nothing had started since reset, of which any bits will do.
    """

    def __init__(self, spec: DotSpec) -> None:
        self._spec = spec
        self._sum: list[tuple[Codes, ...]] | None = None
        self._expected: deque[int | None] = deque()
        self.compared = 0
        self.undefined = 0

    @property
    def owed(self) -> int:
        """Results that the unit has still to give."""
        return len(self._expected)

    def reset(self) -> None:
        """Forget what was taken."""
        self._sum = None
        self._expected.clear()

    def take(self, codes: tuple[Codes, ...], *, first: bool = True, last: bool = True) -> None:
        """Note an input that was taken.

        Args:
            codes: Codes of a and b, shape (blocks, N), and of their scales, shape (blocks,); and the bits of
                C, shape (), where the specification takes it.
            first: Whether it starts a sum.
            last: Whether it asks for a result.
        """
        if first:
            self._sum = []
        if self._sum is not None:
            self._sum.append(codes)
        if last:
            self._expected.append(None if self._sum is None else self._bits(self._sum))

    def _bits(self, groups: list[tuple[Codes, ...]]) -> int:
        codes = [np.stack(part) for part in zip(*groups, strict=True)]
        # Of what sums start at, only that of their first input counts.
        result = self._spec.result_bits(*codes[:4], *(part[0] for part in codes[4:]))
        return int(result.reshape(-1)[-1])

    def give(self, bits: int | None) -> None:
        """Compare a result.

        Args:
            bits: Its bits; None where one was neither 0 nor 1.

        Raises:
            AssertionError: If none is owed, or the model computes another.
        """
        assert self._expected, f"result must follow an input that asks for it, not come unasked with {bits}"
        expected = self._expected.popleft()
        if expected is None:
            self.undefined += 1
            return
        number = self.compared
        assert bits is not None, f"result {number} must be {expected:#010x}, not undefined"
        assert bits == expected, f"result {number} must be {expected:#010x}, not {bits:#010x}"
        self.compared += 1


class Source:
    """Puts vectors on the input stream.

    While nothing is offered the payload shows the next vector with every bit inverted, so that a unit which
    takes it all the same is found out.

    Args:
        dut: The design under test.
        spec: What it computes.
        ports: Its ports.
    """

    def __init__(self, dut: Any, spec: DotSpec, ports: Ports) -> None:
        self._pins = _Pins(dut, ports)
        self._spec = spec

    def _words(self, stimulus: Stimulus) -> dict[str, list[int]]:
        columns = {
            name: [int.from_bytes(row.tobytes(), "little") for row in words]
            for name, words in stimulus.words().items()
        }
        if self._spec.accumulates:
            columns["i_first"] = stimulus.first.astype(int).tolist()
            columns["i_last"] = stimulus.last.astype(int).tolist()
        return columns

    async def send(self, stimulus: Stimulus) -> None:
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
        spec: What it computes.
        ports: Its ports.
        scoreboard: What to tell of transfers.
        patience: Cycles within which something must be transferred while an input or a result waits for the
            unit. The bench, for its part, may refuse results for longer.

    Attributes:
        cycles: Cycles since the last reset.
        taken: Inputs taken in all.
        idle: Cycles since the last transfer, without those in which the bench held everything up.
    """

    def __init__(
        self, dut: Any, spec: DotSpec, ports: Ports, scoreboard: Scoreboard, *, patience: int
    ) -> None:
        self._pins = _Pins(dut, ports)
        self._spec = spec
        self._scoreboard = scoreboard
        self._patience = patience
        self._waiting: tuple[int | None] | None = None
        self.cycles = self.taken = self.idle = 0

    def _codes(self) -> tuple[Codes, ...]:
        spec = self._spec
        shapes = [(spec.blocks, spec.block_size)] * 2 + [(spec.blocks,)] * 2
        names = ("i_a", "i_b", "i_a_scale", "i_b_scale")
        arrays: list[Codes] = []
        for name, fmt, shape in zip(names, spec.elements + spec.scales, shapes, strict=True):
            # Where there are no scales, there is no such port.
            word = self._pins.word(name) if fmt.bits else 0
            assert word is not None, f"{name} must be 0 or 1 when an input is offered, not undefined"
            count = int(np.prod(shape))
            codes = [word >> fmt.bits * k & ((1 << fmt.bits) - 1) for k in range(count)]
            arrays.append(np.array(codes, fmt.dtype).reshape(shape))
        if spec.takes_c:
            start = self._pins.word("i_c")
            assert start is not None, "i_c must be 0 or 1 when an input is offered, not undefined"
            arrays.append(np.array(start, np.uint32))
        return tuple(arrays)

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
            if self._spec.accumulates:
                flags = {"first": pins.level("i_first"), "last": pins.level("i_last")}
            board.take(self._codes(), **flags)
            self.taken += 1
        result = pins.word("o_result") if valid else None
        if self._waiting is not None:
            assert valid, "o_valid must hold until o_ready, not fall"
            assert (result,) == self._waiting, "o_result must hold until o_ready, not change"
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


class Testbench:
    """All of it around one unit.

    Args:
        dut: The design under test.
        spec: What it computes.
        ports: Its ports.
        patience: Cycles that a unit may keep an input or a result waiting without any transfer.
        clock: Whether to drive the clock; otherwise something else does.

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
        spec: DotSpec,
        *,
        ports: Ports = _PORTS,
        patience: int = 1000,
        clock: bool = True,
    ) -> None:
        self.spec = spec
        self.scoreboard = Scoreboard(spec)
        self.monitor = Monitor(dut, spec, ports, self.scoreboard, patience=patience)
        self.sink = Sink(dut, ports)
        self._source = Source(dut, spec, ports)
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

    async def play(self, stimulus: Stimulus) -> None:
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
