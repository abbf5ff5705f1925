"""The least period of each accumulation: the page of made-up figures, and the runs that it names."""

from pathlib import Path

import pytest
from blockdot.hw.config import UnitConfig
from blockdot.synth.neutral_library import neutral

from studies.least_periods import (
    BUILT_IN,
    PAGE,
    STORED,
    UNITS,
    StagedCost,
    best_of,
    draw_periods,
    longest_run,
    main,
    measure_stages,
    page_text,
)
from studies.records import read_stored

DOCS = Path(__file__).parents[2] / "docs"

COSTS = [
    StagedCost("fp32", 1, 120.0, 8000.0, 60),
    StagedCost("fp32", 2, 61.0, 9000.4, 100),
    StagedCost("fp32", 3, 60.0, 9900.0, 180),
    StagedCost("aligned", 1, 140.0, 8000.0, 66),
    StagedCost("aligned", 1, 2.5, 7000.0, 66, "asap7", "ns"),
    StagedCost("aligned", 2, 1.252, 7700.0, 90, "asap7", "ns"),
]


def test_the_least_period_is_that_of_the_fewest_registers_within_scatter() -> None:
    assert best_of(COSTS[:3]).stages == 2
    assert best_of(COSTS[:1]).stages == 1


def test_the_page_tells_what_each_costs_against_one_stage() -> None:
    text = page_text(COSTS)
    assert "| fp32 | 120.0 | 61.0 | 2 | 9000 | +13% | 100 | +40 | " in text
    assert "| aligned | 140.0 | 140.0 | 1 | 8000 | +0% | 66 | +0 | " in text
    assert "| fp32 | 3 | 60.0 | 9900 | 180 | " in text
    assert "hopper-e4m3" not in text
    other = text[text.index("## On asap7\n\nPeriods are in ns.") :]
    assert "| aligned | 2.50 | 1.25 | 2 | 7700 | +10% | 90 | +24 | " in other
    assert "| aligned | 2 | 1.25 | 7700 | 90 | " in other
    assert "fp32 |" not in other


def test_the_longest_run_is_the_loop_where_registers_cut_all_else() -> None:
    fp32 = UnitConfig(UNITS["fp32"], stages=1, optimise="delay")
    assert longest_run(fp32.with_stages(fp32.max_stages)) == ("accumulate",)
    assert longest_run(fp32)[0] == "product"


def test_a_unit_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"^unit must be one of none, fp32, .*, not 'kulisch'$"):
        measure_stages("kulisch", neutral())
    assert main(["kulisch"]) == 2
    assert capsys.readouterr().err.startswith("least_periods: unit must be one of none, ")
    assert main(["aligned", "--library", "asap8"]) == 2
    assert capsys.readouterr().err.startswith("least_periods: library must be one of neutral, ")


def test_the_page_is_that_of_what_is_kept() -> None:
    costs = [StagedCost(**record) for record in read_stored(STORED)["costs"]]
    assert {cost.name for cost in costs if cost.library == BUILT_IN} == set(UNITS)
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page_text(costs)


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        draw_periods(tmp_path / name, COSTS)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
