import csv
import json

import pytest
from blockdot.model.theory import crossover, expected_error, plateau, sampled_error


def test_prints_the_table_of_the_contract(blockdot):
    done = blockdot("theory")
    assert done.code == 0
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:-1] for line in done.out.splitlines() if "│" in line
    }
    assert [cell.strip() for cell in rows["0.005"]] == [
        "0.05497", "0.01839", "0.01395", "0.00730", "0.00905", "0.01034",
    ]  # fmt: skip
    assert [cell.strip() for cell in rows["scales not rounded"]] == ["0.00701", "0.00886", "0.01022"] * 2
    assert "8 against 16  │   0.01939" in done.out
    assert "integrals are exact to" in done.out


def test_json_holds_what_theory_says(blockdot):
    done = blockdot(
        "theory", "--scale", "ue4m3", "--block-size", 8, "--block-size", 4, "--sigma", 0.01,
        "--distribution", "laplace", "--json",
    )  # fmt: skip
    document = json.loads(done.out)
    point = document["points"][1]
    error = expected_error(0.01, scale="ue4m3", block_size=4, distribution="laplace")
    assert (point["block_size"], point["mse"], point["others"]) == (4, error.mse, error.others)
    assert (point["largest"], point["zero_scale"]) == (error.largest, error.zero_scale)
    assert (point["uncertainty"], point["sampled"]) == (error.uncertainty, False)
    assert document["plateaus"][0] == {
        "element": "e2m1",
        "block_size": 8,
        "mse": plateau(block_size=8, distribution="laplace"),
    }
    (meeting,) = document["crossovers"]
    assert (meeting["fine"], meeting["coarse"]) == (4, 8)
    assert meeting["sigma"] == crossover(4, 8, scale="ue4m3", distribution="laplace")


def test_what_has_no_integral_is_sampled_and_says_so(blockdot):
    done = blockdot(
        "theory", "--scale", "ue5m3", "--method", "search", "--block-size", 8, "--sigma", 0.1,
        "--blocks", 500, "--seed", 7, "--parts",
    )  # fmt: skip
    seen = sampled_error(0.1, scale="ue5m3", block_size=8, method="search", blocks=500, seed=7)
    assert f"{seen.mse:.5f} ± {seen.standard_error:.5f}" in done.out
    assert "± is the standard error" in done.out
    assert "integrals" not in done.out
    assert "greater error" not in done.out


def test_rounding_at_random_has_no_integral(blockdot):
    done = blockdot("theory", "--rounding", "stochastic", "--blocks", 100, "--sigma", 0.1)
    assert done.code == 0
    assert "±" in done.out
    assert "not rounded" not in done.out
    assert "greater error" not in done.out


def test_what_is_named_twice_is_computed_once(blockdot):
    done = blockdot(
        "theory", "--scale", "ue4m3", "--scale", "ue4m3", "--block-size", 8, "--block-size", 8, "--json"
    )
    document = json.loads(done.out)
    assert len(document["points"]) == 5
    assert document["crossovers"] == []


def test_monte_carlo_on_request(blockdot):
    done = blockdot("theory", "--scale", "ue5m3", "--monte-carlo", "--blocks", 300, "--json")
    assert all(point["sampled"] for point in json.loads(done.out)["points"])


def test_all_methods_are_those_that_go_with_the_formats(blockdot):
    done = blockdot(
        "theory", "--method", "all", "--scale", "ue8m0", "--element", "int8", "--block-size", 32,
        "--sigma", 1, "--blocks", 50, "--json",
    )  # fmt: skip
    methods = [point["method"] for point in json.loads(done.out)["points"]]
    assert methods == ["absmax", "prevent_zero", "search", "floor", "even", "ceil"]


def test_writes_records_and_pictures(blockdot, tmp_path):
    done = blockdot(
        "theory", "--block-size", 8, "--block-size", 16, "--between", 1e-3, 1, "--points", 2, "--blocks", 60,
        *(part for suffix in ("csv", "json", "md", "png", "svg") for part in ("-o", f"t.{suffix}")),
    )  # fmt: skip
    assert done.code == 0
    assert done.out.count("wrote t.") == 5
    # The table's points and the curves': 2 scales, 2 block sizes, and 4 methods at 7 sigmas.
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 5 + 16 * 7
    assert len(json.loads((tmp_path / "t.json").read_text())["points"]) == len(rows)
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert "four_over_six" in {row["method"] for row in rows}
    assert len(list(tmp_path.iterdir())) == 5


def test_without_matplotlib_says_how_to_get_it(refused, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert refused("theory", "-o", "t.svg") == (
        "matplotlib must be installed to draw, and is not: pip install 'blockdot[plot]'"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sigma", 0], "sigma must be above zero and finite, not 0.0"),
        (["--scale", "e2m1"], "scale must be an unsigned format, not 'e2m1'"),
        (["--method", "floor"], "scale must be ue8m0 for method 'floor', not 'ue4m3'"),
        (
            ["--method", "floor", "--method", "ceil", "--scale", "ue4m3"],
            "scale must be ue8m0 for method 'ceil', not 'ue4m3'",
        ),
        (["--block-size", 12], "block_size must be a power of two of at least 2, not 12"),
        (
            ["-o", "t.png", "--between", 1, 0.1],
            "sigmas must ascend between two values above zero, not from 1.0 to 0.1",
        ),
        (["-o", "t.png", "--points", 0], "points must be at least 1 a decade, not 0"),
        (["-o", "t.pdf"], "output must end in .csv, .json, .md, .png or .svg, not t.pdf"),
        (["--method", "search", "--blocks", 1], "blocks must be at least 2 for a standard error, not 1"),
    ],
)
def test_refuses(refused, arguments, message):
    assert refused("theory", *arguments) == message
