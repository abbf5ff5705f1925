"""The reusable cocotb bench: its tests on right units and on faulty ones."""

import re
from pathlib import Path

import pytest
from blockdot.hw import DotUnit
from blockdot.hw.configurations import parse_configuration
from blockdot.model import DotSpec
from blockdot.sim.engines.cocotb_engine import Design, simulate
from blockdot.sim.engines.cocotb_process import RESULTS_VARIABLE
from blockdot.sim.engines.cocotb_test_run import run_tests
from blockdot.sim.engines.run import problem

pytest.importorskip("cocotb")

SPEC = DotSpec(scale="ue4m3", block_size=2, accumulate="fp32")
SIMULATORS = [
    pytest.param(name, marks=pytest.mark.skipif(problem(name) is not None, reason=str(problem(name))))
    # Icarus builds in no time, where there is one.
    for name in (("icarus", "verilator") if problem("icarus") is None else ("verilator",))
]


# One simulator here: both play the same Verilog in test_engines, and a build by Verilator takes its time.
@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_a_right_unit_passes_every_test(simulator, build_dir, seed):
    design = Design.of(DotUnit(SPEC, stages=2))
    results = run_tests(design, SPEC, simulator=simulator, build_dir=build_dir, vectors=40, seed=seed)
    assert {result.outcome for result in results} == {"passed"}, results
    assert len(results) == 7


OTHER_KINDS = {
    "quantize_bf16_e2m1_ue2m0_n2_absmax_stochastic4_tensor_s2": ["random_with_stalls", "back_to_back"],
    "serial_quantize_bf16_e2m1_ue2m0_n2_absmax_s1": ["random_with_stalls", "reset_in_mid_stream"],
    "dequantize_e2m1_ue2m0_n2_bf16_s1": ["directed_corners", "results_held_back"],
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", OTHER_KINDS)
@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_a_right_unit_of_another_kind_passes(simulator, name, build_dir, seed):
    config = parse_configuration(name)
    results = run_tests(
        Design.of(config.build()), config.spec, serial=name.startswith("serial"), simulator=simulator,
        build_dir=build_dir, vectors=20, seed=seed, tests=OTHER_KINDS[name],
    )  # fmt: skip
    assert [result.outcome for result in results] == ["passed", "passed"], results


QUANTIZER_FAULTS = {
    "o_codes": ("quantize_bf16_e2m1_ue2m0_n2_absmax_s1", "10'h010"),
    "o_scale": ("quantize_bf16_e2m1_ue2m0_n2_absmax_s1", "10'h100"),
    "o_last": ("serial_quantize_bf16_e2m1_ue2m0_n2_absmax_s1", "7'h40"),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("port", QUANTIZER_FAULTS)
@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_a_fault_at_any_port_of_a_quantizer_is_found(simulator, port, build_dir, seed):
    name, turned = QUANTIZER_FAULTS[port]
    config = parse_configuration(name)
    right = Design.of(config.build())
    text, found = re.subn(r"(assign \{ o_[^}]*\} = )(.*);", rf"\g<1>{turned} ^ (\g<2>);", right.text)
    assert found == 1
    (failed,) = run_tests(
        Design(right.top, text, right.ports), config.spec, serial=name.startswith("serial"),
        simulator=simulator, build_dir=build_dir, vectors=20, seed=seed, tests=["random_with_stalls"],
    )  # fmt: skip
    assert (failed.outcome, "must be 0x" in failed.message) == ("failed", True)


FAULTS = {
    "a bit of the result": ("random_with_stalls", "o_result = ", "o_result = 32'h00000100 ^ "),
    "a result that nothing asked for": ("random_with_stalls", "o_valid = ", "o_valid = 1'h1 | "),
    "an input that is never taken": ("random_with_stalls", "i_ready = ", "i_ready = 1'h0 & "),
    "back-pressure that is not seen": ("results_held_back", "i_ready = ", "i_ready = 1'h1 | "),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_a_faulty_unit_fails(simulator, fault, build_dir, seed):
    right = Design.of(DotUnit(SPEC, stages=2))
    test, old, new = FAULTS[fault]
    assert right.text.count(f"assign {old}") == 1
    design = Design(right.top, right.text.replace(f"assign {old}", f"assign {new}"), right.ports)
    results = run_tests(
        design, SPEC, simulator=simulator, build_dir=build_dir, vectors=40, seed=seed,
        tests=[test],
    )  # fmt: skip
    (failed,) = [result for result in results if result.name.endswith(test)]
    assert failed.outcome == "failed"
    assert failed.message


DOCUMENT = Path(__file__).parents[3] / "docs" / "verification.md"
THEIRS = """
module theirs(input clock, input reset_n, input in_valid, output in_ready, input in_first, input in_last,
              input [63:0] in_a, input [63:0] in_b, input [7:0] in_sa, input [7:0] in_sb,
              output out_valid, input out_ready, output [31:0] out);
  {name} dot(.clk(clock), .rst(~reset_n), .i_valid(in_valid), .i_ready(in_ready), .i_first(in_first),
             .i_last(in_last), .i_a(in_a), .i_b(in_b), .i_a_scale(in_sa), .i_b_scale(in_sb),
             .o_valid(out_valid), .o_ready(out_ready), .o_result(out));
endmodule
"""


@pytest.mark.parametrize("simulator", SIMULATORS[:1])
def test_the_example_of_the_documentation(simulator, build_dir, tmp_path):
    text = DOCUMENT.read_text(encoding="utf-8")
    (tmp_path / "example.py").write_text(text.split("```python\n")[1].split("```")[0])
    unit = DotUnit(DotSpec(scale="ue5m3", accumulate="fp32"), stages=3)
    wrapper = THEIRS.format(name=unit.name)
    ports = tuple(re.findall(r"(\w+)[,)]", wrapper.split(";")[0]))
    design = Design("theirs", Design.of(unit).text + wrapper, ports)
    results = tmp_path / "results.xml"
    environment = {"PYTHONPATH": str(tmp_path), RESULTS_VARIABLE: str(results)}
    simulate(
        design, "example", environment, simulator=simulator, build_dir=build_dir, seconds=100, trace=None
    )
    told = results.read_text()
    assert "random_sums" in told
    assert "<failure" not in told
