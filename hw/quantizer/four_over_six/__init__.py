"""The scale that brings the largest magnitude to 4 instead of 6, where the squared errors are fewer.

Both scales are chosen, and the elements under both. With S6 and S4 the scales and q and r an element under
them, the sum of squared errors is lower under S4 exactly if

    S4 (2 sum |x| r - S4 sum r^2)  >  S6 (2 sum |x| q - S6 sum q^2)

All of it is integer. Where q or r is not zero, |x| is above the least midpoint under S6, a quarter of it, as
S4 is no smaller. No magnitude is above 9 S6: of all scales the least one is the worst, to which 1.5 times it
is rounded. So |x| is between S6 / 4 and 9 S6, in one of six binades whatever S6's significand is (only under
the least scale, whose significand is 1, is it above 7.5 S6), and an integer of five bits more than its
significand, in a unit that belongs to S6. Exceptions:

- S6 saturates. Then S4 does too: both are the same, as is everything else, the two sides are equal (modulo
  any power of two), and S6 is taken.
- S6 is zero and S4 is not. Then S4 is taken: no error is larger than under zero, and that of the largest
  magnitude is smaller, which is more than twice S4.
- Both are zero. Then neither has an element.

With a tensor scale g, S6 and S4 are those times g, but for the outer factors: what both sides have is left
out. Then a magnitude is in one of seven binades, see `widths`.

S4 is no less than S6, and no more than twice it: if S6 is k of its own steps, the largest magnitude is up to
6 (k + 1/2) of them and a quarter of it up to 2 k + 1/4, as k is at least 1. That is rounded to 2 k at most.
So both scales share much:

- The exponents of S4 and S6 are equal or differ by one. A magnitude's binade above the least midpoint of S4
  is that above the least midpoint of S6, or one less; which, the three comparisons of significands tell: the
  magnitude's with both scales', and the exponents' last bits.
- Write an element in halves, 0 to 12, as 2**e, or 3 * 2**(e - 1), e the exponent field of its code. With X =
  |x| * 2**e(r), |x| r is X or X + X / 2, or nothing. |x| q is X, 3/2, 2 or 3 times X, as r is no less than
  half of q rounded: that is half of q itself from 4 halves on, and then q is at most 3 times the power of two
  that e(r) stands for; for 3 halves, r is at least 1; for 2, at least 1; for 1, where r may be nothing, q is
  |x| itself. So |x| q is X and half, once or twice X, or X alone. X is aligned once and summed once for both.
"""

from typing import Any

from ...steps.records import Step
from ..form import QuantizerForm
from .candidates import CandidatesStep
from .choice import ChooseScaleStep, ChooseStep
from .error_sums import ErrorSumsStep
from .two_scales import TwoScalesStep

__all__ = ["four_over_six_steps"]


def four_over_six_steps(form: QuantizerForm) -> tuple[Step[Any, Any], ...]:
    """Return the steps from the `LargestMagnitude` to the `QuantizedBlock`.

    Under ``stochastic`` they end in the `ChosenScale`: scales are compared by elements rounded to nearest,
    and elements are rounded once more under the scale that is taken.
    """
    compare = (TwoScalesStep(form), CandidatesStep(form), ErrorSumsStep(form))
    return (*compare, ChooseScaleStep(form) if form.spec.stochastic else ChooseStep(form))
