import json

import pytest
from blockdot.sim.engines import cocotb_test_run
from blockdot.sim.engines.cocotb_test_run import TestResult


@pytest.fixture
def ended(monkeypatch):
    """Have the tests end in some way, and note what was asked for."""
    asked = []

    def end(*outcomes):
        results = [TestResult(f"test_{k}", outcome, 0.1, "") for k, outcome in enumerate(outcomes)]

        def run(_design, _spec, **options):
            asked.append(options)
            return results

        monkeypatch.setattr(cocotb_test_run, "run_tests", run)
        return asked

    return end


def test_all_passed(blockdot, ended):
    asked = ended("passed", "skipped")
    done = blockdot("bench", "e2m1_ue4m3_n2_fp32", "--engine", "icarus", "--trace", "x.fst", "--json")
    assert done.code == 0
    assert [one["outcome"] for one in json.loads(done.out)["tests"]] == ["passed", "skipped"]
    assert len(asked) == 1


def test_quantizers_too(blockdot, ended):
    asked = ended("passed")
    name = "quantize_bf16_e2m1_ue2m0_n2_absmax"
    for options, unit in (((), f"{name}_s1"), (("--serial", "--stages", 2), f"serial_{name}_s2")):
        done = blockdot("bench", name, *options, "--json")
        assert (done.code, json.loads(done.out)["unit"]) == (0, f"blockdot_{unit}")
    assert [one["serial"] for one in asked] == [False, True]


def test_a_failure_is_run_again_for_its_waveforms(blockdot, ended, tmp_path):
    asked = ended("passed", "failed")
    done = blockdot("bench", "e2m1_ue4m3_n2_fp32", "--trace", "x.fst")
    assert done.code == 1
    assert "test_1" in done.out
    assert asked[1]["tests"] == ["test_1"]
    assert asked[1]["trace"] == tmp_path / "x.fst"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stages", 0], "stages must be at least 1, as a test bench needs streams, not 0"),
        (["--trace", "x.vcd"], "trace must be a .fst file, not 'x.vcd'"),
        (["--vectors", 3], "vectors must be at least 8, not 3"),
        (["--seed", -1], "seed must be at least 0, not -1"),
        (["--serial"], "--serial must go with a quantizer, not with e2m1_ue4m3_n2_none"),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert refused("bench", "e2m1_ue4m3_n2_none", *arguments) == message
