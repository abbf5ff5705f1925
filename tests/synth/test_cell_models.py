import itertools

import pytest
from blockdot.synth.cell_models import AbcCellModels, CellModels
from blockdot.synth.cell_tables import Table
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.neutral_library import (
    CELLS,
    CLOCK_TO_OUTPUT,
    DRIVES,
    SETUP,
    TAU_PS,
    liberty_text,
    neutral,
)
from messages import whole

# Two variables in the order that the 0.18 um libraries of Oklahoma State University have: load first.
SWAPPED = """
  lu_table_template (swapped) {
    variable_1 : total_output_net_capacitance;
    variable_2 : input_net_transition;
    index_1 ("1, 2");
    index_2 ("10, 20, 30");
  }
"""
CELL = """
  cell (ODD) {
    area : 1;
    cell_leakage_power : 0.25;
    pin (A) { direction : input; capacitance : 3; fall_capacitance : 4; }
    pin (B) { direction : input; capacitance : 5; rise_capacitance : 0; }
    pin (Y) {
      direction : output;
      function : "A' + B ^ A";
      timing () {
        related_pin : "A"; timing_sense : positive_unate; when : "B";
        cell_rise (swapped) { values ("1, 2, 3", "4, 5, 6"); }
        cell_fall (swapped) { values ("1, 2, 3", "4, 5, 6"); }
        rise_transition (scalar) { values ("7"); }
        fall_transition (scalar) { values ("7"); }
      }
      timing () {
        related_pin : "A"; timing_sense : positive_unate; when : "!B";
        cell_rise (swapped) { values ("0, 9, 0", "0, 0, 0"); }
        cell_fall (swapped) { values ("0, 0, 0", "0, 0, 9"); }
        rise_transition (scalar) { values ("8"); }
        fall_transition (scalar) { values ("6"); }
      }
      internal_power () { related_pin : "A"; power (scalar) { values ("2"); } }
      internal_power () {
        related_pin : "B"; related_pg_pin : VDD;
        rise_power (scalar) { values ("4"); } fall_power (scalar) { values ("6"); }
      }
      internal_power () {
        related_pin : "B"; related_pg_pin : VSS;
        rise_power (scalar) { values ("1"); } fall_power (scalar) { values ("-1"); }
      }
    }
  }
"""


def odd_library(*changes: tuple[str, str]) -> Library:
    text = liberty_text().rstrip().removesuffix("}")
    head, separator, cells = text.partition("  cell (")
    cell = CELL
    for old, new in changes:
        assert old in cell
        cell = cell.replace(old, new)
    return Library.parse(LibrarySource("odd.lib", f"{head}{SWAPPED}{separator}{cells}{cell}}}\n".encode()))


@pytest.fixture(scope="module")
def odd():
    return CellModels(odd_library())["ODD"]


def test_pins(odd):
    assert odd.inputs == ("A", "B")
    # A capacitance of zero is none.
    assert odd.capacitance == {"A": (3.0, 4.0), "B": (5.0, 5.0)}
    assert (odd.clock, odd.next_state, odd.leakage) == (None, None, 0.25)


def test_every_condition_counts_and_tables_are_turned_to_slope_by_load(odd):
    arcs = odd.arcs_to("Y")
    assert [(arc.source, arc.sense, arc.clock_edge, arc.pairs) for arc in arcs] == [
        ("A", "positive", None, ((0, 0), (1, 1)))
    ] * 2
    slopes, loads = (10.0, 20.0, 30.0), (1.0, 2.0)
    assert arcs[0].delay[0] == Table(slopes, loads, ((1.0, 4.0), (2.0, 5.0), (3.0, 6.0)))
    # The worst of each entry.
    worst = [[max(arc.look_up(0, slope, load)[0] for arc in arcs) for load in loads] for slope in slopes]
    assert worst == [[1.0, 4.0], [9.0, 5.0], [3.0, 6.0]]
    assert max(arc.look_up(0, 20.0, 1.0) for arc in arcs) == (9.0, 8.0)
    assert max(arc.look_up(1, 30.0, 2.0) for arc in arcs) == (9.0, 6.0)
    # Between entries it is one of the two, and not a line through the worst of both.
    assert max(arc.look_up(0, 15.0, 1.0)[0] for arc in arcs) == pytest.approx(4.5)
    # abc takes one arc, of the worst entries.
    (one,) = AbcCellModels(odd_library())["ODD"].arcs
    assert one.delay[0] == Table(slopes, loads, ((1.0, 4.0), (9.0, 5.0), (3.0, 6.0)))
    assert one.look_up(0, 20.0, 1.0) == (9.0, 8.0)
    assert one.look_up(1, 30.0, 2.0) == (9.0, 7.0)


def test_a_latch_is_not_timed():
    latch = """cell (LATCH) {
      area : 1;
      latch (IQ, IQN) { enable : "A"; data_in : "B"; }
    """
    models = CellModels(odd_library(("cell (ODD) {\n    area : 1;", latch), ("A' + B ^ A", "IQ")))
    message = "cell LATCH must be a gate or a flip-flop to be timed, not a latch"
    with pytest.raises(ValueError, match=whole(message)):
        models["LATCH"]


def test_a_condition_that_is_never_the_slowest_is_left_out():
    models = CellModels(odd_library(("0, 9, 0", "0, 0, 0"), ("0, 0, 9", "0, 0, 0"), ('"8"', '"7"')))
    (arc,) = models["ODD"].arcs
    assert arc.delay[0] == Table((10.0, 20.0, 30.0), (1.0, 2.0), ((1.0, 4.0), (2.0, 5.0), (3.0, 6.0)))


def test_functions_of_many_cases_at_once(odd):
    every, a, b = 0b1111, 0b1010, 0b1100
    # XOR binds tighter than OR.
    assert odd.functions["Y"](every, a, b) & every == (~a | (b ^ a)) & every


def test_energy_is_the_mean_over_inputs_with_the_rails_added(odd):
    energy = odd.energy["Y"]
    assert energy(0, 1.0, 1.0) == (2 + 4 + 1) / 2
    assert energy(1, 1.0, 1.0) == (2 + 6 - 1) / 2
    assert "A" not in odd.energy


def test_a_cell_that_is_not_there():
    with pytest.raises(ValueError, match=whole("cell must be one of library neutral, not NONE")):
        CellModels(neutral())["NONE"]


@pytest.mark.parametrize("name", CELLS)
def test_the_neutral_library_as_its_designs_have_it(name: str):
    models = CellModels(neutral())
    design = CELLS[name]
    for drive in DRIVES:
        model = models[f"{name}_X{drive}"]
        for pin in design.inputs:
            load = design.load(pin, drive)
            assert model.capacitance[pin] == pytest.approx((load, load))
        for arc in model.arcs_to("Y"):
            for edge, load in itertools.product((0, 1), (0.0, 3.0, 200.0)):
                delay, _ = arc.look_up(edge, 17.0, load)
                assert delay == pytest.approx(TAU_PS * (design.delay(arc.source, drive) + load / drive))
        assert model.energy["Y"](0, 1.0, 1.0) == pytest.approx(design.capacitance(drive) / 2)
    table = neutral().cells[f"{name}_X1"].truth_table
    columns = [
        sum(1 << row for row in range(1 << len(design.inputs)) if row >> k & 1)
        for k in range(len(design.inputs))
    ]
    every = (1 << (1 << len(design.inputs))) - 1
    assert models[f"{name}_X1"].functions["Y"](every, *columns) & every == table


def test_the_neutral_flip_flop():
    flip_flop = CellModels(neutral())["DFF_X1"]
    assert flip_flop.clock == "CK"
    assert flip_flop.next_state is not None
    assert flip_flop.next_state(3, 1, 2, 0, 0) == 2  # every, CK, D, IQ, IQN
    assert flip_flop.functions["Q"](3, 0, 0, 1, 2) == 1
    (arc,) = flip_flop.arcs_to("Q")
    assert (arc.clock_edge, arc.pairs) == (0, ((0, 0), (0, 1)))
    assert flip_flop.clock_edge == 0
    assert arc.look_up(0, 5.0, 4.0)[0] == pytest.approx(TAU_PS * (CLOCK_TO_OUTPUT + 4))
    assert [[table(1.0, 1.0) for table in edge] for edge in flip_flop.setup["D"]] == [[TAU_PS * SETUP]] * 2
    # Sequencing overhead is 3 to 5 FO4 by every textbook's account.
    assert 3 < (CLOCK_TO_OUTPUT + 4 + SETUP) / 5 < 6


@pytest.mark.parametrize("line", ["", 'clocked_on : "CK * D";'])
def test_a_flip_flop_without_one_clock_pin_is_named(line):
    text = liberty_text().replace('clocked_on : "CK";', line)
    models = CellModels(Library.parse(LibrarySource("cells.lib", text.encode())))
    seen = "CK * D" if line else ""
    with pytest.raises(ValueError, match=whole(f"flip-flop DFF_X1 must have one clock pin, not {seen!r}")):
        assert models["DFF_X1"]


def test_energies_need_volts():
    text = liberty_text()
    for unit, voltage in (('"1V"', 1.0), ("1 v", 1.0)):
        changed = text.replace('voltage_unit : "1V"', f"voltage_unit : {unit}")
        assert CellModels(Library.parse(LibrarySource("x.lib", changed.encode()))).voltage == voltage
    changed = text.replace('voltage_unit : "1V"', 'voltage_unit : "1mV"')
    models = CellModels(Library.parse(LibrarySource("x.lib", changed.encode())))
    with pytest.raises(ValueError, match=whole("library neutral must have the voltage_unit '1V', not '1mV'")):
        _ = models.voltage
