"""From magnitudes and midpoints to element codes: each lane aligns, compares and counts."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from ..leaves.bits import repeat, wire
from ..leaves.comparison import any_of, difference, exceeds, passes_constant
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import ELEMENT_FAR, ELEMENT_LEAST, QuantizerForm
from .records import ComparedElements, Midpoints, QuantizedBlock
from .scale_thresholds import exponent_of

__all__ = ["CompareStep", "RoundStep"]

_BINADE_BITS: int = 3
"""Binades above the least midpoint are told from 0 to 7: from 6 on, each gives the largest element."""


class CompareStep(Step[Midpoints, ComparedElements]):
    """Tell each magnitude's binade, and compare its significand with 1, 3, 5 and 7 times the scale's.

    Within its binade a magnitude meets no more than two midpoints, but which they are depends on the binade
    and on the scale; comparing with all four is smaller than choosing two. A tie with 1 or 5 times goes down,
    to the even code, and with 3 or 7 times it goes up.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes = form.spec.block_size
        width = form.input.exponent_bits
        super().__init__(
            "compare",
            StepDelay(10 if form.fast else 2 * width, hidden=2),
            lanes * (_BINADE_BITS + 6) + form.scale.bits + 4,
        )

    def build(self, m: Module, platform: object, before: Midpoints) -> ComparedElements:
        form = self.form
        binades: list[Value] = []
        inside: list[Value] = []
        beyond: list[Value] = []
        passed: list[Value] = []
        # Numbers with a sign compare as those without, once their signs are turned over.
        multiple = before.multiple
        least = multiple.least
        if form.element_depth:
            least = Cat(least[:-1], ~least[-1])
        for k, magnitude in enumerate(before.lanes.magnitude):
            field = magnitude[form.kept_bits + form.sticky :]
            exponent, whole, zero = self.normalised(m, magnitude, k)
            fraction, below = self._cut(m, magnitude, whole, k)
            binade, above = difference(m, exponent, least, 1, _BINADE_BITS, f"binade_{k}", fast=form.fast)
            binades.append(binade)
            inside.append(above & ~zero)
            if form.thresholds().saturation is not None:
                beyond.append(self._beyond(m, field, k))
            passed.append(self._passed(m, multiple.fraction, fraction, below, k))
        return ComparedElements(
            before.lanes.negative,
            before.nan,
            before.scale,
            multiple.wraps,
            tuple(binades),
            Cat(*inside),
            Cat(*beyond) if beyond else None,
            tuple(passed),
        )

    def normalised(self, m: Module, magnitude: Value, lane: int) -> tuple[Value, Value, Value]:
        """Return a magnitude's exponent, all kept bits behind its leading one, and whether it is zero.

        The exponent is that of the field. Where subnormals may become more than zero it has a sign, turned
        over, so that it compares as an unsigned number does. Where the least midpoint of all is below the
        input's least number, the exponent of a zero tells nothing, and the last value does; else it is 0.
        """
        form = self.form
        depth = form.element_depth
        kept = magnitude[int(form.sticky) : form.kept_bits + form.sticky]
        field = magnitude[form.kept_bits + form.sticky :]
        if not depth:
            return field, kept, Const(0)
        subnormal = wire(m, ~field.any(), f"subnormal_{lane}")
        # The leading one of a subnormal, at place 1 to `depth` behind the point, or further behind.
        leads = [
            wire(m, subnormal & kept[-p] & ~any_of(list(kept[len(kept) - p + 1 :])), f"leads_{lane}_{p}")
            for p in range(1, depth + 1)
        ]
        far = wire(m, subnormal & ~any_of(list(kept[len(kept) - depth :])), f"far_{lane}")
        low: list[Value] = []
        for i in range(len(field)):
            ones = [lead for p, lead in enumerate(leads, start=1) if (1 - p) >> i & 1]
            low.append(field[i] | any_of([*ones, *([far] if -depth >> i & 1 else [])]))
        sign = any_of([*leads[1:], far])
        exponent = wire(m, Cat(*low, ~sign), f"exponent_{lane}")
        moved = kept & repeat(~subnormal, len(kept))
        for p, lead in enumerate(leads, start=1):
            moved = moved | (Cat(Const(0, p), kept[: len(kept) - p]) & repeat(lead, len(kept)))
        zero = far if depth == form.input.mantissa_bits else Const(0)
        return exponent, wire(m, moved, f"moved_{lane}"), zero

    def _cut(self, m: Module, magnitude: Value, whole: Value, lane: int) -> tuple[Value, Value]:
        """Return the bits behind a leading one that are compared, and whether any is set below them."""
        form = self.form
        wanted = form.fraction_bits
        surplus, short = max(0, len(whole) - wanted), max(0, wanted - len(whole))
        sticky = magnitude[0] if form.sticky else Const(0)
        below = wire(m, whole[:surplus].any() | sticky, f"below_{lane}") if surplus else sticky
        return Cat(Const(0, short), whole[surplus:]), below

    def _beyond(self, m: Module, field: Value, lane: int) -> Value:
        """Return whether a magnitude is the largest element whatever the scale is.

        It is so from the fourth binade above the largest scale on. Only if that is the scale there is such a
        magnitude, and of those below, the binade above the least midpoint is told right.
        """
        form = self.form
        largest = exponent_of(form.scale.largest) + form.input.bias
        low, high = largest + ELEMENT_FAR, largest + ELEMENT_LEAST + (1 << _BINADE_BITS)
        # Any of these will do: the one that ends in most zeros takes fewest gates.
        at = max(range(low, high + 1), key=lambda value: value & -value)
        return passes_constant(m, field, at, 1, f"beyond_{lane}")

    def _passed(
        self, m: Module, fractions: tuple[Value, ...] | None, fraction: Value, below: Value, lane: int
    ) -> Value:
        """Return how a significand compares with 1, 3, 5 and 7 times that of the scale."""
        width = len(fraction)
        results: list[Value] = []
        for k, factor in enumerate((1, 3, 5, 7)):
            equal = below if factor in (1, 5) else 1
            name = f"passed_{lane}_{factor}"
            if fractions is None:
                # The significand is 1: its multiples begin with two bits behind the point at most.
                at = {1: 0, 3: 4, 5: 2, 7: 6}[factor] << width - 3
                results.append(passes_constant(m, fraction, at, equal, name))
            else:
                against = Cat(Const(0, width - len(fractions[k])), fractions[k])
                results.append(exceeds(m, fraction, against, equal, name, fast=self.form.fast))
        return Cat(*results)


class RoundStep(Step[ComparedElements, QuantizedBlock]):
    """Count the midpoints that each magnitude has passed: that is its code."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "round",
            StepDelay(8, hidden=2),
            form.spec.block_size * form.spec.element_format.bits + form.scale.bits,
        )

    def build(self, m: Module, platform: object, before: ComparedElements) -> QuantizedBlock:
        scale = self.form.scale
        void = before.nan if scale.zero_code is None else before.nan | ~before.scale.any()
        live = wire(m, ~void, "live")
        codes: list[Value] = []
        for k, magnitude in enumerate(self.magnitudes(m, before, live)):
            codes += [magnitude, before.negative[k] & live]
        # The scale's NaN is all ones.
        return QuantizedBlock(Cat(*codes), before.scale | repeat(before.nan, scale.bits))

    def magnitudes(self, m: Module, before: ComparedElements, live: Value) -> list[Value]:
        """Return the code of each element's magnitude, 0 where they are not `live`."""
        found: list[Value] = []
        for k in range(self.form.spec.block_size):
            magnitude = self._count(m, before.binade[k], before.passed[k], before.wraps, k)
            if before.beyond is not None:
                magnitude = magnitude | repeat(before.beyond[k], 3)
            found.append(wire(m, magnitude & repeat(before.inside[k] & live, 3), f"element_{k}"))
        return found

    def _count(
        self,
        m: Module,
        binade: Value,
        passed: Value,
        wraps: Value | None,
        lane: int,
    ) -> Value:
        """Return how many midpoints a magnitude has passed, from 0 to 7, where it is inside and not beyond.

        A midpoint's binade above the least one is 0 for 1/4; 1 for 3/4, 2 for 5/4, 2 for 7/4, 3 for 5/2, 3
        for 7/2 and 4 for 5, and one more where the scale's significand makes its own wrap.
        """
        at = [wire(m, binade == j, f"at_{lane}_{j}") for j in range(6)]
        over = [Const(1), *(passes_constant(m, binade, j, 1, f"over_{lane}_{j}") for j in range(1, 7))]

        def reaches(j: int, significand: Value, wrap: Value | None) -> Value:
            plain = over[j + 1] | (at[j] & significand)
            return plain if wrap is None else Mux(wrap, over[j + 2] | (at[j + 1] & significand), plain)

        by_one, by_three, by_five, by_seven = passed
        three, five, seven = (None, None, None) if wraps is None else wraps
        midpoints = [
            reaches(0, by_one, None),
            reaches(1, by_three, three),
            reaches(2, by_five, five),
            reaches(2, by_seven, seven),
            reaches(3, by_five, five),
            reaches(3, by_seven, seven),
            reaches(4, by_five, five),
        ]
        reached = [wire(m, one, f"reached_{lane}_{k}") for k, one in enumerate(midpoints)]
        code = Cat(
            (reached[0] & ~reached[1]) | (reached[2] & ~reached[3]) | (reached[4] & ~reached[5]) | reached[6],
            (reached[1] & ~reached[3]) | reached[5],
            reached[3],
        )
        return wire(m, code, f"count_{lane}")
