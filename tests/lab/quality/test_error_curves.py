import itertools

import pytest
from blockdot.lab.quality.error_curves import ErrorCurves, draw_error_curves, sigmas_between, tabulate
from blockdot.lab.quality.quantization_error import combinations
from blockdot.model.theory import expected_error, sampled_error
from messages import check_messages


@pytest.fixture(scope="module")
def curves() -> ErrorCurves:
    ways = combinations(["ue4m3", "ue5m3"], [8, 16], ["absmax", "search"])
    return tabulate(ways, sigmas_between(1e-3, 1e-1, 2), blocks=40)


def test_points_are_those_of_theory(curves):
    assert len(curves.points) == 8 * 5
    for point in curves.points:
        way, error = point.quantization, point.expectation
        parameters = (point.sigma, "e2m1", way.scale, way.block_size, way.method)
        if way.method == "absmax":
            assert error.mse == expected_error(*parameters).mse
            assert not error.sampled
        else:
            drawn = sampled_error(*parameters, blocks=40)
            assert (error.mse, error.uncertainty) == (drawn.mse, drawn.standard_error)
            assert error.sampled
            assert error.others is error.largest is error.zero_scale is None


def test_progress_is_told():
    told = []
    ways = combinations(["ue4m3"], [8], ["absmax"])
    tabulate(ways, [1.0, 2.0], progress=lambda *report: told.append(report))
    assert told == [(0, 2, "ue4m3 N=8 absmax"), (1, 2, "ue4m3 N=8 absmax")]


def test_sigmas_stand_at_equal_ratios():
    sigmas = sigmas_between(1e-3, 1.0, 4)
    assert len(sigmas) == 13
    assert (sigmas[0], sigmas[-1]) == (1e-3, 1.0)
    ratios = [high / low for low, high in itertools.pairwise(sigmas)]
    assert ratios == pytest.approx([10**0.25] * 12)
    assert sigmas_between(1.0, 2.0, 1) == [1.0, 2.0]


def test_pictures_are_the_same_bytes_each_time(curves, tmp_path):
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    draw_error_curves(curves, first)
    draw_error_curves(curves, second)
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    # Two rows of two panels, and no date.
    assert text.count('id="axes_') == 4
    assert "dc:date" not in text


def test_messages(curves, tmp_path):
    check_messages(
        [
            (
                ValueError,
                "picture must end in .png or .svg, not 'curves.jpg'",
                lambda: draw_error_curves(curves, tmp_path.__class__("curves.jpg")),
            ),
            (
                ValueError,
                "curves must have points to be drawn, not none",
                lambda: draw_error_curves(ErrorCurves("normal", ()), tmp_path / "x.svg"),
            ),
            *(
                (
                    ValueError,
                    f"sigmas must ascend between two values above zero, not from {low!r} to {high!r}",
                    lambda low=low, high=high: sigmas_between(low, high, 3),
                )
                for low, high in ((0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, float("inf")))
            ),
            (ValueError, "points must be at least 1 a decade, not 0", lambda: sigmas_between(1.0, 2.0, 0)),
        ]
    )
    assert not list(tmp_path.iterdir())
