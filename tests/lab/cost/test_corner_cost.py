"""Netlists timed at other corners: where the unit of time is ten times longer they are ten times slower."""

from pathlib import Path

import pytest
from blockdot.hw import UnitConfig
from blockdot.lab.cost.comparison import compare_costs
from blockdot.lab.cost.corner_cost import corner_costs
from blockdot.model import DotSpec
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.neutral_library import liberty_text, neutral
from messages import check_messages

UNITS = [UnitConfig(DotSpec(scale=scale, block_size=2), stages=0) for scale in ("ue4m3", "ue5m3")]


def corner(name: str, *changes: tuple[str, str]) -> Library:
    text = liberty_text().replace("library (neutral)", f"library ({name})")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return Library.parse(LibrarySource(f"{name}.lib", text.encode()))


SLOW = corner("slow", ('time_unit : "1ps"', 'time_unit : "10ps"'))
SLOWER = corner("slower", ('time_unit : "1ps"', 'time_unit : "100ps"'))


def test_a_corner_s_times_are_those_of_its_library(synthesis_cache: Path):
    library = neutral().with_corners([SLOW, SLOWER])
    costs = corner_costs(UNITS, library, orders=2, cache=synthesis_cache)
    assert [(cost.unit, cost.corner) for cost in costs] == [
        (unit, name) for unit in UNITS for name in ("neutral", "slow", "slower")
    ]
    assert [cost.slowest for cost in costs] == [False, False, True] * 2
    compared = compare_costs(UNITS, neutral(), orders=2, recipes=["d0"], parts=False, cache=synthesis_cache)
    for own, slow, slower in (costs[:3], costs[3:]):
        whole = next(cost for cost in compared.costs if cost.unit == own.unit)
        for name, told in (("delay", whole.delay), ("period", whole.period)):
            assert own.figures[name].values == told.values
            assert slow.figures[name].values == pytest.approx([10 * one for one in told.values], abs=2e-5)
            assert slower.figures[name].values == pytest.approx([100 * one for one in told.values], abs=2e-4)
        # The built-in library states no leakage.
        assert "leakage" not in own.figures
    assert costs[0].deltas is None
    delta = compared.delta(UNITS[1], "delay")
    assert delta is not None
    assert costs[4].deltas is not None
    assert costs[4].deltas["delay"].values == pytest.approx(delta.relative.values, abs=1e-4)


def test_corners_that_do_not_go_with_a_library():
    larger = corner("larger", ("    area : 1;\n", "    area : 2;\n"))
    text = liberty_text().partition("  cell (DFF_X1)")[0] + "}\n"
    lacking = Library.parse(LibrarySource("lacking.lib", text.replace("(neutral)", "(lacking)").encode()))
    check_messages(
        [
            (
                ValueError,
                "corners must differ in name, not be neutral twice",
                lambda: neutral().with_corners([neutral()]),
            ),
            (
                ValueError,
                "corner larger must have cell BUF_X1 of neutral, not have another",
                lambda: neutral().with_corners([SLOW, larger]),
            ),
            (
                ValueError,
                "corner lacking must have cell DFF_X1 of neutral, not lack it",
                lambda: neutral().with_corners([lacking]),
            ),
        ]
    )
