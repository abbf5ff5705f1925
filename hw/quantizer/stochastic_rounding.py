"""Elements rounded by random bits: a magnitude and its random bits are added, and the sum is cut off.

Let x = X * 2**a be a magnitude and m * 2**e the scale, 1 <= X, m < 2, and R = 2**random_bits. In units of the
step between its neighbours (a half of the scale below 2, then 1, and 2 from 4 on) x is z steps of m: it
becomes the upper neighbour exactly if ``floor(R z) + random`` reaches the next multiple of R. Times m,
which is an integer of its last bit, that needs no division: as ``m * random`` and multiples of ``R m`` are
integers, what is below a whole number of ``R z m`` counts for nothing, and

    floor((floor(R z m) + m * random) / R)  >=  m, 2 m, 3 m or 4 m

tells how many steps the element is away from zero, from 0 to 4: z is below 4, and a random number below 1.

``z m`` is X shifted by the difference of exponents: below 2, where the step stays a half, 2 X moved to the
right by ``e - a`` places. From there on the step grows with the binade, z stays in [2, 4), and ``z m`` is
2 X, or 4 X where X < m.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from ..leaves.bits import repeat, shift_right, wire
from ..leaves.comparison import difference, exceeds
from ..leaves.compressor import Columns
from ..step_delays import StepDelay
from ..steps.records import Step
from .element_rounding import aligned_lanes, beyond_all, is_live
from .form import QuantizerForm
from .records import DitheredElements, Midpoints, QuantizedBlock
from .tensor_scale import total_of

__all__ = ["DitherStep", "RoundDitheredStep"]


class DitherStep(Step[Midpoints, DitheredElements]):
    """Bring each magnitude into units of its step, and add the scale's significand times the random bits."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        scale = form.scale
        super().__init__(
            "dither",
            StepDelay(30 if form.fast else 30 + 3 * form.spec.random_bits, hidden=2),
            form.spec.block_size * (form.multiple_bits + 9) + scale.bits + form.multiple_bits,
        )

    def build(self, m: Module, platform: object, before: Midpoints) -> DitheredElements:
        form, spec = self.form, self.form.spec
        assert before.lanes.random is not None
        fraction = None if before.multiple.fraction is None else before.multiple.fraction[0]
        least = before.multiple.least
        if form.element_depth:
            # Numbers with a sign compare as those without, once their signs are turned over.
            least = Cat(least[:-1], ~least[-1])
        steps: list[Value] = []
        doubled: list[Value] = []
        from_four: list[Value] = []
        largest: list[Value] = []
        inside: list[Value] = []
        # Without a tensor scale a constant tells what is further.
        digits = len(least) if spec.tensor_scale else form.binade_bits
        for k, lane in enumerate(aligned_lanes(m, form, before.lanes.magnitude, "drawn_")):
            above, reached = difference(
                m, lane.exponent, least, 1, digits, f"above_least_{k}", fast=form.fast
            )
            above = wire(m, above, f"distance_{k}")
            beyond_digits = above[form.binade_bits :]
            above = above[: form.binade_bits]
            inside.append(reached & ~lane.zero)
            # At 0 exponents differ by 2 - 2**shift_bits; so all ones below the top say that they differ by 1,
            # and what is above by 2 and more.
            far, low = above[-1], above[:-1]
            by_one = wire(m, ~far & low.all(), f"by_one_{k}")
            grows = wire(m, far | by_one, f"grows_{k}")
            by_two = wire(m, far & ~low.any(), f"by_two_{k}")
            by_three = wire(m, far & low[0] & ~low[1:].any(), f"by_three_{k}")
            not_less: Value = Const(1)
            if fraction is not None and len(fraction):
                # What is below the scale's last bit does not matter.
                top = lane.fraction[-len(fraction) :]
                not_less = exceeds(m, top, fraction, 1, f"not_less_{k}", fast=form.fast)
            doubled.append(far | (by_one & not_less))
            from_four.append((by_two & not_less) | (far & ~by_two))
            largest.append((by_three & not_less) | (far & ~by_two & ~by_three) | beyond_digits.any())
            distance = Cat(Mux(grows, not_less, ~low[0]), ~low[1:] & repeat(~far, len(low) - 1))
            shifted = shift_right(
                m, Cat(lane.fraction, Const(1, 1)), wire(m, distance, f"places_{k}"), f"placed_{k}_"
            )
            random = before.lanes.random.word_select(k, spec.random_bits)
            steps.append(self._dithered(m, shifted, random, fraction, k))
        beyond = None if spec.tensor_scale else beyond_all(m, form, before.lanes.magnitude)
        return DitheredElements(
            before.lanes.negative,
            before.nan,
            before.scale,
            fraction,
            tuple(steps),
            Cat(*doubled),
            Cat(*largest) if beyond is None else Cat(*largest) | beyond,
            Cat(*from_four),
            Cat(*inside),
        )

    def _dithered(self, m: Module, shifted: Value, random: Value, fraction: Value | None, lane: int) -> Value:
        """Return the whole part of a magnitude plus m times the random bits, both in units of 1 / R."""
        form = self.form
        bits = 0 if fraction is None else len(fraction)
        columns = Columns(
            bits + 4 + form.spec.random_bits - (fraction is None),
            name=f"dithered_{lane}",
            order=form.order,
            balanced=form.fast,
        )
        columns.put_all(0, shifted)
        columns.put_all(bits, random)
        for i in range(bits):
            assert fraction is not None
            row = random & repeat(fraction[i], len(random))
            columns.put_all(i, wire(m, row, f"dithered_{lane}_by_{i}"))
        total = total_of(m, form, columns)
        return wire(m, total[form.spec.random_bits :], f"steps_{lane}")


class RoundDitheredStep(Step[DitheredElements, QuantizedBlock]):
    """Tell each element's code from how many steps it is away from zero."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "round",
            StepDelay(16, hidden=2),
            form.spec.block_size * form.spec.element_format.bits + form.scale.bits,
        )

    def build(self, m: Module, platform: object, before: DitheredElements) -> QuantizedBlock:
        form, scale = self.form, self.form.scale
        live = is_live(m, scale, before.nan, before.scale)
        significand: Value = Const(1, 1) if before.fraction is None else Cat(before.fraction, Const(1, 1))
        threefold = wire(m, (significand * 3)[: len(significand) + 2], "threefold")
        # 1, 2, 3 and 4 times m.
        multiples = [significand, Cat(Const(0, 1), significand), threefold, Cat(Const(0, 2), significand)]
        codes: list[Value] = []
        for k, steps in enumerate(before.steps):
            at_least = [
                exceeds(
                    m,
                    steps,
                    Cat(multiple, Const(0, len(steps) - len(multiple))),
                    1,
                    f"at_least_{number}_{k}",
                    fast=form.fast,
                )
                for number, multiple in enumerate(multiples, start=1)
            ]
            one, two, three, four = at_least
            doubled, from_four = before.doubled[k], before.from_four[k]
            # Steps of 1/2 from 0, codes 0 to 4; of 1 from 2, codes 4, 5, 6; of 2 from 4, codes 6 and 7.
            odd = Mux(from_four, three, (three & ~four) | (one & ~two & ~doubled))
            magnitude = Cat(odd, Mux(doubled, from_four | four, two & ~four), doubled | four)
            magnitude = wire(m, magnitude | repeat(before.largest[k], 3), f"rounded_{k}")
            element = wire(m, magnitude & repeat(before.inside[k] & live, 3), f"element_{k}")
            codes += [element, before.negative[k] & live]
        # The scale's NaN is all ones.
        return QuantizedBlock(Cat(*codes), before.scale | repeat(before.nan, scale.bits))
