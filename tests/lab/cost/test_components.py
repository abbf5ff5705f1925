import pytest
from blockdot.hw import DotUnit, to_rtlil
from blockdot.lab.cost.components import REST, take_apart
from blockdot.model import DotSpec
from blockdot.synth.flow import Synthesizer, synthesize
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import choose
from messages import whole

INNER = """module \\inner
  wire width 2 input 1 \\a
  wire width 2 output 2 signed \\y
  cell $not $1
    parameter \\A_SIGNED 0
    parameter \\A_WIDTH 2
    parameter \\Y_WIDTH 2
    connect \\A \\a
    connect \\Y \\y
  end
end
"""
OUTER = """module \\outer
  wire width 2 input 1 \\a
  wire width 2 output 2 \\y
  wire width 2 \\t
  cell \\inner \\core_0
    connect \\a \\a
    connect \\y \\t
  end
  cell $and $2
    parameter \\A_SIGNED 0
    parameter \\B_SIGNED 0
    parameter \\A_WIDTH 2
    parameter \\B_WIDTH 2
    parameter \\Y_WIDTH 2
    connect \\A \\t
    connect \\B \\a
    connect \\Y \\y
  end
end
"""
TOP = """module \\top
  wire width 2 input 1 \\a
  wire width 2 output 2 \\y
  wire width 2 \\t
  cell \\outer \\mask_0
    connect \\a \\a
    connect \\y \\t
  end
  cell \\outer \\mask_1
    connect \\a \\t
    connect \\y \\y
  end
end
"""


def test_components_within_components_and_their_own_logic():
    parts = take_apart(INNER + OUTER + TOP, "top")
    assert [(part.role, part.count, part.ports) for part in parts] == [
        ("mask", 2, "a 2 -> y 2"),
        ("mask/core", 2, "a 2 -> y 2"),
        (REST, 1, "a 2 -> y 2"),
    ]
    with Synthesizer(neutral()) as synthesizer:
        points = [one["a2"] for one in synthesizer.run([part.netlist for part in parts], choose(["a2"]))]
    assert [dict(point.counts) for point in points] == [{"AND2_X1": 2}, {"INV_X1": 2}, {}]


def test_components_of_one_role_that_differ_are_numbered():
    other = TOP.replace("\\outer \\mask_1", "\\inner \\mask_1")
    assert [(part.role, part.count) for part in take_apart(INNER + OUTER + other, "top")] == [
        ("mask 1", 1), ("mask/core", 1), ("mask 2", 1), (REST, 1),
    ]  # fmt: skip


def test_the_top_must_be_there():
    with pytest.raises(ValueError, match=whole("top must be a module of the netlist, not 'nope'")):
        take_apart(TOP, "nope")


@pytest.mark.parametrize(("accumulate", "stages"), [("none", 0), ("fp32", 2), ("exact", 1)])
def test_every_cell_of_a_unit_is_in_one_of_its_parts(accumulate: str, stages: int):
    unit = DotUnit(DotSpec(block_size=4, accumulate=accumulate), stages=stages)  # type: ignore[arg-type]
    text = to_rtlil(unit)
    parts = {part.role: part for part in take_apart(text, unit.name)}
    assert parts["product"].count == 4
    assert f"\\{unit.name}" not in "".join(part.netlist.text for part in parts.values())
    # What Yosys makes of each alone has as many flip-flops as what it makes of the whole.
    with Synthesizer(neutral()) as synthesizer:
        made = synthesizer.run([part.netlist for part in parts.values()], choose(["a2"]))
    flip_flops = sum(
        part.count * one["a2"].flip_flops for part, one in zip(parts.values(), made, strict=True)
    )
    (flat,) = synthesize(text, unit.name, neutral(), recipes=["a2"])
    # Alone, a component cannot tell that a register of it is never read.
    assert flat.flip_flops <= flip_flops <= flat.flip_flops * 1.1


def test_equal_components_are_equal_netlists():
    narrow, wide = (
        {part.role: part.netlist for part in take_apart(to_rtlil(unit), unit.name)}
        for unit in (DotUnit(DotSpec(scale=scale, block_size=4), stages=0) for scale in ("ue4m3", "ue5m3"))
    )
    assert narrow["product"] == wide["product"]
    assert narrow["tree"] == wide["tree"]
    assert narrow["scale"] != wide["scale"]
