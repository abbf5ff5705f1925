"""The command that repeats a simulation gives the same unit and the same stimulus."""

import argparse
import shlex
from dataclasses import replace

import numpy as np
import pytest
from blockdot.cli.repeat_command import mismatch_text, repeat_command
from blockdot.hw import DotUnit, QuantizerConfig, UnitConfig
from blockdot.model import DotSpec, QuantizerSpec
from blockdot.sim import from_blocks, quantizer_stimulus, random, run
from blockdot.sim.stimulus import Stimulus
from blockdot.verify import compare
from blockdot.verify.coverage.directed import directed
from faulty_units import FaultyUnit


def repeated(line: str) -> tuple[DotSpec, argparse.Namespace, Stimulus]:
    """Read a command line as ``blockdot simulate`` does."""
    words = shlex.split(line)
    assert words[:2] == ["blockdot", "simulate"]
    parser = argparse.ArgumentParser()
    for name in ("element", "scale", "accumulate", "engine", "optimise"):
        parser.add_argument(f"--{name}")
    for name in (
        "block-size",
        "blocks",
        "guard",
        "fraction",
        "stages",
        "order",
        "seed",
        "vectors",
        "longest",
    ):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--no-stalls", action="store_true")
    flags = parser.parse_args(words[2:])

    def pair(text: str) -> tuple[str, str]:
        a, _, b = text.partition("x")
        return a, b or a

    spec = DotSpec(
        element=pair(flags.element),
        scale=pair(flags.scale),
        block_size=flags.block_size,
        blocks=flags.blocks,
        accumulate=flags.accumulate,
        guard=16 if flags.guard is None else flags.guard,
        fraction=35 if flags.fraction is None else flags.fraction,
    )
    longest = {} if flags.longest is None else {"longest": flags.longest}
    stimulus = random(spec, flags.vectors, seed=flags.seed, stalls=not flags.no_stalls, **longest)
    return spec, flags, stimulus


@pytest.mark.parametrize(
    ("spec", "stages", "options"),
    [
        (DotSpec(scale="ue4m3", block_size=4), 0, {}),
        (DotSpec(scale=("ue4m3", "ue5m3"), block_size=4, blocks=2, accumulate="exact", guard=9), 3, {}),
        (DotSpec(scale="ue4m3", block_size=4, blocks=2, accumulate="aligned", fraction=20), 2, {}),
        (DotSpec(scale="ue8m0", accumulate="fp32"), 2, {"longest": 7, "stalls": False}),
    ],
    ids=str,
)
def test_the_command_gives_the_same_unit_and_the_same_stimulus(spec, stages, options):
    unit = DotUnit(spec, stages=stages)
    stimulus = random(spec, 30, seed=11, **options)
    line = repeat_command(unit.config, stimulus.source, "cxxrtl")
    assert line is not None
    again, flags, other = repeated(line)
    assert again == spec
    assert (flags.stages, flags.engine, flags.optimise, flags.order) == (stages, "cxxrtl", None, None)
    for name in ("a", "b", "a_scale", "b_scale", "first", "last", "offer", "accept"):
        np.testing.assert_array_equal(getattr(other, name), getattr(stimulus, name))


def test_the_command_names_what_does_not_change_the_numbers_as_well():
    spec = DotSpec(block_size=2)
    unit = DotUnit(spec, stages=1, optimise="delay", order=3)
    assert repeat_command(unit.config, random(spec, 5, seed=0).source, "pysim") == (
        "blockdot simulate --element e2m1 --scale ue5m3 --block-size 2 --blocks 1 --accumulate none "
        "--stages 1 --optimise delay --order 3 --engine pysim --seed 0 --vectors 5"
    )
    spec = DotSpec(block_size=2, accumulate="exact")
    unit = DotUnit(spec, segment=8)
    assert repeat_command(unit.config, random(spec, 5, seed=0).source, "pysim") == (
        "blockdot simulate --element e2m1 --scale ue5m3 --block-size 2 --blocks 1 --accumulate exact "
        "--guard 16 --stages 1 --segment 8 --engine pysim --seed 0 --vectors 5"
    )


def test_the_command_names_a_tensor_scale():
    spec = DotSpec(block_size=2, tensor_scale=True)
    line = repeat_command(UnitConfig(spec), random(spec, 5, seed=0).source, "cxxrtl")
    assert str(line).endswith(
        "--accumulate none --stages 1 --tensor-scale --engine cxxrtl --seed 0 --vectors 5"
    )
    step = replace(DotSpec.preset("blackwell-mx-e4m3"), tensor_scale=True)
    assert str(repeat_command(UnitConfig(step), random(step, 5, seed=0).source, "cxxrtl")).startswith(
        "blockdot simulate --preset blackwell-mx-e4m3 --stages 1 --tensor-scale --engine cxxrtl"
    )


def test_a_tensor_core_is_repeated_by_its_name_alone():
    spec = DotSpec.preset("ampere-fp16")
    assert repeat_command(UnitConfig(spec), random(spec, 5, seed=0).source, "pysim") == (
        # The first preset of that specification.
        "blockdot simulate --preset turing-fp16 --stages 1 --engine pysim --seed 0 --vectors 5"
    )
    other = DotSpec.parse("e4m3_none_n2_aligned_f13_t1_z21_binary16")
    assert repeat_command(UnitConfig(other), random(other, 5, seed=0).source, "pysim") is None


def test_there_is_no_command_for_codes_that_came_from_nowhere():
    spec = DotSpec(block_size=2)
    codes, scales = np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1), np.uint8)
    unit = DotUnit(spec, stages=0)
    nowhere = from_blocks(spec, codes, codes, scales, scales)
    assert repeat_command(unit.config, nowhere.source, "pysim") is None
    given = from_blocks(spec, codes, codes, scales, scales, tensors=("a b.npy",))
    line = repeat_command(unit.config, given.source, "pysim")
    assert line is not None
    assert line.endswith("--engine pysim --tensor 'a b.npy' --no-stalls")
    both = from_blocks(spec, codes, codes, scales, scales, stalls=4, tensors=("a.npy", "b.npy"))
    assert str(repeat_command(unit.config, both.source, "pysim")).endswith(
        "--engine pysim --tensor a.npy --against b.npy --seed 4"
    )


def test_the_command_of_directed_inputs_names_no_number_of_them():
    spec = DotSpec(scale="ue2m0", block_size=2)
    line = repeat_command(DotUnit(spec).config, directed(spec).source, "cxxrtl")
    assert str(line).endswith("--stages 1 --engine cxxrtl --directed")


def test_a_planted_fault_is_told_and_its_command_repeats_it(seed):
    unit = FaultyUnit(DotSpec(scale="ue4m3", block_size=2), stages=0)
    stimulus = random(unit.spec, 150, seed=seed)
    comparison = compare(unit.config, stimulus, run(unit, stimulus), engine="pysim", shown=1)
    wrong = np.flatnonzero(stimulus.expected() >> 23 & 7 == 5)
    assert len(wrong) > 5
    assert comparison.differing == len(wrong)
    assert [m.result for m in comparison.mismatches] == [wrong[0]]
    _, flags, other = repeated(mismatch_text(comparison.mismatches[0]).rsplit("repeat: ", 1)[1])
    assert flags.engine == "pysim"
    again = compare(unit.config, other, run(unit, other), engine="pysim", shown=1)
    assert str(again) == str(comparison)


def test_a_quantizer_s_run_is_repeated():
    spec = QuantizerSpec(input="fp16", scale="ue5m3", block_size=4, method="prevent_zero")
    config = QuantizerConfig(spec, stages=2, optimise="delay", order=3)
    stimulus = quantizer_stimulus.random(spec, 9, seed=5)
    assert repeat_command(config, stimulus.source, "cxxrtl") == (
        "blockdot simulate --unit quantizer --input fp16 --element e2m1 --scale ue5m3 --block-size 4 "
        "--method prevent_zero --stages 2 --optimise delay --order 3 --engine cxxrtl --seed 5 --vectors 9"
    )
    assert repeat_command(config, quantizer_stimulus.directed(spec).source, "pysim") == (
        "blockdot simulate --unit quantizer --input fp16 --element e2m1 --scale ue5m3 --block-size 4 "
        "--method prevent_zero --stages 2 --optimise delay --order 3 --engine pysim --directed"
    )
    serial = QuantizerConfig(QuantizerSpec(block_size=4), serial=True)
    line = repeat_command(serial, quantizer_stimulus.directed(serial.spec).source, "pysim")
    assert str(line).endswith("--stages 1 --serial --engine pysim --directed")
    more = QuantizerConfig(QuantizerSpec(rounding="stochastic", random_bits=4, tensor_scale=True), stages=0)
    assert repeat_command(more, quantizer_stimulus.directed(more.spec).source, "cxxrtl") == (
        "blockdot simulate --unit quantizer --input bf16 --element e2m1 --scale ue4m3 --block-size 16 "
        "--method absmax --stages 0 --rounding stochastic --random-bits 4 --tensor-scale --engine cxxrtl "
        "--directed"
    )
