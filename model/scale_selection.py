"""How a block's scale is chosen, and what its elements become under it.

Every method works on rows: float32 matrices, one block a row. What is compared is exact. Under a scale
s * g, with g the tensor's scale, and elements q that x becomes, the sum of squared errors is

    sum((x - q s g)**2) = sum(x**2) + g * K,    K = s * (s g sum(q**2) - 2 sum(x q)),

so that the K of two scales say which error is lower. K in float64 is off by at most ``(N + 8) * 2**-53``
of the two parts' sum, as sum(x q) has no cancellation: x and q have the same sign. Where that leaves two K
undecided, the sign of their difference is found exactly: its terms ``s**2 g q**2`` (at most 12 + 24 + 14
bits) and ``2 s x q`` (6 + 24 + 7) are float64 values.

Elements are rounded from true quotients. Why a quotient that is itself rounded serves: let x be divided by
d, and let B be a value at which the code changes. Rounding the quotient goes wrong only if it lands on B
without being B.

- In float32, where B * d is a float32 value but for the exponent's range (no tensor scale: B and d have 8
  and 7 bits at most). If x is not B * d, then it is at least one float32 step at B * d away, and that
  step, divided by d, is more than half a step at B, since the significand of d is below 2. Below a power
  of two steps are half as long, on both sides alike. d must be a float32 value, and B a normal one: scales
  of 8 exponent bits may be neither.
- In float64, for every rounding and with a tensor scale g. With integers X of at most 24 bits, C of 9 and
  D of 31, x = X * 2**e, B = C * 2**f and d = D * 2**h, the relative distance of x / d from B is that of
  X * 2**e from C * D * 2**(f + h), at least one unit of one of the two: more than ``2**-40``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from .fixed_point import sign_of_sums
from .formats import Format, Rounding

__all__ = ["POWER_OF_TWO_METHODS", "SELECTIONS", "STAIRCASES", "Blocks", "Method", "ScaleRule"]

Method = Literal["absmax", "prevent_zero", "four_over_six", "search", "floor", "even", "ceil"]

_Rows = npt.NDArray[np.float32]
_Codes = npt.NDArray[np.unsignedinteger]
_Float = TypeVar("_Float", np.float32, np.float64)


@dataclass(frozen=True)
class Blocks:
    """Some blocks.

    Attributes:
        rows: float32 values, one block a row; the length of a row is a power of two.
        largest: The largest magnitude of each; NaN wins.
    """

    rows: _Rows
    largest: npt.NDArray[np.float32]

    @classmethod
    def of(cls, rows: _Rows) -> "Blocks":
        """Return contiguous `rows` and their largest magnitudes."""
        # Neighbours pair up, so that every step is one long operation. Magnitudes are in order as integers
        # too, NaN on top, and the larger of two is found faster.
        reduced = np.bitwise_and(rows.view(np.int32), 0x7FFFFFFF).reshape(-1)
        while reduced.size > len(rows):
            reduced = np.maximum(reduced[0::2], reduced[1::2])
        return cls(rows, reduced.view(np.float32))


@dataclass(frozen=True)
class ScaleRule:
    """Everything but the data that turns blocks into codes.

    Attributes:
        element: The element format.
        scale: The scale format.
        rounding: How scales and elements are rounded.
        rng: The source of randomness, where `rounding` is ``stochastic``.
        tensor_scale: What every value is divided by: g, a float32 value; 1 for none. An array has one for
            each row, and goes with every method but ``search``.
    """

    element: Format
    scale: Format
    rounding: Rounding = "nearest_even"
    rng: np.random.Generator | None = None
    tensor_scale: float | npt.NDArray[np.float64] = 1.0

    def of_rows(self, here: npt.NDArray[np.int64]) -> "ScaleRule":
        """Return the rule of some of the rows."""
        if isinstance(self.tensor_scale, np.ndarray):
            return replace(self, tensor_scale=self.tensor_scale[here])
        return self

    @property
    def _unscaled(self) -> bool:
        return not isinstance(self.tensor_scale, np.ndarray) and self.tensor_scale == 1

    def round_scales(self, largest: npt.NDArray[np.float32], top: float) -> _Codes:
        """Return the codes of the scales that bring magnitudes `largest` to `top`."""
        if self.rounding == "nearest_even":
            if self._unscaled and self.scale.in_float32:
                return self.scale.encode_nearest(largest / np.float32(top))
            return self.scale.encode_nearest(largest.astype(np.float64) / (self.tensor_scale * top))
        quotients = largest.astype(np.float64) / (self.tensor_scale * top)
        return self.scale.encode(quotients, self.rounding, self.rng)

    def encode(self, rows: _Rows, scales: _Codes) -> _Codes:
        """Return the element codes of `rows` under their `scales`; code 0 where a scale is zero."""
        return self._encode(rows, scales, self.rounding)

    def compared(self, rows: _Rows, scales: _Codes) -> _Codes:
        """Return the element codes by which scales are compared.

        Under ``stochastic`` they are those of ``nearest_even``: a choice by the errors of a draw would
        favour some draws, and the elements would no longer be right on average.
        """
        return self._encode(rows, scales, "nearest_even" if self.rounding == "stochastic" else self.rounding)

    def encode_drawn(
        self, rows: _Rows, scales: _Codes, random: npt.NDArray[np.integer], random_bits: int
    ) -> _Codes:
        """Return the element codes of `rows`, each rounded by its own random bits: `Format.encode_drawn`."""
        quotients = self._quotients(rows, self._wide_divisors(scales))
        return self._without_scale(self.element.encode_drawn(quotients, random, random_bits), scales)

    def _encode(self, rows: _Rows, scales: _Codes, rounding: Rounding) -> _Codes:
        narrow = rounding == "nearest_even" and self._unscaled and self.scale.largest < 2.0**128
        quotients: npt.NDArray[np.float32] | npt.NDArray[np.float64]
        if narrow:
            quotients = self._quotients(rows, self._narrow_divisors[scales])
        else:
            quotients = self._quotients(rows, self._wide_divisors(scales))
        if rounding == "nearest_even":
            codes = self.element.encode_nearest(quotients)
        else:
            codes = self.element.encode(quotients, rounding, self.rng)
        return self._without_scale(codes, scales)

    def _quotients(self, rows: _Rows, divisors: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
        """Return `rows` divided by one divisor each, in the divisors' type."""
        spread = np.repeat(divisors, rows.shape[1]).reshape(rows.shape)
        with np.errstate(over="ignore", under="ignore"):
            return np.divide(rows, spread, out=spread)

    def _without_scale(self, codes: _Codes, scales: _Codes) -> _Codes:
        """Return element codes, those under a scale of zero replaced by 0."""
        if self.scale.zero_code is not None:
            zero = scales == self.scale.zero_code
            if zero.any():
                codes[zero] = 0
        return codes

    @cached_property
    def factors(self) -> npt.NDArray[np.float64]:
        """What an element of value 1 is worth under each finite scale code, ascending; for one g."""
        return self.scale.values[: self.scale.largest_code + 1] * self.tensor_scale

    def _wide_divisors(self, scales: _Codes) -> npt.NDArray[np.float64]:
        # S * g has at most 30 bits.
        return self._divisors[scales] * self.tensor_scale

    @cached_property
    def _divisors(self) -> npt.NDArray[np.float64]:
        # A division by infinity gives a zero; its sign is taken away afterwards.
        scales = self.scale.values[: self.scale.largest_code + 1]
        return np.where(scales == 0, np.inf, scales)

    @cached_property
    def _narrow_divisors(self) -> npt.NDArray[np.float32]:
        return self._divisors.astype(np.float32)


@dataclass(frozen=True)
class _Errors:
    """K of some rows under one scale each, and how far off it may be."""

    values: npt.NDArray[np.float64]
    slack: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rule: ScaleRule, rows: _Rows, scales: _Codes) -> "_Errors":
        elements = rule.element.values[rule.compared(rows, scales)]
        squares = np.einsum("rn,rn->r", elements, elements)
        products = np.einsum("rn,rn->r", rows, elements)
        scale = rule.scale.values[scales]
        squares *= scale * rule.tensor_scale
        slack = scale * (squares + 2 * products) * ((rows.shape[1] + 8) * 2.0**-52)
        return cls(scale * (squares - 2 * products), slack)


def _signs(
    rule: ScaleRule, rows: _Rows, first: tuple[_Codes, _Errors], second: tuple[_Codes, _Errors]
) -> npt.NDArray[np.int8]:
    """Return for each row the sign of the first error less the second, exactly."""
    difference = first[1].values - second[1].values
    signs = np.sign(difference).astype(np.int8)
    doubtful = np.abs(difference) <= first[1].slack + second[1].slack
    doubtful &= first[0] != second[0]
    signs[first[0] == second[0]] = 0
    here = np.flatnonzero(doubtful)
    if here.size:
        x = rows[here].astype(np.float64)
        rule = rule.of_rows(here)
        terms = []
        for sign, (codes, _) in ((1.0, first), (-1.0, second)):
            elements = rule.element.values[rule.compared(rows[here], codes[here])]
            scale = rule.scale.values[codes[here]] * sign
            squared = np.abs(scale) * scale * rule.tensor_scale
            terms += [squared[:, np.newaxis] * elements**2, -2 * scale[:, np.newaxis] * x * elements]
        signs[here] = sign_of_sums(np.concatenate(terms, axis=1))
    return signs


def _absmax(rule: ScaleRule, blocks: Blocks) -> _Codes:
    return rule.round_scales(blocks.largest, rule.element.largest)


def _prevent_zero(rule: ScaleRule, blocks: Blocks) -> _Codes:
    codes = _absmax(rule, blocks)
    return np.where(blocks.largest > 0, np.maximum(codes, codes.dtype.type(rule.scale.smallest_code)), codes)


def _four_over_six(rule: ScaleRule, blocks: Blocks) -> _Codes:
    rows = blocks.rows
    six, four = (rule.round_scales(blocks.largest, top) for top in (6.0, 4.0))
    of_six, of_four = _Errors.of(rule, rows, six), _Errors.of(rule, rows, four)
    return np.where(_signs(rule, rows, (four, of_four), (six, of_six)) < 0, four, six)


def _search(rule: ScaleRule, blocks: Blocks) -> _Codes:
    """Return the scales of least error; equal ones give the smallest code.

    Only some codes of a row are tried, downwards from the first; the others cannot be the answer:

    - A scale S above, of which half is a scale too. The elements' grid under S, as far as it does not
      exceed the grid under S/2, is a part of it, so S/2 errs at most as much where no element is nearer to
      the first point beyond (7 S/2 for e2m1), and it has the smaller code.
    - A scale above under which all elements become zero, as they do under the scale zero.
    - A scale below whose largest value falls short of the block's by more than the root of the least error
      found: that element's error alone is larger. The same then holds for every scale further below.
    """
    factors, fmt = rule.factors, rule.element
    points = np.abs(fmt.values[: fmt.largest_code + 1])
    doubled = 2 * points
    reach = (doubled[doubled <= fmt.largest].max() + doubled[doubled > fmt.largest].min()) / 2
    rows, amax = blocks.rows, blocks.largest.astype(np.float64)
    # Products of a scale, a tensor scale and `reach` have at most 38 bits: every comparison is exact.
    first = np.searchsorted(factors * (reach / 2), amax) - 1
    halves = np.isin(rule.scale.values / 2, rule.scale.values[: rule.scale.largest_code + 1])
    whole = np.flatnonzero(~halves[: rule.scale.largest_code + 1])
    lacking = int(whole.max(initial=-1))  # the topmost code without a half
    if rule.scale.zero_code is not None:
        # Only codes without a half need be looked at on their own.
        alive = np.searchsorted(factors * (fmt.smallest / 2), amax) - 1
        first = np.maximum(first, np.minimum(alive, lacking))
    else:
        first = np.maximum(first, lacking)
    # Two's complement reaches further below zero.
    top = float(np.nanmax(np.abs(np.where(np.isinf(fmt.values), 0.0, fmt.values))))
    energy = np.einsum("rn,rn->r", rows, rows, dtype=np.float64)
    # Neither part of g * K exceeds 8 * energy, as no error exceeds the energy: more than all slack.
    margin = 1 + (rows.shape[1] + 8) * 2.0**-48

    best = np.maximum(first, 0).astype(rule.scale.dtype)
    least = _Errors.of(rule, rows, best)
    here = np.arange(len(rows))
    code = best.astype(np.int64)
    while True:
        code = code - 1
        bound = energy[here] * margin + rule.tensor_scale * least.values[here]
        short = amax[here] - top * factors[np.maximum(code, 0)]
        keep = (code >= 0) & ((short <= 0) | (short * short <= bound * margin))
        here, code = here[keep], code[keep]
        if not here.size:
            return best
        tried, some = code.astype(best.dtype), rows[here]
        errors = _Errors.of(rule, some, tried)
        known = _Errors(least.values[here], least.slack[here])
        better = _signs(rule, some, (tried, errors), (best[here], known)) <= 0
        best[here[better]] = tried[better]
        least.values[here[better]] = errors.values[better]
        least.slack[here[better]] = errors.slack[better]


def _power_of_two(
    rule: ScaleRule, exponents: npt.NDArray[np.integer], largest: npt.NDArray[np.float32]
) -> _Codes:
    """Return ue8m0 codes of 2 to these powers, as near as there are; that of the smallest for zeros."""
    codes = np.clip(exponents + rule.scale.bias, 0, rule.scale.largest_code)
    return np.where(largest > 0, codes, 0).astype(rule.scale.dtype)


def _floor(rule: ScaleRule, blocks: Blocks) -> _Codes:
    # frexp's fractions lie in [1/2, 1).
    _, exponents = np.frexp(blocks.largest.astype(np.float64) / rule.tensor_scale)
    return _power_of_two(rule, exponents - int(np.frexp(rule.element.largest)[1]), blocks.largest)


def _even(rule: ScaleRule, blocks: Blocks) -> _Codes:
    # A significand of p bits begins the next power of two where it rounds up to it: from 2 - 2**-p on.
    fractions, exponents = np.frexp(blocks.largest.astype(np.float64) / rule.tensor_scale)
    rounded = exponents + (fractions >= 1 - 0.5 ** (rule.element.significand_bits + 1))
    return _power_of_two(rule, rounded - int(np.frexp(rule.element.largest)[1]), blocks.largest)


def _ceil(rule: ScaleRule, blocks: Blocks) -> _Codes:
    quotients = blocks.largest.astype(np.float64) / (rule.tensor_scale * rule.element.largest)
    fractions, exponents = np.frexp(quotients)
    return _power_of_two(rule, exponents - (fractions == 0.5), blocks.largest)


POWER_OF_TWO_METHODS: Final = ("floor", "even", "ceil")
"""Methods that choose an exponent, for scales that are powers of two only."""

STAIRCASES: Final = ("absmax", "prevent_zero", *POWER_OF_TWO_METHODS)
"""Methods by which a block's scale depends on its largest magnitude alone, and never falls as that grows."""

SELECTIONS: Final[dict[Method, Callable[[ScaleRule, Blocks], _Codes]]] = {
    "absmax": _absmax,
    "prevent_zero": _prevent_zero,
    "four_over_six": _four_over_six,
    "search": _search,
    "floor": _floor,
    "even": _even,
    "ceil": _ceil,
}
"""By name, what gives the scale codes of some blocks."""
