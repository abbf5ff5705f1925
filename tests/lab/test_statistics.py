import json
import math

import pytest
from blockdot.lab.statistics import (
    BOOTSTRAP_LEAST,
    Estimate,
    Summary,
    difference_text,
    relative,
    t_quantile,
)
from blockdot.synth.metric import Metric
from messages import check_messages

AREA = Metric("area", "um2", "lower", 1)
PERCENT = Metric("area", "%", "lower", 2)


@pytest.mark.parametrize(
    ("freedom", "value"),
    # Any textbook's table of Student's t, two-sided 95 %.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (6, 2.447), (7, 2.365), (10, 2.228),
     (15, 2.131), (30, 2.042), (100, 1.984)],
)  # fmt: skip
def test_quantiles_of_student_s_t(freedom: int, value: float):
    assert t_quantile(0.95, freedom) == pytest.approx(value, abs=5e-4)


def test_quantiles_in_closed_form():
    # One degree of freedom is Cauchy's, two have t = p * sqrt(2 / (1 - p**2)).
    for level in (0.5, 0.9, 0.99):
        assert t_quantile(level, 1) == pytest.approx(math.tan(math.pi * level / 2), rel=1e-12)
        assert t_quantile(level, 2) == pytest.approx(level * math.sqrt(2 / (1 - level**2)), rel=1e-12)
    # Many degrees of freedom are a Gaussian.
    assert t_quantile(0.95, 100_000) == pytest.approx(1.95996, abs=1e-4)


def test_bad_parameters():
    check_messages(
        [
            (ValueError, "level must lie between 0 and 1, not 1.0", lambda: t_quantile(1.0, 3)),
            (ValueError, "level must lie between 0 and 1, not 0", lambda: t_quantile(0, 3)),
            (ValueError, "freedom must be at least 1, not 0", lambda: t_quantile(0.95, 0)),
            (
                ValueError,
                "values must be at least 2 for an error bar, not 1",
                lambda: Estimate(AREA, (1.0,)),
            ),
        ]
    )


def test_summary():
    summary = Summary(AREA, (4.0, 1.0, 3.0, 2.0))
    assert (summary.median, summary.minimum, summary.maximum) == (2.5, 1.0, 4.0)
    assert summary.deviation == pytest.approx(math.sqrt(5 / 3))
    assert summary.text() == "2.5 um2 (1.0 to 4.0)"
    assert Summary(AREA, (7.0,)).deviation == 0.0
    assert summary.to_dict() == {
        "name": "area",
        "unit": "um2",
        "better": "lower",
        "median": 2.5,
        "minimum": 1.0,
        "maximum": 4.0,
        "deviation": summary.deviation,
        "values": [4.0, 1.0, 3.0, 2.0],
    }


def test_estimate_by_hand():
    # Mean 3, deviations -2, 0, 2: variance 8 / 2 = 4, standard error 2 / sqrt(3), times 4.30265.
    estimate = Estimate(PERCENT, (1.0, 3.0, 5.0))
    assert (estimate.mean, estimate.median) == (3.0, 3.0)
    assert estimate.standard_error == pytest.approx(1.154701, abs=1e-6)
    assert estimate.margin == pytest.approx(4.968275, abs=1e-4)
    assert estimate.interval == pytest.approx((-1.968275, 7.968275), abs=1e-4)
    assert not estimate.resolved
    assert estimate.text() == "+3.00 ± 4.97 %"


def test_what_is_resolved():
    assert Estimate(PERCENT, (2.9, 3.0, 3.1)).resolved
    assert Estimate(PERCENT, (-2.9, -3.0, -3.1)).resolved
    assert not Estimate(PERCENT, (-0.1, 0.1, 0.0)).resolved
    # No spread at all: a difference that is always the same is one, and none is none.
    assert Estimate(PERCENT, (1.0, 1.0)).resolved
    assert not Estimate(PERCENT, (0.0, 0.0)).resolved
    assert Estimate(PERCENT, (-0.5, -0.5)).text() == "-0.50 ± 0.00 %"


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (0.456, 0.35, 0.55, "+0.46 ± 0.10 %"),
        (0.05, -0.05, 0.15, "+0.05 ± 0.10 %"),
        # Of an interval that is not symmetric half the width may reach beyond zero where no end does,
        (-2.84, -5.8, -0.1, "-2.84 (-5.80 to -0.10) %"),
        # and the other way round.
        (1.0, -0.1, 1.5, "+1.00 (-0.10 to +1.50) %"),
        (0.0, 0.0, 0.0, "+0.00 ± 0.00 %"),
    ],
)
def test_a_printed_difference_tells_of_zero_what_its_interval_does(mean, low, high, text):
    assert difference_text(mean, low, high, 2, "%") == text
    assert difference_text(mean, low, high, 2, "") == text.removesuffix(" %")


def test_estimates_in_json():
    record = json.loads(json.dumps(Estimate(PERCENT, (2.9, 3.0, 3.1)).to_dict()))
    assert list(record) == [
        "name", "unit", "better", "mean", "median", "standard_error", "level", "method", "low", "high",
        "resolved", "values",
    ]  # fmt: skip
    assert (record["level"], record["resolved"], record["unit"]) == (0.95, True, "%")


def test_the_bootstrap_covers_what_it_says(rng):
    # Of 400 intervals 95 % should hold the true mean, give or take three standard errors of 1.1 %.
    held = 0
    for _ in range(400):
        values = rng.gamma(4.0, 1.0, size=16)
        estimate = Estimate(PERCENT, tuple(map(float, values)))
        assert estimate.method == "bootstrap"
        low, high = estimate.interval
        held += low <= 4.0 <= high
    assert 0.90 < held / 400 < 0.985


def test_the_bootstrap_of_normal_measurements_is_near_student_s(rng):
    values = tuple(map(float, rng.normal(size=40)))
    estimate = Estimate(PERCENT, values)
    assert estimate.margin == pytest.approx(t_quantile(0.95, 39) * estimate.standard_error, rel=0.06)
    assert estimate.interval == Estimate(PERCENT, values).interval
    few = Estimate(PERCENT, values[: BOOTSTRAP_LEAST - 1])
    assert few.method == "student"


def test_differences_in_percent_of_the_first_of_each_pair():
    found = relative(Metric("area", "um2", "lower", 1), (2.0, 4.0, 0.0), (3.0, 3.0, 5.0))
    assert found.values == (50.0, -25.0, 0.0)
    assert (found.metric.unit, found.metric.digits, found.metric.name) == ("%", 2, "area")
