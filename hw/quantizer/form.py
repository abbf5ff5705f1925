"""How a quantizer is to be built, and the exact numbers that its steps compare with."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ...model.formats import Format
from ...model.quantizer import InputFormat, QuantizerSpec
from .scale_thresholds import ScaleThresholds, exponent_of

__all__ = ["ELEMENT_FAR", "ELEMENT_LEAST", "QuantizerForm", "least_bits"]

ELEMENT_LEAST: Final = -2
"""The exponent of the least magnitude that does not become zero, under a scale of exponent 0: a quarter."""

ELEMENT_FAR: Final = 4
"""From this exponent on, under a scale of exponent 0, a magnitude becomes the largest element: 5 m < 2**4."""


@dataclass(frozen=True, kw_only=True)
class QuantizerForm:
    """How a quantizer is to be built.

    Attributes:
        spec: What to compute.
        fast: Whether each component has its fastest form, or its smallest.
        order: Seed of the order in which elements enter trees; changes no result.
    """

    spec: QuantizerSpec
    fast: bool
    order: int

    @property
    def input(self) -> InputFormat:
        """The format of the numbers."""
        return self.spec.input_format

    @property
    def scale(self) -> Format:
        """The format of the scale."""
        return self.spec.scale_format

    @property
    def least_exponent(self) -> int:
        """The exponent of the least normal number of the input."""
        return 1 - self.input.bias

    # Fractions.

    @property
    def fraction_bits(self) -> int:
        """Bits of a normalised significand, behind its leading one, that any comparison needs by themselves.

        A scale's significand has ``mantissa_bits + 1`` bits. An element's midpoints are 1, 3, 5 or 7 times
        it, and 7 times it has at most 3 bits more. A midpoint of scales has ``mantissa_bits + 2`` bits, and 6
        times it, as 3 times it, 2 more. Either has at most ``mantissa_bits + 4``, one of which leads. Of what
        is below, it only matters whether it is zero.
        """
        return self.scale.mantissa_bits + 3

    @property
    def element_depth(self) -> int:
        """Binades of the input's subnormals in which a magnitude may become more than zero.

        The least midpoint of all is a quarter of the smallest scale.
        """
        return self._depth(exponent_of(self.scale.smallest) + ELEMENT_LEAST)

    @property
    def scale_depth(self) -> int:
        """Binades of the input's subnormals in which a largest magnitude has a scale that is normal.

        In a format without subnormals every scale is; but whatever has an exponent of no more than 0 above
        the bias gets code 0 there.
        """
        least = self.scale.least_exponent
        return self._depth(least + 2)

    def _depth(self, exponent: int) -> int:
        return max(0, min(self.least_exponent - exponent, self.input.mantissa_bits))

    @property
    def kept_bits(self) -> int:
        """Bits of the input's fraction that are kept by themselves, as they come.

        Squared errors take all of them.
        """
        if self.spec.method == "four_over_six":
            return self.input.mantissa_bits
        return min(self.input.mantissa_bits, max(self.element_depth, self.scale_depth) + self.fraction_bits)

    @property
    def sticky(self) -> bool:
        """Whether there are bits below, of which only matters whether one is set."""
        return self.kept_bits < self.input.mantissa_bits

    @property
    def magnitude_bits(self) -> int:
        """Width of a magnitude as it is compared: exponent, kept fraction, and the bit for what is below."""
        return self.input.exponent_bits + self.kept_bits + self.sticky

    def thresholds(self, top: int = 6) -> ScaleThresholds:
        """Return the thresholds of the scale that brings the largest magnitude to `top`: to 6, or to 4."""
        return ScaleThresholds(scale=self.scale, input=self.input, top=top)

    def place(self, magnitude: Fraction, bits: int, sticky: bool) -> tuple[int, bool]:
        """Return a magnitude as exponent field above `bits` bits of fraction above what is below.

        Args:
            magnitude: Any number above zero.
            bits: Bits of the fraction.
            sticky: Whether a bit for what is below follows.

        Returns:
            The largest such integer that is not above the number, and whether it equals it.
        """
        exponent = max(exponent_of(magnitude), self.least_exponent)
        significand = magnitude / Fraction(2) ** (exponent - bits)
        whole = int(significand)
        assert whole == significand or not sticky, "a threshold must not lie among what is not told apart"
        return (whole + ((exponent - self.least_exponent) << bits)) << sticky, whole == significand


def least_bits(form: QuantizerForm) -> int:
    """Return the width of the least midpoint's exponent field.

    It is a field of the input's, which is large enough as no scale's exponent is above that of the largest
    magnitude; with a sign above where a midpoint may be below the input's normal numbers.
    """
    return form.input.exponent_bits + (form.element_depth > 0)
