"""How far magnitudes that have an element are apart, and so how wide sums of them are."""

from ..form import QuantizerForm

__all__ = ["MAGNITUDES", "binades", "places"]

MAGNITUDES = (0, 1, 2, 3, 4, 6, 8, 12)
"""What the codes of elements are worth, in halves."""

_BINADES = 6
"""Binades in which a magnitude has an element that is not zero."""

_PLACES = 8
"""The most places that a magnitude is moved up: five binades, and three exponents of its element."""


def binades(form: QuantizerForm) -> int:
    """Return in how many binades a magnitude has an element that is not zero, by exponents.

    A scale times a tensor scale may have any significand: 9 times it is in one binade more where it is above
    16/9.
    """
    return _BINADES + form.spec.tensor_scale


def places(form: QuantizerForm) -> int:
    """Return the most places that a magnitude is moved up: all binades but one, and an element's exponent."""
    return _PLACES + form.spec.tensor_scale
