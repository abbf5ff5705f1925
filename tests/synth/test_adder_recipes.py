"""Recipes that map adders to the library's adder cells."""

from dataclasses import replace
from pathlib import Path

import pytest
from blockdot.synth import flow
from blockdot.synth.adder_netlist import AdderSites, with_adders
from blockdot.synth.flow import synthesize
from blockdot.synth.liberty import Library
from blockdot.synth.neutral_library import neutral
from blockdot.synth.recipes import RECIPES, unvaried
from blockdot.synth.synthesis_point import SynthesisPoint
from blockdot.synth.yosys import SynthesisError
from gate_netlists import timed_cell, with_cells

# Five full adders in a row, and registers at both ends.
ADDERS = 5
DESIGN = f"""
module top(input clk, input [{2 * ADDERS}:0] a, output reg [{ADDERS}:0] o);
  reg [{2 * ADDERS}:0] r;
  wire [{ADDERS}:0] s;
  assign s[0] = r[0];
  always @(posedge clk) begin r <= a; o[0] <= s[{ADDERS}]; end
  genvar k;
  generate for (k = 0; k < {ADDERS}; k = k + 1) begin : add
    wire half = r[2 * k + 1] ^ r[2 * k + 2];
    assign s[k + 1] = half ^ s[k];
    always @(posedge clk) o[k + 1] <= (r[2 * k + 1] & r[2 * k + 2]) | (half & s[k]);
  end endgenerate
endmodule
"""


def with_full_adder(area: float, delay: float = 20.0) -> Library:
    functions = {"S": "!(A^B^C)", "K": "!(A*B+A*C+B*C)"}
    return with_cells(timed_cell("FULL", area, "A B C", delay=delay, **functions))


def made(
    library: Library, recipe: str = "a2", cache: Path | None = None
) -> tuple[SynthesisPoint, SynthesisPoint]:
    """A design by a recipe and by the same with adders."""
    plain = RECIPES[recipe]
    one, two = synthesize(
        DESIGN, "top", library, recipes=[plain, plain.with_adders()], language="verilog", cache=cache
    )
    return one, two


def test_a_recipe_with_adders_has_a_name_and_a_key_of_its_own():
    plain = RECIPES["a2"]
    recipe = plain.with_adders()
    assert (recipe.name, recipe.commands) == ("a2_adders", plain.commands)
    assert recipe.key != plain.key == plain.commands
    assert recipe.with_adders() == recipe
    assert unvaried(recipe.varied(3).name) == "a2_adders"


def test_adders_become_cells_and_are_timed_by_their_own_delays(tmp_path: Path):
    plain, point = made(with_full_adder(4.0), cache=tmp_path)
    assert dict(point.counts)["FULL"] == ADDERS
    assert "FULL" not in dict(plain.counts)
    assert point.area < plain.area
    assert point.flip_flops == plain.flip_flops
    # A path through all five of them, each 20 ps slower.
    slower = made(with_full_adder(4.0, delay=40.0))[1]
    assert slower.delay - point.delay == pytest.approx(0.1, abs=1e-6)
    assert slower.period - point.period == pytest.approx(0.1, abs=1e-6)
    assert made(with_full_adder(4.0), cache=tmp_path) == (plain, point)


def test_gates_stay_where_they_are_smaller_or_faster():
    plain, point = made(with_full_adder(30.0))
    assert replace(point, recipe="a2") == plain
    plain, point = made(with_full_adder(1.0, delay=500.0), "d0")
    assert replace(point, recipe="d0") == plain


def test_a_library_without_adders_gives_what_it_gives_without():
    plain, point = made(neutral())
    assert replace(point, recipe="a2") == plain


def test_what_computes_something_else_is_no_result(monkeypatch: pytest.MonkeyPatch):
    def wrong(sites: AdderSites) -> object:
        design = with_adders(sites)
        adder = next(one for one in design["modules"]["top"]["cells"].values() if one["type"] == "FULL")
        pins = adder["connections"]
        pins["S"], pins["K"] = pins["K"], pins["S"]
        return design

    monkeypatch.setattr(flow, "with_adders", wrong)
    with pytest.raises(SynthesisError, match=r"^top by a2_adders must compute what top does, not differ at "):
        made(with_full_adder(4.0))
