"""From a block's numbers to its largest magnitude."""

import random
from collections.abc import Sequence
from typing import Any, Final

from amaranth.hdl import Cat, Module, Value

from ..leaves.bits import wire
from ..leaves.comparison import any_of, largest_by_digits, largest_of_few
from ..step_delays import StepDelay
from ..steps.records import Step
from .form import G_EXPONENT_BITS, G_MANTISSA_BITS, QuantizerForm
from .records import BlockInputs, Contest, ExponentContest, Lanes, LargestMagnitude
from .tensor_scale import read_tensor_scale

__all__ = ["largest_steps", "read_magnitude", "searched_bits", "searched_magnitude"]

_FEW: Final = 4
"""Numbers compared at once where time counts: six comparisons beside each other, and one choice."""


def searched_bits(form: QuantizerForm) -> tuple[int, bool]:
    """Return how many bits of the fraction a scale depends on, and whether it depends on those below.

    ``floor`` needs the exponent, ``ceil`` whether the significand is above 1.5; the others need as much as
    their thresholds have. Where the scale of a subnormal is to be told, its leading one is searched as well.
    Under a tensor scale all of it counts.
    """
    if form.spec.tensor_scale:
        return form.input.mantissa_bits, False
    wanted = {"floor": 0, "ceil": 1}.get(form.spec.method, form.fraction_bits)
    bits = min(form.scale_depth + wanted, form.input.mantissa_bits)
    return bits, form.spec.method != "floor" and bits < form.input.mantissa_bits


def searched_magnitude(form: QuantizerForm, magnitude: Value) -> Value:
    """Return as much of a magnitude as the scale depends on."""
    bits, sticky = searched_bits(form)
    dropped = form.kept_bits - bits + form.sticky
    return Cat(magnitude[:dropped].any(), magnitude[dropped:]) if sticky else magnitude[dropped:]


def read_magnitude(form: QuantizerForm, code: Value) -> Value:
    """Return the magnitude of a number, see `Lanes`."""
    below = form.input.mantissa_bits - form.kept_bits
    kept = code[below:-1]
    return Cat(code[:below].any(), kept) if form.sticky else kept


class ReadStep(Step[BlockInputs, Lanes]):
    """Take the numbers apart."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        below = form.input.mantissa_bits - form.kept_bits
        super().__init__(
            "read",
            StepDelay(2 + below.bit_length(), hidden=1, beside=25 if form.spec.tensor_scale else 0),
            form.lane_bits + form.spec.tensor_scale * (G_EXPONENT_BITS + G_MANTISSA_BITS),
        )

    def build(self, m: Module, platform: object, before: BlockInputs) -> Lanes:
        form = self.form
        codes = [before.x.word_select(k, form.input.bits) for k in range(form.spec.block_size)]
        magnitude = [wire(m, read_magnitude(form, code), f"magnitude_{k}") for k, code in enumerate(codes)]
        negative = [code[-1] for code in codes]
        g = None if before.g is None else read_tensor_scale(m, before.g)
        return Lanes(Cat(*negative), tuple(magnitude), before.random, g)


class LargestExponentStep(Step[Lanes, ExponentContest]):
    """Find the largest exponent, and who has it."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes, digits = form.spec.block_size, form.input.exponent_bits
        super().__init__(
            "largest_exponent",
            StepDelay(digits * (3 * lanes.bit_length())),
            lanes * (form.magnitude_bits + 2) + digits,
        )

    def build(self, m: Module, platform: object, before: Lanes) -> ExponentContest:
        exponents = [one[-self.form.input.exponent_bits :] for one in before.magnitude]
        exponent, alive = largest_by_digits(m, exponents, None, "exponent")
        return ExponentContest(before, Cat(*alive), exponent)


class LargestFractionStep(Step[ExponentContest, LargestMagnitude]):
    """Find the largest fraction of those that have the largest exponent."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        bits, sticky = searched_bits(form)
        lanes = form.spec.block_size
        super().__init__(
            "largest_fraction",
            StepDelay((bits + sticky) * (3 * lanes.bit_length())),
            form.lane_bits + form.input.exponent_bits + bits + sticky,
        )

    def build(self, m: Module, platform: object, before: ExponentContest) -> LargestMagnitude:
        form = self.form
        _, sticky = searched_bits(form)
        wanted = [
            searched_magnitude(form, one)[: -form.input.exponent_bits] for one in before.lanes.magnitude
        ]
        # What is below the fraction is no digit of the largest's own: any that equals it so far may have it.
        fractions = [one[sticky:] for one in wanted]
        fraction, alive = largest_by_digits(m, fractions, list(before.alive), "fraction")
        found = Cat(fraction, before.exponent)
        if sticky:
            found = Cat(any_of([one[0] & live for one, live in zip(wanted, alive, strict=True)]), found)
        return LargestMagnitude(before.lanes, wire(m, found, "largest"))


class ExponentAloneStep(Step[Lanes, LargestMagnitude]):
    """Find the largest exponent, where the scale depends on no more."""

    def __init__(self, form: QuantizerForm) -> None:
        self.search = LargestExponentStep(form)
        digits = form.input.exponent_bits
        super().__init__(self.search.name, self.search.depth, form.lane_bits + digits)

    def build(self, m: Module, platform: object, before: Lanes) -> LargestMagnitude:
        found = self.search.build(m, platform, before)
        return LargestMagnitude(before, found.exponent)


class ContestStep(Step[Contest, Contest]):
    """One round of a contest: of each few the largest is left."""

    def __init__(self, form: QuantizerForm, contenders: int) -> None:
        self.form = form
        bits, sticky = searched_bits(form)
        width = form.input.exponent_bits + bits + sticky
        left = -(-contenders // _FEW)
        super().__init__(
            f"largest_of_{contenders}",
            StepDelay(2.5 * width.bit_length() + 6, hidden=1),
            form.lane_bits + left * width,
        )

    def build(self, m: Module, platform: object, before: Contest) -> Contest:
        groups = [before.contender[k : k + _FEW] for k in range(0, len(before.contender), _FEW)]
        return Contest(
            before.lanes,
            tuple(
                largest_of_few(m, group, f"of_{len(before.contender)}_{k}") for k, group in enumerate(groups)
            ),
        )


class EnterStep(Step[Lanes, Contest]):
    """Everybody enters the contest, in the order of the seed; the first round is fought."""

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        self.first = ContestStep(form, form.spec.block_size)
        super().__init__(self.first.name, self.first.depth, self.first.bits)

    def build(self, m: Module, platform: object, before: Lanes) -> Contest:
        contenders = [searched_magnitude(self.form, one) for one in before.magnitude]
        if self.form.order:
            random.Random(self.form.order).shuffle(contenders)
        return self.first.build(m, platform, Contest(before, tuple(contenders)))


class LastRoundStep(Step[Contest, LargestMagnitude]):
    """The last round of a contest."""

    def __init__(self, form: QuantizerForm, contenders: int) -> None:
        self.last = ContestStep(form, contenders)
        super().__init__(self.last.name, self.last.depth, self.last.bits)

    def build(self, m: Module, platform: object, before: Contest) -> LargestMagnitude:
        return LargestMagnitude(before.lanes, self.last.build(m, platform, before).contender[0])


class OnlyRoundStep(Step[Lanes, LargestMagnitude]):
    """A contest of one round."""

    def __init__(self, form: QuantizerForm) -> None:
        self.enter = EnterStep(form)
        super().__init__(self.enter.name, self.enter.depth, self.enter.bits)

    def build(self, m: Module, platform: object, before: Lanes) -> LargestMagnitude:
        return LargestMagnitude(before, self.enter.build(m, platform, before).contender[0])


def largest_steps(form: QuantizerForm) -> Sequence[Step[Any, Any]]:
    """Return the steps from `BlockInputs` to the `LargestMagnitude`.

    In the small form its digits are told one after the other, for all lanes at once; in the fast form the
    lanes meet in rounds.
    """
    read = ReadStep(form)
    if not form.fast:
        if not any(searched_bits(form)):
            return (read, ExponentAloneStep(form))
        return (read, LargestExponentStep(form), LargestFractionStep(form))
    left = form.spec.block_size
    if left <= _FEW:
        return (read, OnlyRoundStep(form))
    steps: list[Step[Any, Any]] = [read, EnterStep(form)]
    left = -(-left // _FEW)
    while left > _FEW:
        steps.append(ContestStep(form, left))
        left = -(-left // _FEW)
    return (*steps, LastRoundStep(form, left))
