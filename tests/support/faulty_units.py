"""Units to run, some of them faulty, and one folder for everything that is compiled."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from blockdot.hw import DotUnit, UnitConfig
from blockdot.model import DotSpec
from blockdot.sim import Response, Stimulus, from_blocks

# An input whose a_scale is this code asks for the fault that its b_scale names.
FAULT_SCALE = 0x7E
FAULTS = {"falls": 32, "changes": 33, "repeats": 34, "drops": 35, "sticks": 36}


class WrappedUnit(DotUnit):
    """A unit with something between its datapath and its ports."""

    def elaborate(self, platform: object) -> Module:
        names = [port.name for port in self.ports if port.name not in ("clk", "rst")]
        outer = {name: getattr(self, name) for name in names}
        inner = {name: Signal(len(signal), name=f"inner_{name}") for name, signal in outer.items()}
        # The datapath is built upon other signals, which then stand between it and the ports.
        vars(self).update(inner)
        try:
            m = super().elaborate(platform)
        finally:
            vars(self).update(outer)
        drive: dict[str, Value] = {
            name: inner[name] for name in names if name.startswith("o_") and name != "o_ready"
        }
        if self.stages:
            drive["i_ready"] = inner["i_ready"]
        drive |= self.wrap(m, inner)
        for name, signal in outer.items():
            if name in drive:
                m.d.comb += signal.eq(drive[name])
            else:
                passed: Value = signal
                m.d.comb += inner[name].eq(drive.get(f"inner_{name}", passed))
        return m

    def wrap(self, m: Module, inner: dict[str, Signal]) -> dict[str, Value]:
        """Return what drives outputs, and as inner_NAME inputs of the datapath, that are not passed on."""
        raise NotImplementedError


class FaultyUnit(WrappedUnit):
    """A unit that gives wrong bits for some results, and breaks a rule of its streams when asked to."""

    def wrap(self, m: Module, inner: dict[str, Signal]) -> dict[str, Value]:
        right = inner["o_result"]
        result = right ^ ((right[23:26] == 5) << 12)
        if not self.stages:
            return {"o_result": result}
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
        # Only a result that was not offered yet can be lost without breaking another rule.
        drop = asked["drops"] & (waited == 0)
        with m.If(drop & inner["o_valid"] | again & self.o_ready):
            m.d.sync += [fault.eq(0), again.eq(0)]
        return {
            "o_result": Mux(asked["changes"] & (waited == 1), ~right, result),
            "o_valid": again | inner["o_valid"] & ~drop & ~(asked["falls"] & (waited == 1)),
            "i_ready": inner["i_ready"] & ~asked["sticks"],
            "inner_i_valid": self.i_valid & ~asked["sticks"],
            "inner_o_ready": (self.o_ready | drop) & ~again,
        }


class FaultyConfig(UnitConfig):
    """How a faulty unit is built."""

    def build(self) -> FaultyUnit:
        return FaultyUnit.of(self)


class LoopingUnit(WrappedUnit):
    """A unit with a loop at the level of wires that is none at the level of bits."""

    def wrap(self, m: Module, inner: dict[str, Signal]) -> dict[str, Value]:
        chain = Signal(32)
        m.d.comb += chain.eq(inner["o_result"] ^ Cat(0, chain[:-1]))
        return {"o_result": chain ^ Cat(0, chain[:-1])}


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled units; pytest-xdist's workers share it, as processes may."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"


_UNITS = {stages: FaultyUnit(DotSpec(scale="ue4m3", block_size=2), stages=stages) for stages in (0, 1)}


@pytest.fixture
def faulty() -> Callable[..., FaultyUnit]:
    """Return the faulty unit of two elements with so many stages."""

    def get(*, stages: int = 1) -> FaultyUnit:
        return _UNITS[stages]

    return get


@pytest.fixture
def looping() -> LoopingUnit:
    """A unit whose logic CXXRTL cannot settle in one pass."""
    return LoopingUnit(DotSpec(scale="ue4m3", block_size=2), stages=1)


@pytest.fixture
def asking(seed: int) -> Callable[[str], Stimulus]:
    """Make a stimulus whose tenth vector asks a faulty unit for a fault, with results left waiting."""

    def make(fault: str) -> Stimulus:
        rng = np.random.default_rng(seed)
        shape = (30, 1)
        scales = rng.integers(0, FAULT_SCALE, (2, *shape), dtype=np.uint8)
        scales[:, 10, 0] = FAULT_SCALE, FAULTS[fault]
        codes = rng.integers(0, 16, (2, *shape, 2), dtype=np.uint8)
        spec = DotSpec(scale="ue4m3", block_size=2)
        stimulus = from_blocks(spec, codes[0], codes[1], scales[0], scales[1])
        return dataclasses.replace(stimulus, accept=np.array([True, False, False, False]))

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
