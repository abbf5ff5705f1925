"""Adders found among gates, and put in as cells of every form."""

import itertools
import random

import pytest
from blockdot.synth.adder_cells import adder_cells, chosen_adders
from blockdot.synth.adder_netlist import AdderSites, adder_choices, with_adders
from blockdot.synth.adder_search import find_adders
from blockdot.synth.gate_netlist import GateNetlist
from blockdot.synth.liberty import Library
from gate_netlists import TOP, GateBuilder, computed, timed_cell, with_cells

MAJORITY = "(A*B+A*C+B*C)"
ODD = "(A^B^C)"
FORMS = {
    "plain": {"S": ODD, "K": MAJORITY},
    "both_inverted": {"S": f"!{ODD}", "K": f"!{MAJORITY}"},
    "carry_inverted": {"S": ODD, "K": f"!{MAJORITY}"},
    "input_inverted": {"S": "!(A^B^C)", "K": "(A*B+A*!C+B*!C)"},
}


def full_adder(form: str) -> Library:
    return with_cells(timed_cell("FULL", 5, "A B C", 20.0, **FORMS[form]))


def ripple(width: int) -> GateBuilder:
    m = GateBuilder()
    a, b, (carry,) = m.input("a", width), m.input("b", width), m.input("c", 1)
    total = []
    for x, y in zip(a, b, strict=True):
        bit, carry = m.full_adder(x, y, carry)
        total.append(bit)
    m.output("o", [*total, carry])
    return m


def sites(netlist: GateNetlist, library: Library) -> AdderSites:
    (choice,) = adder_choices(netlist, chosen_adders(library))
    return choice


def used(netlist: GateNetlist) -> GateNetlist:
    """The netlist without the gates behind which there is nothing."""
    cells = dict(netlist.module["cells"])
    while True:
        taken = {bit for port in netlist.module["ports"].values() for bit in port["bits"]} | {
            bits[0]
            for cell in cells.values()
            for pin, bits in cell["connections"].items()
            if cell["port_directions"][pin] == "input"
        }
        dead = [
            name
            for name, one in cells.items()
            if not {b[0] for p, b in one["connections"].items() if one["port_directions"][p] == "output"}
            & taken
        ]
        if not dead:
            module = {**netlist.module, "cells": cells}
            return GateNetlist({"modules": {TOP: module}}, TOP)
        for name in dead:
            del cells[name]


def kinds(netlist: GateNetlist) -> list[str]:
    return sorted(kind for kind, _ in netlist.cells.values())


@pytest.mark.parametrize("form", FORMS)
def test_a_ripple_adder_becomes_cells_and_still_adds(form: str):
    library = full_adder(form)
    netlist = ripple(3).netlist()
    made = used(GateNetlist(with_adders(sites(netlist, library)), TOP))
    assert kinds(made).count("FULL") == 3
    assert set(kinds(made)) <= {"FULL", "$_NOT_"}
    for a, b, c in itertools.product(range(8), range(8), range(2)):
        assert computed(made, {"a": a, "b": b, "c": c}, library) == {"o": a + b + c}


def test_adders_that_invert_both_outputs_take_turns_and_need_no_inverters_between():
    # Nine bits in a row: each adder takes the sum of the one before. Gates can give either polarity.
    m = GateBuilder()
    bits = [m.gate("AND", A=x, B=y) for x, y in zip(m.input("a", 9), m.input("b", 9), strict=True)]
    total = bits[0]
    carries = []
    for x, y in zip(bits[1::2], bits[2::2], strict=True):
        total, carry = m.full_adder(x, y, total)
        carries.append(carry)
    m.output("o", [total, *carries])
    library = full_adder("both_inverted")
    made = used(GateNetlist(with_adders(sites(m.netlist(), library)), TOP))
    drivers = {pins[pin] for kind, pins in made.cells.values() if kind == "FULL" for pin in "SK"}
    takers = {pins[pin] for kind, pins in made.cells.values() if kind == "FULL" for pin in "ABC"}
    # Three sums go from adder to adder as they are.
    assert len(drivers & takers) == 3
    for value in random.Random(1).sample(range(512), 64):
        ones = (value & 0b101111011).bit_count()
        out = computed(made, {"a": value, "b": 0b101111011}, library)["o"]
        assert (out & 1) + 2 * (out >> 1).bit_count() == ones


@pytest.mark.parametrize("inverted", list(itertools.product((False, True), repeat=5)))
def test_an_adder_of_any_polarity_is_found(inverted: tuple[bool, ...]):
    m = GateBuilder()
    bits = m.input("a", 3)
    signs = [m.gate("NOT", A=bit) if invert else bit for bit, invert in zip(bits, inverted, strict=False)]
    outputs = [
        m.gate("NOT", A=net) if invert else net
        for net, invert in zip(m.full_adder(*signs), inverted[3:], strict=True)
    ]
    m.output("o", outputs)
    netlist = m.netlist()
    (adder,) = find_adders(netlist, full=5)
    assert adder.full
    assert adder.leaves == tuple(bits)
    library = full_adder("plain")
    (cell,) = adder_cells(library)
    made = GateNetlist(with_adders(AdderSites(netlist, [(adder, cell)])), TOP)
    for value in range(8):
        assert computed(made, {"a": value}, library) == computed(netlist, {"a": value})


def test_an_adder_of_other_gates_is_found():
    m = GateBuilder()
    a, b, c = m.input("a", 3)
    either = m.gate("OR", A=a, B=b)
    both = m.gate("NAND", A=a, B=b)
    carry = m.gate("MUX", A=m.gate("NOT", A=both), B=either, S=c)
    total = m.gate("XNOR", A=m.gate("XOR", A=a, B=c), B=m.gate("NOT", A=b))
    m.output("o", [total, carry])
    (adder,) = find_adders(m.netlist(), full=4)
    assert (adder.sum, adder.carry) == (total, carry)
    assert not adder.sum_inverted
    assert not adder.carry_inverted


def test_what_is_used_for_something_else_saves_fewer_gates():
    m = GateBuilder()
    a, b, c = m.input("a", 3)
    total, carry = m.full_adder(a, b, c)
    m.output("o", [total, carry, m.gate("AND", A=m.gate("XOR", A=a, B=b), B=c)])
    half = next(
        net
        for net, (_, kind, pins) in m.netlist().gates.items()
        if kind == "$_XOR_" and set(pins.values()) == {a, b}
    )
    m.output("p", [half])
    netlist = m.netlist()
    assert [adder.gates for adder in find_adders(netlist, full=1)] == [4]
    assert find_adders(netlist, full=5) == []


def test_half_adders_are_put_in_where_a_cell_is_smaller_than_gates():
    m = GateBuilder()
    a, b = m.input("a", 2)
    m.output("o", [m.gate("XOR", A=a, B=b), m.gate("AND", A=a, B=b)])
    netlist = m.netlist()
    for area, count in ((3.4, 1), (3.6, 0)):
        # The built-in library's smallest exclusive or takes 2.5 and its NAND 1.
        library = with_cells(timed_cell("HALF", area, "A B", S="A^B", K="!(A*B)"))
        choices = adder_choices(netlist, chosen_adders(library))
        assert len(choices) == count
        for choice in choices:
            made = GateNetlist(with_adders(choice), TOP)
            assert [computed(made, {"a": value}, library)["o"] for value in range(4)] == [0, 1, 1, 2]


def test_a_loop_of_gates_is_refused():
    m = GateBuilder()
    (a,) = m.input("a", 1)
    net = m.gate("AND", A=a, B=a)
    m.cells[f"g{net}"]["connections"]["B"] = [net]
    m.output("o", [net])
    with pytest.raises(ValueError, match=r"^a netlist must have no loop of gates, not one in top$"):
        find_adders(m.netlist(), full=5)
