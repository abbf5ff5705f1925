"""The test bench that cocotb runs inside Verilator and Icarus, on the emitted Verilog.

`blockdot.sim.engines.cocotb_engine` writes the job, starts the simulator and reads the answer; the files are
named in the environment. Inputs change with the falling edge of the clock, and everything is read at
the end of the low phase, so nothing can race with the rising edge.
"""

import os
from pathlib import Path
from typing import Any, Final

import cocotb
import numpy as np
from cocotb.triggers import Timer
from cocotb.types import LogicArray

from ..stream_rules import RESET_CYCLES, Response, RunOutcome, StreamBench, StreamRule, as_words
from .cocotb_job import ANSWER_VARIABLE, JOB_VARIABLE, PlayJob, write_answer

__all__ = ["Player"]

HALF_PERIOD_NS: Final = 5


def _bit(handle: Any) -> bool | None:
    """Return the value of a one-bit output, None if it is neither 0 nor 1."""
    text = str(handle.value)
    return text == "1" if text in ("0", "1") else None


def _word(value: LogicArray, resolve: bool) -> int | None:
    """Return the bits of an output, None if one is neither 0 nor 1; or 0 for such bits."""
    text = str(value)
    if resolve:
        text = "".join(bit if bit in "01" else "0" for bit in text)
    return int(text, 2) if set(text) <= {"0", "1"} else None


class Player:
    """Plays a job on a design under test."""

    def __init__(self, dut: Any, job: PlayJob) -> None:
        self._dut = dut
        self._job = job
        self._ports = [
            (getattr(dut, payload.port), payload.values, (1 << payload.width) - 1) for payload in job.shown
        ]
        self._half = Timer(HALF_PERIOD_NS, "ns")

    def _show(self, vector: int, inverted: bool) -> None:
        for handle, values, mask in self._ports:
            handle.value = values[vector] ^ (mask if inverted else 0)

    def _result(self, *, resolve: bool) -> int | None:
        """Return the result's words as one number; None where a bit is undefined."""
        result = place = 0
        for name, width in self._job.results.items():
            bits = _word(getattr(self._dut, name).value, resolve=resolve)
            if bits is None:
                return None
            result |= bits << place
            place += -(-width // 32) * 32
        return result

    async def combinational(self) -> tuple[RunOutcome, Response]:
        """Put one vector after another on the inputs, a cycle each."""
        results: list[int] = []
        outcome = RunOutcome(rule=StreamRule.KEPT)
        for vector in range(len(self._job.last)):
            self._show(vector, inverted=False)
            await self._half
            result = self._result(resolve=False)
            if result is None:
                outcome = RunOutcome(rule=StreamRule.DEFINED)
                break
            results.append(result)
        cycles = np.arange(len(results))
        return outcome, Response(
            results=as_words(results, self._job.result_words),
            result_cycles=cycles,
            input_cycles=cycles,
            cycles=len(results),
        )

    async def stream(self) -> tuple[RunOutcome, Response]:
        """Reset the unit and play the streams."""
        dut, job = self._dut, self._job
        play = StreamBench(
            last=job.last, offer=job.offer, accept=job.accept, limits=job.limits, words=job.result_words
        )
        dut.clk.value = 0
        dut.rst.value = 1
        dut.i_valid.value = 0
        dut.o_ready.value = 0
        shown = (0, True)
        self._show(*shown)
        outcome = None
        for cycle in range(job.most_cycles):
            if cycle == RESET_CYCLES:
                dut.rst.value = 0
            if cycle >= RESET_CYCLES:
                pins = play.drive()
                dut.i_valid.value = pins.valid
                dut.o_ready.value = pins.ready
                if shown != (pins.vector, pins.inverted):
                    shown = (pins.vector, pins.inverted)
                    self._show(*shown)
            await self._half
            if cycle >= RESET_CYCLES:
                outcome = self._observe(play)
                if outcome:
                    return outcome, play.response()
            dut.clk.value = 1
            await self._half
            dut.clk.value = 0
        raise AssertionError("run must end within the limits that the bench itself holds, not go on")

    def _observe(self, play: StreamBench) -> RunOutcome | None:
        i_ready, o_valid = _bit(self._dut.i_ready), _bit(self._dut.o_valid)
        if i_ready is None or o_valid is None:
            return RunOutcome(rule=StreamRule.DEFINED)
        o_result = 0
        if o_valid:
            result = self._result(resolve=play.given < self._job.undefined)
            if result is None:
                return RunOutcome(rule=StreamRule.DEFINED)
            o_result = result
        return play.observe(i_ready=i_ready, o_valid=o_valid, o_result=o_result)


if JOB_VARIABLE in os.environ:
    _JOB = PlayJob.read(Path(os.environ[JOB_VARIABLE]))

    @cocotb.test(timeout_time=2 * HALF_PERIOD_NS * (_JOB.most_cycles + 1), timeout_unit="ns")
    async def play_job(dut: Any) -> None:
        """Play the job and leave the answer where the engine looks for it."""
        bench = Player(dut, _JOB)
        outcome, response = await (bench.stream() if _JOB.stages else bench.combinational())
        write_answer(Path(os.environ[ANSWER_VARIABLE]), outcome, response)
