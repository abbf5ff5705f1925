"""The tests that every unit must pass, on `testbench`: run by ``blockdot bench`` inside a simulator.

Which unit it is stands in the environment. Every test has a time limit of its own, and every random choice
comes from the seed and the test's name.
"""

import dataclasses
import json
import os
import zlib
from typing import Any, Final

import cocotb
import numpy as np

from ..model import DotSpec
from ..model.specifications import parse_specification
from ..sim.bench.cocotb_testbench import PERIOD_NS, Testbench
from ..sim.drawn_stimulus import draw
from ..sim.engines.cocotb_process import SETTINGS_VARIABLE
from ..sim.quantizer_stimulus import QuantizerStimulus
from ..sim.random_stimulus import random
from ..sim.serial_stimulus import in_series
from ..sim.stimulus import from_blocks
from ..sim.unit_stimulus import LONGEST, UnitStimulus
from .directed_stimulus import directed_stimulus

_SETTINGS: Final[dict[str, Any]] = json.loads(os.environ.get(SETTINGS_VARIABLE, "{}"))
_SPEC: Final = parse_specification(_SETTINGS.get("spec", DotSpec().name))
_SERIAL: Final = bool(_SETTINGS.get("serial", False))
_SUMS: Final = isinstance(_SPEC, DotSpec) and _SPEC.accumulates
_VECTORS: Final = int(_SETTINGS.get("vectors", 300))
_SEED: Final = int(_SETTINGS.get("seed", 0))
_PATIENCE: Final = 500
# The most blocks that go to the corners, of a dot product and of any other unit.
_CORNERS: Final = 4000 if isinstance(_SPEC, DotSpec) else 20_000
_INPUTS_A_BLOCK: Final = _SPEC.block_size if _SERIAL else 1
# Cycles for each input: far more than any pattern of ours takes.
_LIMIT_NS: Final = PERIOD_NS * (50 * _INPUTS_A_BLOCK * (_VECTORS + _CORNERS) + 20 * _PATIENCE)


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng([_SEED, zlib.crc32(name.encode())])


def _played(stimulus: UnitStimulus) -> UnitStimulus:
    """Return a stimulus as the unit takes it: one number after the other where it is serial."""
    return in_series(stimulus) if _SERIAL and isinstance(stimulus, QuantizerStimulus) else stimulus


def _drawn(vectors: int, seed: int, *, longest: int = LONGEST, stalls: bool = True) -> UnitStimulus:
    """Return random inputs, those of sums of so many groups at most."""
    if isinstance(_SPEC, DotSpec):
        return random(_SPEC, vectors, seed=seed, longest=longest, stalls=stalls)
    stimulus = _played(draw(_SPEC, vectors, seed=seed))
    if stalls:
        return stimulus
    always = np.ones(1, np.bool_)
    return dataclasses.replace(stimulus, offer=always, accept=always)


async def _started(dut: Any) -> Testbench[Any]:
    bench = Testbench(dut, _SPEC, patience=_PATIENCE, serial=_SERIAL)
    await bench.start()
    return bench


@cocotb.test(timeout_time=_LIMIT_NS, timeout_unit="ns")
async def directed_corners(dut: Any) -> None:
    """Every corner that `blockdot coverage` knows of, with gaps and back-pressure.

    A serial quantizer gets as many inputs as another gets blocks: every Nth block.
    """
    bench = await _started(dut)
    stimulus = directed_stimulus(_SPEC)
    some = slice(None, None, _INPUTS_A_BLOCK)
    stimulus = _played(stimulus.select(some, offer=stimulus.offer, accept=stimulus.accept))
    await bench.play(stimulus)
    assert bench.scoreboard.compared == stimulus.result_count


@cocotb.test(timeout_time=_LIMIT_NS, timeout_unit="ns")
async def random_with_stalls(dut: Any) -> None:
    """Random vectors, gaps and back-pressure."""
    bench = await _started(dut)
    stimulus = _drawn(_VECTORS, _SEED)
    await bench.play(stimulus)
    assert bench.scoreboard.compared == stimulus.result_count


@cocotb.test(timeout_time=_LIMIT_NS, timeout_unit="ns")
async def back_to_back(dut: Any) -> None:
    """An input in every cycle, and every result accepted at once: the unit must keep up."""
    bench = await _started(dut)
    stimulus = _drawn(_VECTORS, _SEED + 1, stalls=False)
    before = bench.monitor.cycles
    await bench.play(stimulus)
    assert bench.monitor.taken == stimulus.vectors
    spent = bench.monitor.cycles - before
    assert spent <= stimulus.vectors + _PATIENCE, f"unit must take an input a cycle, not {spent} for all"


@cocotb.test(timeout_time=_LIMIT_NS, timeout_unit="ns")
async def results_held_back(dut: Any) -> None:
    """Nothing is accepted until the unit takes no more; then all of it must come, in order."""
    bench = await _started(dut)
    stimulus = _drawn(min(_VECTORS, 200), _SEED + 2, longest=2, stalls=False)
    accept = np.zeros(90, np.bool_)
    accept[-5:] = True
    await bench.play(dataclasses.replace(stimulus, accept=accept))
    assert bench.scoreboard.compared == stimulus.result_count


@cocotb.test(timeout_time=_LIMIT_NS, timeout_unit="ns")
async def reset_in_mid_stream(dut: Any) -> None:
    """Resets at any moment: what was taken is forgotten, and nothing of it comes out afterwards."""
    bench = await _started(dut)
    rng = _rng("reset_in_mid_stream")
    for k in range(8):
        stimulus = _drawn(60, _SEED + 10 + k, longest=6)
        playing = cocotb.start_soon(bench.play(stimulus))
        await bench.idle(int(rng.integers(1, 60)))
        await bench.reset(int(rng.integers(1, 4)))
        await playing
    assert bench.scoreboard.compared > 0


@cocotb.test(timeout_time=_LIMIT_NS, timeout_unit="ns", skip=not _SUMS)
async def first_and_last(dut: Any) -> None:
    """Sums of one group, of many, asked of twice, given up, and one that nothing started after reset."""
    assert isinstance(_SPEC, DotSpec)
    bench = await _started(dut)
    whole = random(_SPEC, 90, seed=_SEED + 3, longest=1, stalls=False)
    rng = _rng("first_and_last")
    longest = _SPEC.most_groups or 90
    first = rng.random(90) < max(0.3, 1 / longest)
    # Before the first one nothing is defined, and no guard bits are counted on.
    first[:4] = False
    for start in range(4, 90, max(1, longest)):
        first[start] = True
    last = rng.random(90) < 0.4
    last[[2, 89]] = True
    stimulus = dataclasses.replace(whole, first=first, last=last)
    await bench.play(stimulus)
    assert bench.scoreboard.undefined == stimulus.undefined_count > 0
    assert bench.scoreboard.compared == stimulus.result_count - stimulus.undefined_count


@cocotb.test(
    timeout_time=_LIMIT_NS,
    timeout_unit="ns",
    skip=not isinstance(_SPEC, DotSpec)
    or not _SPEC.accumulates
    or all(fmt.nan_code is None for fmt in _SPEC.scales),
)
async def nan_sticks_until_the_next_sum(dut: Any) -> None:
    """A NaN scale at each place of a sum makes its result NaN, and that of no other sum."""
    assert isinstance(_SPEC, DotSpec)
    bench = await _started(dut)
    limit = _SPEC.most_groups or 4
    groups = max(1, min(4, limit))
    sums = 2 * groups
    shape = (sums, groups, _SPEC.blocks)
    scales = [np.full(shape, int(fmt.encode(1.0)), fmt.dtype) for fmt in _SPEC.scales]
    for operand, fmt in enumerate(_SPEC.scales):
        for k in range(groups):
            if fmt.nan_code is not None:
                scales[operand][2 * k, k, -1] = fmt.nan_code
    codes = [np.full((*shape, _SPEC.block_size), int(fmt.encode(1.0)), fmt.dtype) for fmt in _SPEC.elements]
    stimulus = from_blocks(_SPEC, codes[0], codes[1], scales[0], scales[1], stalls=_SEED)
    assert ((stimulus.expected() == 0x7FC00000) == (np.arange(sums) % 2 == 0)).all()
    await bench.play(stimulus)
    assert bench.scoreboard.compared == sums
