"""Which component each mapped cell came from."""

import pytest
from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.cell_components import cell_components
from blockdot.lab.cost.components import REST, module_roles, take_apart
from blockdot.lab.cost.measurement_job import emit
from blockdot.model import DotSpec
from blockdot.synth.flow import Synthesizer
from blockdot.synth.netlist import Netlist
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose


def module(name: str, ports: str, body: str) -> str:
    return f"module \\{name}\n{ports}{body}end\n"


def gate(kind: str, name: str, a: str, b: str, y: str) -> str:
    widths = "".join(f"    parameter \\{pin}_SIGNED 0\n    parameter \\{pin}_WIDTH 1\n" for pin in "AB")
    connected = "".join(f"    connect \\{pin} {net}\n" for pin, net in zip("ABY", (a, b, y), strict=True))
    return f"  cell ${kind} {name}\n{widths}    parameter \\Y_WIDTH 1\n{connected}  end\n"


def instance(kind: str, name: str, **pins: str) -> str:
    connected = "".join(f"    connect \\{pin} {net}\n" for pin, net in pins.items())
    return f"  cell \\{kind} \\{name}\n{connected}  end\n"


PAIR = "  wire input 1 \\a\n  wire input 2 \\b\n  wire output 3 \\y\n"
# An AND within one component, an XOR of two in another, an OR of its own.
TEXT = (
    module("both", PAIR, gate("and", "$1", "\\a", "\\b", "\\y"))
    + module("differ", PAIR, gate("xor", "$1", "\\a", "\\b", "\\y"))
    + module(
        "unit",
        "  wire input 1 \\a\n  wire input 2 \\b\n  wire input 3 \\c\n"
        "  wire output 4 \\o\n  wire output 5 \\p\n  wire \\x\n  wire \\y\n",
        instance("both", "meet_0", a="\\a", b="\\b", y="\\x")
        + instance("differ", "odd", a="\\x", b="\\c", y="\\y")
        + gate("or", "$2", "\\a", "\\c", "\\p")
        + "  connect \\o \\y\n",
    )
)


def test_roles_are_those_of_the_parts():
    assert module_roles(TEXT, "unit") == {"unit": REST, "both": "meet", "differ": "odd"}
    assert [part.role for part in take_apart(TEXT, "unit")] == ["meet", "odd", REST]


@pytest.mark.parametrize("recipe", ["a2", "s1"])
def test_cells_are_of_the_component_whose_function_they_show(recipe: str):
    source = Netlist(TEXT, "unit")
    (chosen,) = choose([recipe])
    with Synthesizer(neutral()) as synthesizer:
        mapped = synthesizer.map(source, [chosen])[recipe]
        found = cell_components(source, mapped, synthesizer.models, 0)
    assert set(found) == {"meet", "odd", REST}
    drivers = {one.pins["Y"]: role for one, role in zip(mapped.instances, found, strict=True)}
    assert drivers[mapped.outputs["o"][0]] == "odd"
    assert drivers[mapped.outputs["p"][0]] == REST


def test_registers_and_what_is_before_and_behind_them_are_told_apart():
    unit = UnitConfig(DotSpec(block_size=2, scale="ue2m0", accumulate="fp32"), stages=1)
    source = Netlist(*emit(unit, 0))
    (recipe,) = choose(["a2"])
    with Synthesizer(neutral()) as synthesizer:
        mapped = synthesizer.map(source, [recipe])["a2"]
        found = cell_components(source, mapped, synthesizer.models, unit.stages)
        again = cell_components(source, mapped, synthesizer.models, unit.stages)
    assert found == again
    roles = {part.role.partition("/")[0] for part in take_apart(source.text, source.top)}
    assert set(found) <= roles
    assert {"product", "accumulate", "normalise"} <= set(found)
    # Accumulators of this kind are most of so small a unit.
    assert found.count("accumulate") > 0.3 * len(found)
    flip_flops = {role for one, role in zip(mapped.instances, found, strict=True) if "DFF" in one.cell}
    assert REST in flip_flops
