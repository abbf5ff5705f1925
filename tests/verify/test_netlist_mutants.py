"""Faults in a small unit: each is found, or changes nothing."""

import dataclasses
from pathlib import Path

import pytest
from blockdot.hw import DequantizerConfig, DotUnit, QuantizerConfig, UnitConfig, to_verilog
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.sim import random
from blockdot.verify import source_faults, source_mutants
from blockdot.verify.netlist_mutants import agree, examine_mutant, mutate, play, wanted_results
from blockdot.verify.proofs.gate_network import network
from blockdot.verify.source_faults.source_fault import SourceFault

from blockdot import hw

CONFIG = UnitConfig(DotSpec(scale="ue2m0", block_size=2), stages=1)
UNIT = DotUnit.of(CONFIG)
QUANTIZER = QuantizerConfig(QuantizerSpec(scale="ue2m1", block_size=2), stages=1)
DEQUANTIZER = DequantizerConfig(DequantizerSpec(scale="ue8m0", block_size=2), stages=1)


@pytest.fixture(scope="module")
def right():
    return network({"unit.v": to_verilog(UNIT).text}, UNIT.name)


def test_no_mutant_of_a_small_unit_survives(seed):
    seen: list[tuple[int, int]] = []
    done = mutate(CONFIG, 60, seed=seed, progress=lambda played, total: seen.append((played, total)))
    assert len(done.mutants) == 60
    assert done.count("survived") == 0
    assert done.count("killed") > 40
    assert {"control", "product", "scale", "tree", "term", "normalise", "round"} <= set(done.components)
    assert sum(done.count("killed", name) for name in done.components) == done.count("killed")
    assert all((one.cycle is not None) == (one.fate == "killed") for one in done.mutants)
    assert seen[-1] == (done.vectors, done.vectors)
    assert mutate(CONFIG, 60, seed=seed) == done


def test_no_mutant_is_at_a_register_s_clock_or_takes_its_name():
    # Of this seed Yosys proposes one at a clock among the first sixty.
    ports = [one.fault.split()[2] for one in mutate(CONFIG, 60, seed=11).mutants if "dff" in one.fault]
    assert set(ports) == {"D"}


def test_no_mutant_of_a_small_quantizer_survives(seed):
    done = mutate(QUANTIZER, 40, seed=seed)
    assert len(done.mutants) == 40
    assert done.count("survived") == 0
    assert done.count("killed") > 30


def test_one_mutant_alone_is_found():
    (one,) = mutate(CONFIG, 1, seed=5).mutants  # an input that is inverted
    assert (one.component, one.fate) == ("normalise", "killed")
    assert one.fault.startswith("inv ")


def test_a_right_unit_agrees_with_the_model(right, seed):
    stimulus = random(UNIT.spec, 200, seed=seed)
    shown, results = play(right, UNIT, stimulus)
    assert shown == {}
    wanted = wanted_results(stimulus)
    assert agree(results, wanted)
    assert not agree(results[:-1], wanted)
    assert not agree([results[0] ^ 1, *results[1:]], wanted)


def test_what_is_wrong_is_not_played_any_further(right, seed):
    stimulus = random(UNIT.spec, 200, seed=seed)
    _, results = play(right, UNIT, stimulus)
    wanted = wanted_results(stimulus)
    assert play(right, UNIT, stimulus, wanted=wanted)[1] == results
    other = [*wanted[:20], results[20] ^ 1, *wanted[21:]]
    assert play(right, UNIT, stimulus, wanted=other)[1] == results[:21]
    assert not agree(results[:21], other)


def test_a_unit_that_hangs_is_not_waited_for(seed):
    text = to_verilog(UNIT).text.replace("assign i_ready = ~ spare_full", "assign i_ready = 1'h0")
    stuck = network({"unit.v": text}, UNIT.name)
    stimulus = random(UNIT.spec, 20, seed=seed)
    _, results = play(stuck, UNIT, stimulus, patience=3)
    assert not agree(results, wanted_results(stimulus))


def test_what_changes_nothing_is_equivalent(right):
    assert examine_mutant(UNIT, right, right) == "equivalent"
    wrong = dataclasses.replace(right, body=[*right.body])
    name = next(iter(right.registers))
    wrong.registers = {**right.registers, name: "changed"}
    wrong.body += [f".names {right.registers[name]} changed", "0 1"]
    assert examine_mutant(UNIT, right, wrong) == "refuted"


def test_what_only_a_negative_tensor_scale_shows_is_equivalent():
    spec = QuantizerSpec(scale="ue2m0", block_size=2, tensor_scale=True)
    unit = QuantizerConfig(spec, stages=1).build()
    right = network({"unit.v": to_verilog(unit).text}, unit.name)
    name = next(iter(right.registers))
    for bit, fate in ((31, "equivalent"), (30, "refuted")):
        wrong = dataclasses.replace(
            right,
            body=[*right.body, f".names {right.registers[name]} i_g[{bit}] changed", "10 1", "01 1"],
            registers={**right.registers, name: "changed"},
        )
        assert examine_mutant(unit, right, wrong) == fate


@pytest.mark.parametrize("name", ["ties go up", "sign of a product is that of a"])
def test_faults_of_the_source(name):
    fault = next(one for one in source_faults.FAULTS if one.name == name)
    # With so few digits nothing is ever rounded, and the line is not used.
    expected = [] if fault.component == "round" else ["killed"]
    assert [one.fate for one in source_mutants.plant(CONFIG, faults=(fault,))] == expected


def test_a_fault_of_a_chain_s_source():
    fault = next(
        one for one in source_faults.FAULTS if one.name == "infinity times a scale of zero is a number"
    )
    # The scale of a may overflow here, and that of b may be zero.
    unit = UnitConfig.parse("e2m1_ue8m0xue4m3_n2_chain_s1")
    assert [one.fate for one in source_mutants.plant(unit, faults=(fault,))] == ["killed"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("fp16_none_n2_aligned_f23_t1_z20_binary16_s1", "+ 1", marks=pytest.mark.matrix),
        pytest.param("fp16_none_n2_aligned_f23_t1_z20_binary16_s1", "- 1", marks=pytest.mark.matrix),
        pytest.param("e2m1_ue8m0_n2_aligned_s1", "+ 1", marks=pytest.mark.matrix),
        ("e2m1_ue8m0_n2_aligned_s1", "- 1"),
        pytest.param("tf32_none_n2_aligned_f24_t1_z132_s2_delay", "+ 1", marks=pytest.mark.matrix),
        pytest.param("e3m2_ue8m0_n2_aligned_f25_t1_z133_s1", "- 1", marks=pytest.mark.matrix),
    ],
)
def test_a_zero_that_reads_one_exponent_off_is_found(name, more):
    right = "zero=bias + zero_exponent)"
    fault = SourceFault("scale", "zero", "leaves/scale.py", right, right.replace(")", f" {more})"))
    assert [one.fate for one in source_mutants.plant(UnitConfig.parse(name), faults=(fault,))] == ["killed"]


def test_no_mutant_of_a_small_dequantizer_survives(seed):
    done = mutate(DEQUANTIZER, 20, seed=seed)
    assert len(done.mutants) == 20
    assert done.count("survived") == 0
    assert done.count("killed") > 12


def test_a_fault_of_a_dequantizer_s_source():
    fault = next(one for one in source_faults.DEQUANTIZER_FAULTS if one.name == "a NaN has a sign")
    assert [one.fate for one in source_mutants.plant(DEQUANTIZER, faults=(fault,))] == ["killed"]


def test_a_fault_of_a_quantizer_s_source():
    fault = next(one for one in source_faults.QUANTIZER_FAULTS if one.name == "ties of elements go up")
    assert [one.fate for one in source_mutants.plant(QUANTIZER, faults=(fault,))] == ["killed"]


def test_every_fault_of_the_source_has_its_line():
    folder = Path(str(hw.__file__)).parent
    for fault in (
        *source_faults.FAULTS,
        *source_faults.TENSOR_SCALE_FAULTS,
        *source_faults.QUANTIZER_FAULTS,
        *source_faults.DEQUANTIZER_FAULTS,
    ):
        assert (folder / fault.file).read_text(encoding="utf-8").count(fault.right) == 1, fault.name
        assert fault.right != fault.wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "^count must be at least 1, not 0$"),
        ({"count": 1, "seed": -1}, "^seed must be at least 0, not -1$"),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        mutate(CONFIG, **options)


@pytest.mark.parametrize(
    "name", ["e2m1_none_n2_aligned_f1_t1_z15_binary16", "e2m1_none_n2_aligned_f1_t1_z15_e8m13"]
)
def test_a_sum_of_another_format_is_proven_about_as_well(name):
    """A fault that changes nothing counted as one that survives, as no solver could read the question."""
    unit = DotUnit(DotSpec.parse(name))
    netlist = network({"unit.v": to_verilog(unit).text}, unit.name)
    assert examine_mutant(unit, netlist, netlist) == "equivalent"
