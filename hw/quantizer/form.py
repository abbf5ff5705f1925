"""How a quantizer is to be built, and the exact numbers that its steps compare with."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from ...model.formats import Format
from ...model.quantizer import InputFormat, QuantizerSpec
from .scale_thresholds import ScaleThresholds, exponent_of

__all__ = ["ELEMENT_FAR", "G_BIAS", "G_EXPONENT_BITS", "G_MANTISSA_BITS", "QuantizerForm", "least_bits"]

G_BIAS: Final = 127
"""What is subtracted from the exponent field of a tensor scale, a binary32 number."""

G_MANTISSA_BITS: Final = 23
"""Width of its mantissa."""

G_EXPONENT_BITS: Final = 10
"""Width of its exponent field as it is used: with a sign, and below 1 for a subnormal."""

ELEMENT_FAR: Final = 4
"""From this exponent on, under a scale of exponent 0, a magnitude becomes the largest element.

A scale's significand m is below 2; so 5 m, and the 6 m that counts under ``stochastic``, are below 2**4.
"""


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
    def element_fraction_bits(self) -> int:
        """The same of a magnitude alone: what its element depends on.

        ``stochastic`` asks for the whole part of ``2**random_bits`` times a magnitude in units of the step
        between its neighbours and of the scale's last bit. Where that is most, a magnitude has 2 binades
        more, and what is below counts for nothing.
        """
        if self.spec.stochastic:
            return self.multiple_bits + self.spec.random_bits + 2
        return self.input.mantissa_bits if self.spec.tensor_scale else self.fraction_bits

    @property
    def multiple_bits(self) -> int:
        """Bits behind the leading one of the scale's significand, times that of a tensor scale if any.

        The product of two significands is below 4: one that is not above 2 has a zero more behind it.
        """
        if not self.spec.tensor_scale:
            return self.scale.mantissa_bits
        return G_MANTISSA_BITS + (self.scale.mantissa_bits + 1 if self.scale.mantissa_bits else 0)

    @property
    def saved_places(self) -> int:
        """Places by which errors under two scales are counted finer than magnitudes."""
        return max(0, self.multiple_bits - self.input.mantissa_bits) if self.spec.tensor_scale else 0

    @property
    def bare(self) -> bool:
        """Whether everything that elements are compared with is a constant times a power of two."""
        return self.scale.powers_of_two and not self.spec.tensor_scale

    @property
    def exponent_room(self) -> int:
        """Width of the exponent of whatever is compared where there is a tensor scale, with a sign.

        That is, as fields of the input's exponent, of the magnitudes, of the least scale times the least g,
        and of the largest scale times the largest g; and as fields of the scale's exponent, of quotients.
        """
        least_g, largest_g = -G_BIAS + 1 - G_MANTISSA_BITS, G_BIAS
        least_magnitude, largest_magnitude = 1 - self.input.mantissa_bits, 1 << self.input.exponent_bits
        ends = (
            exponent_of(self.scale.smallest) + least_g + self.input.bias + self.element_least,
            exponent_of(self.scale.largest) + largest_g + 2 + self.input.bias,
            least_magnitude,
            least_magnitude - self.input.bias - largest_g + self.scale.bias - 4,
            largest_magnitude - self.input.bias - least_g + self.scale.bias,
        )
        return max(abs(end) for end in ends).bit_length() + 1

    @property
    def shift_bits(self) -> int:
        """Under ``stochastic``, width of the distance by which a magnitude is shifted to the right.

        That is from 0 to ``random_bits + 2``; then nothing is left.
        """
        return (self.spec.random_bits + 2).bit_length()

    @property
    def element_least(self) -> int:
        """The exponent of the least magnitude that may be more than zero, under a scale of exponent 0.

        That is a quarter to nearest. Under ``stochastic`` it is no more than ``2**-(random_bits + 1)``, which
        is half of a random bit's weight times a half; so much less that an exponent's distance from it is
        the shift of the magnitude, turned over.
        """
        return 2 - (1 << self.shift_bits) if self.spec.stochastic else -2

    @property
    def binade_bits(self) -> int:
        """Digits of the distance of exponents from the least one: all that are told apart.

        To nearest they go from 0 to 7, and from 5 on each gives the largest element.
        """
        return self.shift_bits + 1 if self.spec.stochastic else 3

    @property
    def factors(self) -> tuple[tuple[int, int], ...]:
        """What else the midpoints are multiples of, and how many bits more than the fraction each has.

        Only to nearest: ``stochastic`` has no midpoints.
        """
        return () if self.spec.stochastic else ((3, 2), (5, 3), (7, 3))

    @property
    def element_depth(self) -> int:
        """Binades of the input's subnormals in which a magnitude may become more than zero.

        To nearest, the least midpoint of all is a quarter of the smallest scale; under a tensor scale it may
        be as small as it likes.
        """
        if self.spec.tensor_scale:
            return self.input.mantissa_bits
        return self._depth(exponent_of(self.scale.smallest) + self.element_least)

    @property
    def scale_depth(self) -> int:
        """Binades of the input's subnormals in which a largest magnitude has a scale that is normal.

        In a format without subnormals every scale is; but whatever has an exponent of no more than 0 above
        the bias gets code 0 there.
        """
        if self.spec.tensor_scale:
            return self.input.mantissa_bits
        return self._depth(self.scale.least_exponent + 2)

    def _depth(self, exponent: int) -> int:
        return max(0, min(self.least_exponent - exponent, self.input.mantissa_bits))

    @property
    def kept_bits(self) -> int:
        """Bits of the input's fraction that are kept by themselves, as they come.

        Squared errors take all of them, and so do multiples of a tensor scale.
        """
        if self.spec.method == "four_over_six" or self.spec.tensor_scale:
            return self.input.mantissa_bits
        wanted = max(self.element_depth + self.element_fraction_bits, self.scale_depth + self.fraction_bits)
        return min(self.input.mantissa_bits, wanted)

    @property
    def sticky(self) -> bool:
        """Whether there are bits below, of which only matters whether one is set."""
        return self.kept_bits < self.input.mantissa_bits

    @property
    def magnitude_bits(self) -> int:
        """Width of a magnitude as it is compared: exponent, kept fraction, and the bit for what is below."""
        return self.input.exponent_bits + self.kept_bits + self.sticky

    @property
    def lane_bits(self) -> int:
        """Bits of all lanes: a magnitude and a sign each."""
        return self.spec.block_size * (self.magnitude_bits + 1)

    @property
    def to_nearest(self) -> "QuantizerForm":
        """The same, with elements rounded to nearest: by these ``four_over_six`` compares scales."""
        spec = self.spec
        return replace(
            self,
            spec=QuantizerSpec(
                element=spec.element,
                scale=spec.scale,
                block_size=spec.block_size,
                input=spec.input,
                method=spec.method,
                tensor_scale=spec.tensor_scale,
            ),
        )

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
    magnitude; with a sign above where a midpoint may be below the input's normal numbers. Under a tensor
    scale it may be anywhere, and saturates: at the top it is above every magnitude, and at the bottom so far
    below every one that their distance has a digit that is not told apart.
    """
    bits = form.input.exponent_bits + (form.element_depth > 0)
    if form.spec.tensor_scale:
        depth = (1 << form.binade_bits) + form.input.mantissa_bits + 1
        return max(bits, depth.bit_length() + 1)
    return bits
