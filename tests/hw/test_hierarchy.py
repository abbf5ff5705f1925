import re
from collections.abc import Callable

import pytest
from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from blockdot.hw import DotUnit, to_verilog
from blockdot.hw.hierarchy import Emitter, add_submodule
from blockdot.model import DotSpec


class Offset(wiring.Component):
    """Adds a constant: `value` is kept, the width is known from the ports alone."""

    number: Signal
    total: Signal

    def __init__(self, *, width: int, value: int) -> None:
        self.value = value
        super().__init__({"number": In(width), "total": Out(width)})

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.d.comb += self.total.eq(self.number + self.value)
        return m


class Nothing(Offset):
    """Another class with the same parameters."""

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.d.comb += self.total.eq(self.number)
        return m


class Parent(wiring.Component):
    """Puts components in a row: each adds what it adds to the low bits of what came before."""

    out: Signal
    into: Signal

    def __init__(self, *children: tuple[str, Offset]) -> None:
        self.children = children
        super().__init__({"out": Out(8), "into": In(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.into
        for name, child in self.children:
            add_submodule(m, platform, name, child)
            m.d.comb += child.number.eq(value)
            value = child.total
        m.d.comb += self.out.eq(value)
        return m


def modules(emitter: Emitter) -> list[str]:
    return re.findall(r"^module \\(\S+)$", emitter.modules, re.MULTILINE)


def emit(*children: tuple[str, Offset]) -> tuple[Emitter, str]:
    emitter = Emitter("top")
    return emitter, emitter.convert(Parent(*children), "top", ("into", "out"))


def test_equal_components_share_one_module() -> None:
    emitter, text = emit(*((f"add_{k}", Offset(width=8, value=3)) for k in range(3)))
    assert modules(emitter) == ["top_add"]
    assert len(re.findall(r"^ +cell \\top_add \\add_[012]$", text, re.MULTILINE)) == 3


@pytest.mark.parametrize(
    "other", [Offset(width=8, value=4), Offset(width=7, value=3), Nothing(width=8, value=3)]
)
def test_a_component_that_differs_in_value_width_or_class_is_a_module_of_its_own(other: Offset) -> None:
    emitter, text = emit(
        ("add_0", Offset(width=8, value=3)), ("add_1", other), ("add_2", Offset(width=8, value=3))
    )
    assert modules(emitter) == ["top_add", "top_add_v2"]
    cells = re.findall(r"^ +cell \\(top_add\S*) \\(add_\d)$", text, re.MULTILINE)
    assert sorted(cells, key=lambda cell: cell[1]) == [
        ("top_add", "add_0"),
        ("top_add_v2", "add_1"),
        ("top_add", "add_2"),
    ]


def test_modules_are_named_after_the_top_and_the_component() -> None:
    emitter, _ = emit(("one", Offset(width=8, value=1)), ("two_12", Offset(width=8, value=1)))
    assert modules(emitter) == ["top_one", "top_two"]


def test_ports_stand_in_the_order_asked_for_and_else_in_that_of_the_signature() -> None:
    emitter, text = emit(("add", Offset(width=8, value=1)))
    ports = r"^  wire width \d+ (?:input|output) (\d+) +\\(\S+)$"
    assert sorted(re.findall(ports, text, re.MULTILINE)) == [("1", "into"), ("2", "out")]
    assert sorted(re.findall(ports, emitter.modules, re.MULTILINE)) == [("1", "number"), ("2", "total")]


class Signed(wiring.Component):
    """Has ports of every kind of shape, in another order than that of their use."""

    y: Signal
    bit: Signal
    a: Signal
    b: Signal

    def __init__(self) -> None:
        super().__init__({"y": Out(signed(5)), "bit": In(1), "a": In(signed(4)), "b": In(unsigned(4))})

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.d.comb += self.y.eq(self.a + self.b + self.bit)
        return m


def test_signed_ports_are_numbered_as_the_others_are() -> None:
    text = Emitter("top").convert(Signed(), "top", ("b", "a", "bit", "y"))
    ports = r"^  wire (?:width \d+ )?(?:input|output) (\d+) +(?:signed )?\\(\S+)$"
    assert sorted(re.findall(ports, text, re.MULTILINE)) == [("1", "b"), ("2", "a"), ("3", "bit"), ("4", "y")]


def test_nothing_tells_where_a_module_was_made() -> None:
    emitter, text = emit(("add", Offset(width=8, value=1)))
    assert "attribute" not in emitter.modules + text
    assert __file__ not in emitter.modules + text


def test_a_placed_component_does_the_same_without_an_emitter(evaluate: Callable) -> None:
    parent = Parent(
        ("add_0", Offset(width=8, value=3)),
        ("add_1", Offset(width=4, value=9)),
        ("none_0", Nothing(width=8, value=3)),
    )
    assert evaluate(parent, [(k,) for k in range(256)]) == [((k + 3 & 15) + 9 & 15,) for k in range(256)]


def test_roundings_of_unlike_width_are_modules_of_their_own() -> None:
    unit = DotUnit(DotSpec(scale="ue2m1", block_size=2, blocks=4, accumulate="fp32"))
    text = to_verilog(unit).text
    # The group's rounding has binary32's fraction, a guard and a sticky bit; that of the accumulation 4 more
    # bits than binary32, less the hidden one.
    widths = re.findall(
        r"^module \w+_round\w*\([^)]*?input  wire \[(\d+):0\] fraction\b", text, re.MULTILINE | re.DOTALL
    )
    assert sorted(widths) == ["24", "26"]
