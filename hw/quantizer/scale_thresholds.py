"""The largest magnitudes at which a block's scale becomes another one, as exact fractions."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ...model.formats import Format
from ...model.quantizer import InputFormat

__all__ = ["ScaleThresholds", "Threshold", "exponent_of"]


def exponent_of(value: float | Fraction) -> int:
    """Return the exponent of a number above zero."""
    fraction = Fraction(value)
    exponent = fraction.numerator.bit_length() - fraction.denominator.bit_length()
    return exponent if fraction >= Fraction(2) ** exponent else exponent - 1


@dataclass(frozen=True, order=True)
class Threshold:
    """A magnitude that is compared with, and where a magnitude that equals it goes.

    Attributes:
        magnitude: The number.
        included: A magnitude that equals it counts as above.
    """

    magnitude: Fraction
    included: bool


@dataclass(frozen=True, kw_only=True)
class ScaleThresholds:
    """Where the scale grows that brings a block's largest magnitude to `top`, rounded to nearest even.

    Attributes:
        scale: The scale's format.
        input: The format of the numbers.
        top: 6, the largest element, or 4.
    """

    scale: Format
    input: InputFormat
    top: int

    @property
    def exponent_offset(self) -> int:
        """The exponent of the scale for a largest magnitude that is a power of two, less that one's.

        A quarter of 1 is 1 * 2**-2, a sixth 4/3 * 2**-3.
        """
        return exponent_of(Fraction(1, self.top))

    @property
    def mantissa_at_one(self) -> int:
        """The mantissa of that scale."""
        significand = Fraction(1, self.top) / Fraction(2) ** self.exponent_offset
        return int((significand - 1) * (1 << self.scale.mantissa_bits) + Fraction(1, 2))

    @cached_property
    def binade(self) -> tuple[Threshold, ...]:
        """The significands, in [1, 2), at which a normal scale's code grows by one, ascending.

        A tie is decided by the last bit of the mantissa; where there is none, `included` has no meaning.
        """
        found = []
        for mantissa in range(1 << self.scale.mantissa_bits):
            at = self.top * (1 + Fraction(2 * mantissa + 1, 2 << self.scale.mantissa_bits))
            found.append(Threshold(at / Fraction(2) ** exponent_of(at), included=bool(mantissa % 2)))
        return tuple(sorted(found))

    @cached_property
    def subnormal(self) -> tuple[Threshold, ...]:
        """The largest magnitudes at which the scale's code becomes 1, 2, and so on to the least normal."""
        if not self.scale.subnormals:
            return ()
        half = Fraction(2) ** (self.scale.quantum_exponent - 1)
        return tuple(
            Threshold(self.top * (2 * code + 1) * half, included=bool(code % 2))
            for code in range(1 << self.scale.mantissa_bits)
        )

    @property
    def normal_from(self) -> Threshold:
        """A largest magnitude from which on the code is told as a normal scale's.

        `top` times the least normal scale: the codes on both sides of it are told either way.
        """
        return Threshold(self.top * Fraction(2) ** self.scale.least_exponent, included=True)

    @cached_property
    def saturation(self) -> Threshold | None:
        """A largest magnitude from which on the scale is the largest; None where no input is so large.

        Any number will do from the one that gives the largest scale to the one that would give the next, were
        there one; this is the one of fewest bits.
        """
        values = [Fraction(float(value)) for value in self.scale.values[: self.scale.largest_code + 1]]
        half = (values[-1] - values[-2]) / 2
        if self.scale.mantissa_bits == 0:
            half = values[-1] / 2  # the next would be twice as large
        low, high = self.top * (values[-1] + values[-2]) / 2, self.top * (values[-1] + half)
        if self._largest_input < high:
            return None
        step = Fraction(2) ** exponent_of(low)
        while True:
            at = (low // step + 1) * step
            if at < high:
                return Threshold(at, included=True)
            step /= 2

    @property
    def _largest_input(self) -> Fraction:
        """The input's largest finite number."""
        top = Fraction(2) ** self.input.bias
        return 2 * top - top / (1 << self.input.mantissa_bits)
