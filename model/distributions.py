"""Distributions of data: symmetric about zero, with variance 1."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["DISTRIBUTIONS", "Distribution", "get_distribution", "student_probability"]

_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """One distribution of a variable X.

    Attributes:
        name: The name it is known by.
        density: The density of |X|, at magnitudes from 0 on.
        below: P(|X| < x), likewise; 1 at infinity.
        draw: Gives independent values of X, of a shape.
    """

    name: str
    density: Callable[[_Doubles], _Doubles]
    below: Callable[[_Doubles], _Doubles]
    draw: Callable[[np.random.Generator, tuple[int, ...]], _Doubles]


def student_probability(angle: float | _Doubles, freedom: int) -> _Doubles:
    """Return P(|T| < t) of Student's t for ``t = tan(angle) * sqrt(freedom)``.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 (odd) and 26.7.4 (even).

    Args:
        angle: From 0 to pi / 2, any shape.
        freedom: Degrees of freedom, at least 1.
    """
    angle = np.asarray(angle, np.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    odd = freedom % 2
    term = cosine if odd else np.ones_like(angle)
    total = term if freedom > 1 else np.zeros_like(angle)
    for k in range(2 + odd, freedom - 1, 2):
        term = term * cosine * cosine * ((k - 1) / k)
        total = total + term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _erf(x: _Doubles) -> _Doubles:
    # numpy has no error function, and Python's own is good to the last bit or two.
    return np.fromiter(map(math.erf, x.reshape(-1).tolist()), np.float64, x.size).reshape(x.shape)


def _student(freedom: int) -> Distribution:
    # T has variance freedom / (freedom - 2).
    unit = math.sqrt(freedom - 2)
    peak = 2 * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi) / unit
    return Distribution(
        f"student_t{freedom}",
        lambda x: peak * (1 + (x / unit) ** 2) ** (-(freedom + 1) / 2),
        lambda x: student_probability(np.arctan(x / unit), freedom),
        lambda rng, shape: rng.standard_t(freedom, shape) * math.sqrt((freedom - 2) / freedom),
    )


_NORMAL_PEAK: Final = math.sqrt(2 / math.pi)
_LAPLACE_RATE: Final = math.sqrt(2)
_LOGISTIC_RATE: Final = math.pi / math.sqrt(3)

_NAMED: Final = {
    distribution.name: distribution
    for distribution in (
        Distribution(
            "normal",
            lambda x: _NORMAL_PEAK * np.exp(-0.5 * x * x),
            lambda x: _erf(x * math.sqrt(0.5)),
            lambda rng, shape: rng.standard_normal(shape),
        ),
        Distribution(
            "laplace",
            lambda x: _LAPLACE_RATE * np.exp(-_LAPLACE_RATE * x),
            lambda x: -np.expm1(-_LAPLACE_RATE * x),
            lambda rng, shape: rng.laplace(0, 1 / _LAPLACE_RATE, shape),
        ),
        Distribution(
            "logistic",
            # The square of the hyperbolic secant overflows far out, where nothing is left.
            lambda x: _LOGISTIC_RATE / 2 / np.cosh(np.minimum(_LOGISTIC_RATE / 2 * x, 350.0)) ** 2,
            lambda x: np.tanh(_LOGISTIC_RATE / 2 * x),
            lambda rng, shape: rng.logistic(0, 1 / _LOGISTIC_RATE, shape),
        ),
    )
}
_STUDENT: Final = re.compile(r"student_t([1-9]\d{0,2})")

DISTRIBUTIONS: Final[tuple[str, ...]] = (*_NAMED, "student_t5")
"""Names; any ``student_t{V}`` with V from 3 to 999 degrees of freedom is accepted beside them."""


def get_distribution(name: str) -> Distribution:
    """Return the distribution of that name.

    Raises:
        ValueError: If there is none.
    """
    if name in _NAMED:
        return _NAMED[name]
    student = _STUDENT.fullmatch(name) if isinstance(name, str) else None
    # Two degrees of freedom and fewer have no variance.
    if student and int(student[1]) >= 3:
        return _student(int(student[1]))
    raise ValueError(
        f"distribution must be one of {', '.join(_NAMED)} or student_t{{V}} with V from 3 to 999, "
        f"not {name!r}"
    )
