"""Units to run, some of them faulty, and one folder for everything that is compiled."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim import Response, Stimulus

# An input whose a_scale is this code asks for the fault that its b_scale names.
FAULT_SCALE = 0x7E
FAULTS = {"falls": 32, "changes": 33, "repeats": 34, "drops": 35, "sticks": 36}


class FaultyUnit(DotUnit):
    """A unit that gives wrong bits for some results, and breaks a rule of its streams when asked to."""

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = DotUnit(self.spec, stages=self.stages)
        for port in self.ports:
            if port.direction == "in" and port.name not in ("clk", "rst", "o_ready"):
                m.d.comb += getattr(inner, port.name).eq(getattr(self, port.name))
        wrong = inner.o_result[23:26] == 5
        m.d.comb += self.o_result.eq(inner.o_result ^ (wrong << 12))
        if not self.stages:
            return m
        fault = Signal(7)
        waited = Signal(2)
        again = Signal()
        asked = {name: fault == code for name, code in FAULTS.items()}
        with m.If(self.i_valid & self.i_ready & (self.i_a_scale == FAULT_SCALE)):
            m.d.sync += fault.eq(self.i_b_scale)
        with m.If(self.o_valid & self.o_ready):
            m.d.sync += [waited.eq(0), again.eq(asked["repeats"])]
        with m.Elif(self.o_valid & (waited != 3)):
            m.d.sync += waited.eq(waited + 1)
        with m.If(asked["drops"] & inner.o_valid | again & self.o_ready):
            m.d.sync += [fault.eq(0), again.eq(0)]
        m.d.comb += [
            self.i_ready.eq(inner.i_ready & ~asked["sticks"]),
            inner.i_valid.eq(self.i_valid & ~asked["sticks"]),
            self.o_valid.eq(again | inner.o_valid & ~asked["drops"] & ~(asked["falls"] & (waited == 1))),
            inner.o_ready.eq((self.o_ready | asked["drops"]) & ~again),
        ]
        with m.If(asked["changes"] & (waited == 1)):
            m.d.comb += self.o_result.eq(~inner.o_result)
        return m


class LoopingUnit(DotUnit):
    """A unit with a loop at the level of wires that is none at the level of bits."""

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = DotUnit(self.spec, stages=self.stages)
        for port in self.ports:
            if port.name in ("clk", "rst", "o_result"):
                continue
            outer, within = getattr(self, port.name), getattr(inner, port.name)
            m.d.comb += within.eq(outer) if port.direction == "in" else outer.eq(within)
        chain = Signal(3)
        m.d.comb += [
            chain.eq(Cat(inner.o_result[0], ~chain[0], ~chain[1])),
            self.o_result.eq(Cat(chain[2], inner.o_result[1:])),
        ]
        return m


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled units; pytest-xdist's workers share it, as processes may."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"


@pytest.fixture
def faulty() -> Callable[..., FaultyUnit]:
    """Make a faulty unit of two elements."""

    def make(*, stages: int = 1) -> FaultyUnit:
        return FaultyUnit(DotSpec(scale="ue4m3", block_size=2), stages=stages)

    return make


@pytest.fixture
def looping() -> LoopingUnit:
    """A unit whose logic CXXRTL cannot settle in one pass."""
    return LoopingUnit(DotSpec(scale="ue4m3", block_size=2), stages=1)


@pytest.fixture
def asking(rng: np.random.Generator) -> Callable[[str], Stimulus]:
    """Make a stimulus whose tenth vector asks a faulty unit for a fault, with results left waiting."""

    def make(fault: str) -> Stimulus:
        shape = (30, 1)
        scales = rng.integers(0, FAULT_SCALE, (2, *shape), dtype=np.uint8)
        scales[:, 10, 0] = FAULT_SCALE, FAULTS[fault]
        codes = rng.integers(0, 16, (2, *shape, 2), dtype=np.uint8)
        ones = np.ones(30, np.bool_)
        return Stimulus(
            spec=DotSpec(scale="ue4m3", block_size=2),
            a=codes[0],
            b=codes[1],
            a_scale=scales[0],
            b_scale=scales[1],
            first=ones,
            last=ones,
            accept=np.array([True, False, False, False]),
        )

    return make


@pytest.fixture
def same() -> Callable[[Response, Response], bool]:
    """Whether two responses agree in every result and in every cycle."""

    def compare(one: Response, other: Response) -> bool:
        return one.cycles == other.cycles and all(
            np.array_equal(getattr(one, name), getattr(other, name))
            for name in ("results", "result_cycles", "input_cycles")
        )

    return compare
