"""Whole units against the model, on the engine for volume: every scale format, accumulation and size."""

from pathlib import Path

import pytest
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim import random, run
from blockdot.verify.compare import compare

VECTORS = 10_000


def _always(scale: str, accumulate: str, block_size: int, stages: int) -> bool:
    """Whether `make test` has time for it: g++ takes seconds for a unit, and minutes for ue8m0's window."""
    if scale in ("ue4m3", "ue5m3"):
        return (accumulate, block_size, stages) in (("none", 16, 0), ("fp32", 8, 3), ("exact", 8, 3))
    return (accumulate, block_size, stages) in (("none", 8, 0), ("fp32", 8, 1))


# `make matrix` runs all of it.
MATRIX = [
    pytest.param(*unit, marks=[] if _always(*unit) else [pytest.mark.matrix])
    for unit in (
        (scale, accumulate, block_size, stages)
        for scale in ("ue4m3", "ue5m3", "ue8m0", "ue4m4")
        for accumulate in ("none", "fp32", "exact")
        for block_size in (8, 16, 32)
        for stages in ((0, 1, 3) if accumulate == "none" else (1, 3))
    )
]

# Beside the matrix: several blocks at once, operands of different formats, the fast variant, deep pipelines,
# the sums of tensor cores, and elements with NaN and infinity.
OTHERS = [
    (DotSpec(scale="ue4m3", block_size=2, blocks=2), 1, "area"),
    (DotSpec(scale="ue5m3", block_size=2, blocks=2, accumulate="fp32"), 3, "area"),
    (DotSpec(scale="ue3m2", block_size=2, blocks=4, accumulate="exact", guard=5), 4, "area"),
    (DotSpec(scale=("ue4m3", "ue8m0"), block_size=4, accumulate="fp32"), 2, "area"),
    (DotSpec(scale=("ue5m3_ieee", "ue4m3_full"), block_size=4, accumulate="exact", guard=0), 2, "area"),
    (DotSpec(scale="ue5m3", block_size=2, accumulate="fp32"), 5, "delay"),
    (DotSpec(scale="ue4m3", block_size=2, accumulate="fp32"), 1, "delay"),
    (DotSpec(scale="ue5m3", block_size=4, accumulate="exact"), 5, "delay"),
    (DotSpec(scale="ue2m0", block_size=2), 2, "delay"),
    (DotSpec(scale="ue4m3", block_size=4, blocks=2, accumulate="aligned"), 2, "area"),
    (DotSpec(scale="ue5m3", block_size=2, blocks=2, accumulate="aligned"), 5, "delay"),
    (DotSpec(scale=("ue8m0", "ue4m4"), block_size=8, accumulate="aligned", fraction=11), 3, "area"),
    (DotSpec(element="e3m2", scale="ue4m3", block_size=2, blocks=2), 1, "area"),
    (DotSpec(element="e2m3", scale="ue8m0", block_size=2, accumulate="fp32"), 2, "area"),
    (DotSpec(element=("e3m4", "int8"), scale="ue3m2", block_size=2, accumulate="exact", guard=4), 3, "area"),
    (DotSpec(element="e5m2", scale="ue8m0", block_size=2, accumulate="aligned", fraction=52), 2, "area"),
]

# The same at the size people use, and with wide elements: `make matrix`.
LARGE = [
    (DotSpec(scale="ue4m3", block_size=8, blocks=2), 1, "area"),
    (DotSpec(scale="ue5m3", block_size=4, blocks=4, accumulate="fp32"), 3, "area"),
    (DotSpec(scale="ue4m3", block_size=4, blocks=8, accumulate="exact", guard=5), 4, "area"),
    (DotSpec(scale=("ue4m3", "ue8m0"), accumulate="fp32"), 2, "area"),
    (DotSpec(scale=("ue5m3_ieee", "ue4m3_full"), accumulate="exact", guard=0), 2, "area"),
    *((DotSpec(scale="ue5m3", accumulate="fp32"), stages, "delay") for stages in range(1, 6)),
    (DotSpec(scale="ue8m0", block_size=2, accumulate="fp32"), 1, "delay"),
    (DotSpec(scale="ue8m0", accumulate="fp32"), 1, "delay"),
    (DotSpec(scale="ue5m3", accumulate="exact"), 5, "delay"),
    (DotSpec(scale="ue4m3", block_size=16, blocks=2, accumulate="aligned"), 2, "area"),
    (DotSpec(scale="ue5m3", block_size=4, blocks=4, accumulate="aligned"), 5, "delay"),
    (DotSpec(scale=("ue8m0", "ue4m4"), block_size=32, accumulate="aligned", fraction=11), 3, "area"),
    (DotSpec(element="e5m2", scale="ue4m3", block_size=2, blocks=2), 1, "area"),
    (DotSpec(element="e4m3", scale="ue8m0", block_size=2, accumulate="fp32"), 2, "delay"),
]


def agree(unit: DotUnit, seed: int, build_dir: Path) -> None:
    stimulus = random(unit.spec, VECTORS, seed=seed)
    comparison = compare(
        unit.config, stimulus, run(unit, stimulus, engine="cxxrtl", build_dir=build_dir), engine="cxxrtl"
    )
    assert comparison.equal, str(comparison)
    # A comparison of nothing would be equal too. Random sums are a handful of vectors long.
    assert comparison.compared > VECTORS // (100 if unit.spec.accumulates else 1) - 1


@pytest.mark.one_in(8)
@pytest.mark.parametrize(("scale", "accumulate", "block_size", "stages"), MATRIX)
def test_the_hardware_gives_the_bits_of_the_model(scale, accumulate, block_size, stages, seed, tmp_path):
    spec = DotSpec(scale=scale, accumulate=accumulate, block_size=block_size)
    agree(DotUnit(spec, stages=stages), seed, tmp_path)


@pytest.mark.one_in(8)
@pytest.mark.parametrize(
    ("spec", "stages", "optimise"),
    [*OTHERS, *(pytest.param(*unit, marks=pytest.mark.matrix) for unit in LARGE)],
    ids=str,
)
def test_so_do_the_others(spec, stages, optimise, seed, tmp_path):
    agree(DotUnit(spec, stages=stages, optimise=optimise), seed, tmp_path)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("scale", "blocks", "stages", "optimise", "segment"),
    [("ue3m2", 1, 1, "area", 1), ("ue4m3", 2, 3, "area", 5), ("ue3m2", 1, 9, "delay", 8)],
)
def test_so_do_those_that_keep_carries(scale, blocks, stages, optimise, segment, seed, tmp_path):
    spec = DotSpec(scale=scale, block_size=2, blocks=blocks, accumulate="exact", guard=5)
    agree(DotUnit(spec, stages=stages, optimise=optimise, segment=segment), seed, tmp_path)


def test_a_unit_that_is_never_stalled_takes_an_input_every_cycle(seed, tmp_path):
    unit = DotUnit(DotSpec(scale="ue5m3", block_size=8, accumulate="fp32"), stages=5)
    stimulus = random(unit.spec, 2_000, seed=seed, stalls=False)
    response = run(unit, stimulus, engine="cxxrtl", build_dir=tmp_path)
    assert (response.input_cycles == range(2_000)).all()
    _, ends = stimulus.sums
    assert (response.result_cycles == response.input_cycles[ends] + unit.latency).all()
