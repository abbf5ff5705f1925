"""The parts of a quantizer: put together again they are the quantizer, and the registers are all in one."""

import pytest
from blockdot.hw import to_rtlil
from blockdot.hw.config import Optimise
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.hw.quantizer_parts import PART_TOP, QuantizerPart, quantizer_parts
from blockdot.hw.quantizer_unit import QuantizerUnit
from blockdot.model import QuantizerSpec
from blockdot.synth.flow import Synthesizer
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose
from blockdot.verify.proofs.gate_network import Network, network
from blockdot.verify.proofs.solver import equal


def named(part: QuantizerPart, name: str) -> str:
    return part.rtlil.replace(f"\\{PART_TOP}", f"\\{name}")


def joined(parts: list[QuantizerPart]) -> str:
    """Return Verilog of the unit: its steps, each where the rest of it has ports in the step's place."""
    *steps, rest = parts
    ports = [f"input [{width - 1}:0] {name}" for name, width in rest.inputs.items()]
    ports += [f"output [{width - 1}:0] {name}" for name, width in rest.outputs.items()]
    lines = [f"module whole ({', '.join(ports)});"]
    tied = {name: name for name in (*rest.inputs, *rest.outputs)}
    for step in steps:
        wires: dict[str, str] = {}
        for widths, way in ((step.inputs, "to"), (step.outputs, "of")):
            for port, width in widths.items():
                wires[port] = f"{way}_{step.step}_{port[2:]}"
                lines.append(f"wire [{width - 1}:0] {wires[port]};")
        tied |= {wire: wire for wire in wires.values()}
        lines.append(f"step_{step.step} u_{step.step} ({connections(wires)});")
    return "\n".join([*lines, f"rest u_rest ({connections(tied)});", "endmodule\n"])


def connections(wires: dict[str, str]) -> str:
    return ", ".join(f".{port}({wire})" for port, wire in wires.items())


def put_together(parts: list[QuantizerPart]) -> Network:
    sources = {f"{part.step}.il": named(part, f"step_{part.step}") for part in parts[:-1]}
    return network(sources | {"rest.il": named(parts[-1], "rest"), "whole.v": joined(parts)}, "whole")


@pytest.mark.parametrize(
    ("name", "optimise"),
    [
        ("quantize_bf16_e2m1_ue4m3_n2_absmax", "area"),
        ("quantize_bf16_e2m1_ue4m3_n2_absmax", "delay"),
        ("quantize_bf16_e2m1_ue8m0_n2_floor", "delay"),
        ("quantize_bf16_e2m1_ue4m3_n2_four_over_six", "area"),
        ("quantize_fp16_e2m1_ue5m3_n2_absmax_stochastic8_tensor", "area"),
    ],
)
def test_the_parts_put_together_are_the_unit(name: str, optimise: Optimise):
    unit = QuantizerUnit(QuantizerSpec.parse(name), stages=0, optimise=optimise)
    parts = quantizer_parts(unit.config)
    assert [part.step for part in parts] == [*unit.steps, None]
    whole = network({"unit.il": to_rtlil(unit)}, unit.name)
    assert equal(put_together(parts), whole, {}).holds


def test_the_parts_of_another_quantizer_are_not_the_unit():
    spec = QuantizerSpec.parse("quantize_bf16_e2m1_ue4m3_n2_absmax")
    unit = QuantizerUnit(spec, stages=0)
    another = QuantizerSpec.parse(spec.name.replace("absmax", "prevent_zero"))
    parts = quantizer_parts(QuantizerConfig(another, stages=0))
    assert not equal(put_together(parts), network({"unit.il": to_rtlil(unit)}, unit.name), {}).holds


@pytest.mark.parametrize("stages", [1, 3])
def test_all_registers_are_in_the_unit_without_its_steps(stages: int):
    unit = QuantizerUnit(QuantizerSpec(block_size=2), stages=stages)
    parts = quantizer_parts(unit.config)
    netlists = [Netlist(to_rtlil(unit), unit.name), *(Netlist(part.rtlil, PART_TOP) for part in parts)]
    with Synthesizer(neutral()) as synthesizer:
        whole, *steps, rest = (one["a2"] for one in synthesizer.run(netlists, choose(["a2"])))
    assert not any(step.flip_flops for step in steps)
    # What passes through a step comes out of a port here: a register of it is kept that the unit shares.
    assert whole.flip_flops <= rest.flip_flops <= whole.flip_flops * 1.1


def test_what_two_quantizers_have_in_common_is_the_same_text():
    narrow, wide = (
        {
            part.step: part.rtlil
            for part in quantizer_parts(QuantizerConfig(QuantizerSpec(scale=scale, block_size=4), stages=1))
        }
        for scale in ("ue4m3", "ue5m3")
    )
    equal_ones = {step for step in narrow if narrow[step] == wide[step]}
    assert equal_ones == {"read", "largest_exponent", "largest_fraction"}
