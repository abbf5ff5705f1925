import math

import numpy as np
import pytest
from blockdot.model import distributions
from messages import check_messages, untyped

NAMES = (*distributions.DISTRIBUTIONS, "student_t3", "student_t4", "student_t30")


@pytest.mark.parametrize("name", NAMES)
def test_density_is_the_derivative_and_has_variance_one(name):
    distribution = distributions.get_distribution(name)
    assert distribution.name == name
    # The midpoint rule in log x.
    edges = np.exp(np.linspace(-12, 20, 400_001))
    middle, width = np.sqrt(edges[1:] * edges[:-1]), np.diff(edges)
    density = distribution.density(middle)
    np.testing.assert_allclose(np.cumsum(density * width), distribution.below(edges[1:]), atol=1e-5)
    assert (density * width * middle**2).sum() == pytest.approx(1, rel=1e-5)
    assert distribution.below(np.array([0.0, np.inf])).tolist() == [0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_draws_follow_the_distribution(name, rng):
    distribution = distributions.get_distribution(name)
    drawn = distribution.draw(rng, (50, 2000))
    assert drawn.shape == (50, 2000)
    # The largest distance of the two (Kolmogorov and Smirnov) exceeds 1.95 / sqrt(n) once in 1000 times.
    ranks = distribution.below(np.sort(np.abs(drawn).reshape(-1)))
    assert np.abs(ranks - np.arange(ranks.size) / ranks.size).max() < 1.95 / math.sqrt(ranks.size)
    assert abs((drawn > 0).mean() - 0.5) < 0.01


def test_known_values():
    one = np.array([1.0])
    assert distributions.get_distribution("normal").below(one)[0] == pytest.approx(
        0.6826894921370859, rel=1e-15
    )
    # Any table of Student's t: 2.571 leaves 5 % outside with 5 degrees of freedom.
    t = np.array([2.5705818356363141]) * math.sqrt(3 / 5)
    assert distributions.get_distribution("student_t5").below(t)[0] == pytest.approx(0.95, rel=1e-12)


def test_messages():
    check_messages(
        [
            (
                ValueError,
                "distribution must be one of normal, laplace, logistic or student_t{V} with V from 3 to 999, "
                f"not {name!r}",
                lambda name=name: distributions.get_distribution(untyped(name)),
            )
            for name in ("gauss", "student_t2", "student_t", "student_t1000", None)
        ]
    )
