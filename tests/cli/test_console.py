import io

import pytest
from blockdot.cli.console import ResultTable, console, fixed, table
from rich.console import Console


def shown(made: ResultTable, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(made)
    return out.getvalue()


@pytest.fixture
def costs() -> ResultTable:
    made = table("Cost", "unit", "area [NAND2]>", "delay [FO4]>", "what it is~", "flip-flops>")
    for k in range(3):
        made.add_row(
            f"e2m1_ue5m3_n{16 << k}_fp32_s1", f"{3000.5 + k}", f"{1.01 + k}e+30", "one of several", "16"
        )
    return made


@pytest.mark.parametrize("width", range(20, 130))
def test_no_width_loses_a_cell_or_a_line_too_long(costs, width):
    text = shown(costs, width)
    words = text.split()
    for k in range(3):
        assert f"e2m1_ue5m3_n{16 << k}_fp32_s1" in text.replace("\n", "")
        if width >= 25:
            assert f"e2m1_ue5m3_n{16 << k}_fp32_s1" in words
        assert {f"{3000.5 + k}", f"{1.01 + k}e+30", "one", "several"} <= set(words)
    assert words.count("16") >= 3
    assert max(map(len, text.splitlines())) <= width


def test_a_table_that_fits_is_one_table_and_says_nothing(costs):
    text = shown(costs, 120)
    assert text.count("┏") == 1
    assert "Shown" not in text
    assert text.startswith("Cost\n")


def test_prose_is_broken_before_columns_are_parted():
    made = table("", "port", "meaning~")
    made.add_row("i_a", "elements of a, e2m1 codes: number k at bits [4k+3:4k]")
    text = shown(made, 40)
    assert text.count("┏") == 1
    assert "Shown" not in text
    assert "│ i_a  │ elements of a, e2m1 codes:" in text


def test_columns_that_do_not_fit_follow_behind_the_keys(costs):
    text = shown(costs, 60)
    assert text.count("┏") == text.count("┃ unit") == 2
    assert text.endswith("Shown in 2 parts: it needs 85 columns, and there are 60.\n")


def test_a_row_whose_keys_leave_no_room_is_a_list():
    made = table("", "tensor", "scale", "error>", keys=2)
    for scale in ("ue4m3", "ue5m3"):
        made.add_row("encoder.layer.0.intermediate.dense.weight 1536x384", scale, "0.00905")
    assert shown(made, 60).splitlines() == [
        "encoder.layer.0.intermediate.dense.weight 1536x384 ue4m3",
        "  error  0.00905",
        "encoder.layer.0.intermediate.dense.weight 1536x384 ue5m3",
        "  error  0.00905",
        "Shown row by row: it needs 72 columns, and there are 60.",
    ]


def test_the_first_of_several_keys_is_told_once():
    made = table("", "tensor", "scale", "error>", keys=2)
    for tensor, scale in (("a", "ue4m3"), ("a", "ue5m3"), ("b", "ue4m3")):
        made.add_row(tensor, scale, "1")
    rows = [line.split("│")[1:3] for line in shown(made, 60).splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [["a", "ue4m3"], ["", "ue5m3"], ["b", "ue4m3"]]


def test_a_row_has_a_cell_for_every_column():
    made = table("", "a", "b")
    with pytest.raises(ValueError, match=r"^cells must be 2, one for each column, not 1$"):
        made.add_row("x")
    assert made.row_count == 0


def test_a_pipe_has_no_width_and_columns_gives_it_one(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = table("", "a", "b>")
    wide.add_row("x" * 500, "7")
    console().print(wide)
    assert "x" * 500 in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert console().width == 80


def test_a_number_that_rounds_to_zero_has_no_sign():
    assert [fixed(x, 2) for x in (-0.001, -0.0, 0.004, -0.006)] == ["0.00", "0.00", "0.00", "-0.01"]
