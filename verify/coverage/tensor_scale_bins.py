"""Bins about the tensor scale that results are multiplied by, and the sums that meet them."""

import itertools
from collections.abc import Iterator
from typing import Final

from ...model.aligned_sum import RESULTS
from ..accumulation_checks import ACCUMULATION_CHECKS
from ..integer_rounding import NAN, SIGN_BIT, number_of
from .bins import BinGroup, Hit, StimulusView
from .reach import BINARY32_BITS, INFINITY, LEAST, LEAST_NORMAL, Reachable
from .sum_bins import ResultBins, rounding_kinds
from .sum_maker import DirectedGroup, DirectedSum, SumMaker, product_factors, products_group

__all__ = ["ONE", "TensorScaleBins", "tensor_scale_sums"]

ONE: Final = 0x3F800000
"""The bits of 1."""

_KINDS: Final = [f"{sign}{kind}" for kind in ("0", "subnormal", "normal", "infinity") for sign in "+-"]
_ROUNDINGS: Final = (
    "exact",
    "below half",
    "tie to even below",
    "tie to even above",
    "above half",
    "carry into the exponent",
)
_LEAST_NORMAL_BITS: Final = 1 << BINARY32_BITS - 1


def _kind(bits: int) -> str:
    magnitude = bits & ~SIGN_BIT
    if magnitude > INFINITY:
        return "NaN"
    sign = "-" if bits & SIGN_BIT else "+"
    if not magnitude or magnitude == INFINITY:
        return f"{sign}{'infinity' if magnitude else '0'}"
    return f"{sign}{'subnormal' if magnitude < _LEAST_NORMAL_BITS else 'normal'}"


class TensorScaleBins(BinGroup):
    """What results are multiplied by, what comes of it, and how that is rounded."""

    name = "tensor scale"

    def __init__(self, reach: Reachable) -> None:
        spec = reach.spec
        # What the accumulation says of its results.
        groups = ACCUMULATION_CHECKS[spec.accumulate].bins(reach)
        results = next((group.bins for group in groups if isinstance(group, ResultBins)), {})
        infinite, small, nan = (results.get(kind, "") for kind in ("+infinity", "+subnormal", "NaN"))
        self.bins = {f"g {kind}": "" for kind in (*_KINDS, "NaN, quiet", "NaN, signaling")}
        self.bins |= {f"product {kind}": "" for kind in (*_KINDS, "NaN")}
        for normal in ("normal", "subnormal"):
            self.bins |= {f"{normal} product, {kind}": "" for kind in _ROUNDINGS}
        # Where the carry goes to: a subnormal number's may end in the least normal one.
        self.bins |= {f"product whose top bit is 2^{k}": "" for k in range(LEAST - 1, LEAST_NORMAL + 1)}
        self.bins |= {
            "significands' product below 2": "",
            "significands' product of 2 and more": "",
            "overflow": "",
            "subnormal result": small,
            "infinite result times zero": infinite,
            "infinite result times a number": infinite,
            "zero times an infinite g": "",
            "number times an infinite g": "",
            "NaN result times zero": nan,
            "NaN result times an infinite g": nan,
        }
        if spec.accumulates and spec.most_groups != 1:
            self.bins["a number where no result is asked for"] = ""

    def see(self, view: StimulusView) -> Iterator[Hit]:
        """See `BinGroup`."""
        factors = view.stimulus.g
        assert factors is not None  # a unit without a tensor scale has no such bins
        for step in view.steps:
            if step.result is None or step.scaled is None:
                yield "a number where no result is asked for", step.vector, 1
                continue
            for name in self._met(step.result.bits, int(factors[step.vector])):
                yield name, step.vector, 1
            yield f"product {_kind(step.scaled.bits)}", step.vector, 1
            product = _exact(step.result.bits, int(factors[step.vector]))
            if product:
                top = product.bit_length() - 1 + 2 * LEAST
                yield f"product whose top bit is 2^{top}", step.vector, 1
                if step.scaled.bits & ~SIGN_BIT == INFINITY:
                    yield "overflow", step.vector, 1
                size = "normal" if top >= LEAST_NORMAL else "subnormal"
                for kind in rounding_kinds(step.scaled):
                    yield f"{size} product, {kind}", step.vector, 1

    def _met(self, result: int, g: int) -> Iterator[str]:
        kinds = [_kind(result).lstrip("+-"), _kind(g).lstrip("+-")]
        fraction_bits = RESULTS["binary32"].fields.fraction_bits
        yield (
            f"g {_kind(g)}"
            if kinds[1] != "NaN"
            else (f"g NaN, {'quiet' if g >> fraction_bits - 1 & 1 else 'signaling'}")
        )
        if kinds[0] == "subnormal":
            yield "subnormal result"
        number = ("subnormal", "normal")
        if kinds[0] == "infinity":
            yield from ["infinite result times zero"] if kinds[1] == "0" else []
            yield from ["infinite result times a number"] if kinds[1] in number else []
        if kinds[1] == "infinity":
            yield from ["zero times an infinite g"] if kinds[0] == "0" else []
            yield from ["number times an infinite g"] if kinds[0] in number else []
        if result == NAN:
            yield from ["NaN result times zero"] if kinds[1] == "0" else []
            yield from ["NaN result times an infinite g"] if kinds[1] == "infinity" else []
        if kinds[0] in number and kinds[1] in number:
            sizes = [abs(number_of(bits, LEAST)) for bits in (result, g)]
            above = (sizes[0] * sizes[1]).bit_length() - sizes[0].bit_length() - sizes[1].bit_length() + 1
            yield f"significands' product {'of 2 and more' if above else 'below 2'}"


def _exact(result: int, g: int) -> int:
    """Return the magnitude of a product of two finite numbers, in units of 2^-298; 0 for any other."""
    if any(bits & ~SIGN_BIT >= INFINITY for bits in (result, g)):
        return 0
    return abs(number_of(result, LEAST) * number_of(g, LEAST))


# Significands of g that round 1, 3, 5 and 11 times it in each way, ties included.
_SIGNIFICANDS: Final = (0x800000, 0x800001, 0x800003, 0x800007, 0xAAAAAB, 0xFFFFFF)
_NUMBERS: Final = ((0,), (1, 0), (2, 0), (3, 1, 0))
# A result of so little times a subnormal g of one bit is half of the least number.
_LITTLE: Final = -24


def _infinite(make: SumMaker) -> Iterator[DirectedGroup]:
    """Yield groups that are infinite, where there are any."""
    for operand, fmt in enumerate(make.spec.elements):
        if fmt.infinity_code is not None:
            group = make.blank()
            of, against = (group.a, group.b) if operand == 0 else (group.b, group.a)
            of[0, 0], against[0, 0] = fmt.infinity_code, make.spec.elements[1 - operand].encode(1.0)
            yield group
    for sign in (1, -1):
        if (group := make.group([(make.highest, sign)])) is not None:
            yield group


def _factor(significand: int, exponent: int) -> int | None:
    """Return the bits of ``significand * 2**(exponent - 23)``, cut off below; None where there are none."""
    field = exponent + RESULTS["binary32"].fields.bias
    if field >= RESULTS["binary32"].fields.infinity_field:
        return None
    magnitude = significand >> max(1 - field, 0)
    return magnitude + (max(field - 1, 0) << BINARY32_BITS - 1) if magnitude else None


def _carried(make: SumMaker) -> Iterator[DirectedSum]:
    """Yield a sum whose normal product rounds up to a power of two, if two products' difference gives one."""
    if make.spec.element_is_wide:
        # One has all of 5 bits itself: 29 times this g is 2^28 - 1.
        a, b = (fmt.encode(number) for fmt, number in zip(make.spec.elements, (29.0, 1.0), strict=True))
        group = make.blank()
        make.multiply(group, 0, 0, (int(a), int(b)), 1)
        yield DirectedSum([group], g=_factor(0x8D3DCB, 0))
        return
    sizes = sorted(product_factors(make.spec))
    for whole, taken in itertools.combinations(reversed(sizes), 2):
        number = whole - taken
        # What is left below the 24 bits of the product, all of them ones, must be half of the last one.
        for power in range(BINARY32_BITS + number.bit_length() - 2, BINARY32_BITS + number.bit_length()):
            significand, short = divmod(1 << power, number)
            half = 1 << max(power - BINARY32_BITS, 0) >> 1
            if significand.bit_length() == BINARY32_BITS and 0 < short <= half:
                group = products_group(make, [whole], [taken] if taken else [])
                yield DirectedSum([group], g=_factor(significand, 0))
                return


def tensor_scale_sums(make: SumMaker) -> Iterator[DirectedSum]:
    """Yield sums that are multiplied by a g of each kind, and whose products round in each way."""
    middle = make.lowest + make.highest >> 1
    groups = [make.blank(), *make.nan, *_infinite(make)]
    groups += [group for sign in (1, -1) if (group := make.group([(middle, sign)])) is not None]
    magnitudes = (0, 1, 0x7FFFFF, 0x800000, ONE, INFINITY - 1, INFINITY, INFINITY + 1, 0x7FC00000)
    for group in groups:
        for magnitude in magnitudes:
            for sign in (0, SIGN_BIT):
                yield DirectedSum([group], g=magnitude | sign)
    yield from _carried(make)
    places = {make.lowest, middle, min(max(make.lowest, _LITTLE), make.highest)}
    for place, powers in itertools.product(sorted(places), _NUMBERS):
        group = make.group([(place + power, 1) for power in powers])
        # Spread over several groups where one has no room.
        parts = [group] if group else [make.group([(place + power, 1)]) for power in powers]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts) or (len(parts) > 1 and not make.spec.accumulates):
            continue
        for significand in _SIGNIFICANDS:
            # From where all of the product is lost to where all of it is there, and to the largest.
            for exponent in (*range(LEAST - 6, LEAST_NORMAL + 3), 0, 127):
                factor = _factor(significand, exponent - place - powers[0])
                if factor is not None:
                    yield DirectedSum(whole, g=factor)
