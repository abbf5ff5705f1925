"""The ledger holds what units cost now."""

import pytest

from studies.ledger import (
    PAGE,
    LedgerCost,
    adders,
    ledger_changes,
    ledger_page,
    measure_ledger,
    read_ledger,
    rows,
)

KEPT_ROWS = read_ledger()["rows"]


def test_every_row_is_kept_and_nothing_else():
    assert [row.name for row in rows()] == list(KEPT_ROWS)


def test_the_page_is_made_of_what_is_kept():
    kept = read_ledger()
    assert ledger_page(kept) == PAGE.read_text(encoding="utf-8")


def test_trees_take_few_more_adders_than_there_must_be():
    kept = read_ledger()
    assert adders() == kept["adders"]
    of_sixteen = next(one for one in kept["adders"] if (one["lanes"], one["optimise"]) == (16, "area"))
    # 16 products of 8 bits and a sign, and a sum of 13.
    assert of_sixteen["bound"] == 16 * 9 - 13
    assert of_sixteen["bound"] <= of_sixteen["full"] + of_sixteen["final"] <= of_sixteen["bound"] * 1.15


# A few that between them have every component in both forms; `make ledger` measures all.
@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "name",
    ["e2m1_ue5m3_n8_none_s0", "e2m1_ue4m3_n8_fp32_s1", "e2m1_ue5m3_n8_exact_s1", "e2m1_ue8m0_n8_aligned_s1"],
)
def test_no_unit_costs_more_than_is_kept(name):
    (row,) = (row for row in rows() if row.name == name)
    assert ledger_changes(KEPT_ROWS, measure_ledger([row], workers=1)) == []


def test_changes_are_told_with_their_direction():
    old = {"unit": {"area": 100.0, "delay": 50.0}}
    assert ledger_changes(old, {"unit": LedgerCost(100.0, 50.0)}) == []
    assert ledger_changes(old, {"unit": LedgerCost(101.0, 49.0), "other": LedgerCost(1.0, 2.0)}) == [
        ("unit: area was 100.0 and is 101.0 (+1.00%)", True),
        ("unit: delay was 50.0 and is 49.0 (-2.00%)", False),
        ("other: area is 1.0, and was not kept", True),
        ("other: delay is 2.0, and was not kept", True),
    ]
