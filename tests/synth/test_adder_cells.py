"""Adder cells of libraries, told by what they compute."""

import itertools
from pathlib import Path

import pytest
from blockdot.synth.adder_cells import LibraryAdder, adder_cells, carry_table, sum_table
from blockdot.synth.liberty import CellFunction, Library, LibrarySource
from blockdot.synth.neutral_library import liberty_text, neutral

SHARED = Path(__file__).resolve().parents[3] / "shared" / "liberty"


def with_cells(*cells: str) -> Library:
    """The built-in library with more cells."""
    text = liberty_text().rstrip().removesuffix("}")
    return Library.parse(LibrarySource("more.lib", (text + "\n".join(cells) + "\n}\n").encode()))


def cell(name: str, area: float, inputs: str, **functions: str) -> str:
    """A gate without delays, as Liberty has it."""
    pins = [f"pin ({pin}) {{ direction : input; capacitance : 1; }}" for pin in inputs.split()]
    pins += [f'pin ({pin}) {{ direction : output; function : "{text}"; }}' for pin, text in functions.items()]
    return f"cell ({name}) {{ area : {area:g}; {' '.join(pins)} }}"


def shared(*names: str) -> Library:
    paths = [SHARED / name for name in names]
    if not all(path.exists() for path in paths):
        pytest.skip("real Liberty files are no part of the project: ../shared/liberty is absent")
    return Library.read(*paths)


def adds(adder: LibraryAdder, library: Library) -> bool:
    """Whether a cell computes what is said of it, by all cases of its own functions."""
    functions = dict(library.cells[adder.name].functions)
    for bits in itertools.product((0, 1), repeat=len(adder.inputs)):
        pins = {
            pin: bit ^ invert for pin, bit, invert in zip(adder.inputs, bits, adder.inverted, strict=True)
        }
        total = CellFunction(functions[adder.sum]).evaluate(pins, 1) ^ adder.sum_inverted
        carry = CellFunction(functions[adder.carry]).evaluate(pins, 1) ^ adder.carry_inverted
        if total + 2 * carry != sum(bits):
            return False
    return True


def test_tables_are_those_of_addition():
    for inputs in (2, 3):
        for row in range(1 << inputs):
            total = (sum_table(inputs) >> row & 1) + 2 * (carry_table((False,) * inputs) >> row & 1)
            assert total == row.bit_count()


def test_the_built_in_library_has_none():
    assert adder_cells(neutral()) == []


def test_every_form_of_an_adder_is_found_by_its_functions_alone():
    made: list[str] = []
    for width, names in ((3, "ABC"), (2, "AB")):
        for number, (a, c, s) in enumerate(
            itertools.product(itertools.product(("", "!"), repeat=width), ("", "!"), ("", "!"))
        ):
            pins = [sign + pin for sign, pin in zip(a, names, strict=False)]
            carry = "+".join("*".join(pair) for pair in itertools.combinations(pins, 2))
            # What the pins and names are called must not matter.
            made.append(
                cell(
                    f"Q{width}_{number}",
                    9,
                    " ".join(names),
                    Z=f"{c}({carry})",
                    Y=s + "(" + "^".join(names) + ")",
                )
            )
    library = with_cells(*made)
    found = adder_cells(library)
    assert len(found) == len(made)
    assert all(adds(adder, library) for adder in found)
    # The majority of the complements is the complement of the majority: no form inverts more than one input.
    assert {sum(adder.inverted) for adder in found if adder.full} == {0, 1}


@pytest.mark.parametrize(
    "functions",
    [
        {"Y": "A^B^C", "Z": "A*B*C"},
        {"Y": "A^B^C", "Z": "A*B"},
        {"Y": "A^B", "Z": "A*B+A*C+B*C"},
        {"Y": "A^B^C", "Z": "!(A^B^C)"},
        {"Y": "A^B^C"},
        {"Y": "A^B^C", "Z": "A*B+A*C+B*C", "W": "!(A*B+A*C+B*C)"},
    ],
)
def test_what_only_resembles_an_adder_is_none(functions: dict[str, str]):
    assert adder_cells(with_cells(cell("ADDER", 1, "A B C", **functions))) == []


def test_a_cell_that_is_not_to_be_used_is_none_and_the_smallest_comes_first():
    adder = {"Y": "A^B^C", "Z": "A*B+A*C+B*C"}
    library = with_cells(cell("SMALL", 3, "A B C", **adder), cell("LARGE", 7, "A B C", **adder))
    assert [one.name for one in adder_cells(library)] == ["SMALL", "LARGE"]
    assert [one.name for one in adder_cells(library.without({"rule": ["SMALL"]}))] == ["LARGE"]


def test_adders_of_sky130():
    library = shared("sky130_fd_sc_hd__tt_025C_1v80.lib.gz")
    found = {adder.name.removeprefix("sky130_fd_sc_hd__"): adder for adder in adder_cells(library)}
    assert sorted(found) == [
        "fa_1", "fa_2", "fa_4", "fah_1", "fahcin_1", "fahcon_1", "ha_1", "ha_2", "ha_4",
    ]  # fmt: skip
    assert all(adds(adder, library) for adder in found.values())
    assert found["fa_1"].area == pytest.approx(20.0192)
    assert found["fa_1"].inversions == found["fah_1"].inversions == found["ha_1"].inversions == 0
    assert dict(zip(found["fahcin_1"].inputs, found["fahcin_1"].inverted, strict=True))["CIN"]
    assert (found["fahcon_1"].carry, found["fahcon_1"].carry_inverted) == ("COUT_N", True)


def test_adders_of_asap7_invert_both_outputs():
    names = [f"asap7sc7p5t_{part}_RVT_TT_nldm.lib.gz" for part in ("SIMPLE", "INVBUF")]
    library = shared(*names)
    found = {adder.name: adder for adder in adder_cells(library)}
    assert sorted(found) == ["FAx1_ASAP7_75t_R", "HAxp5_ASAP7_75t_R"]
    for adder in found.values():
        assert adds(adder, library)
        assert (adder.sum, adder.sum_inverted, adder.carry, adder.carry_inverted) == ("SN", True, "CON", True)
        assert not any(adder.inverted)
