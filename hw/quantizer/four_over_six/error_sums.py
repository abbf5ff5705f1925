"""The third step: sums of squared elements, and of magnitudes times elements, under both scales."""

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Value

from ...leaves.bits import repeat, wire
from ...leaves.comparison import any_of
from ...leaves.compressor import Columns
from ...step_delays import StepDelay
from ...steps.records import Step
from ..form import QuantizerForm
from .records import Candidates, ErrorSums
from .sums import total
from .widths import MAGNITUDES, binades

__all__ = ["ErrorSumsStep"]

_LATE = 20
"""When the sum of a tree arrives that is put into another, see `Columns`."""


class ErrorSumsStep(Step[Candidates, ErrorSums]):
    """Sum squared elements, and magnitudes times elements, under both scales.

    With X a magnitude moved up by the exponent of its element under S4, that element times the magnitude is
    X, or X and half of X. The element under S6 times the magnitude is X, 3/2, 2 or 3 times X: X, and half,
    once or twice X. So X is summed once for both scales, and each has one more row a lane.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        lanes = form.spec.block_size
        bits = form.input.mantissa_bits + binades(form) + 4 + lanes.bit_length()
        super().__init__(
            "error_sums",
            StepDelay(40 if form.fast else 80, hidden=5),
            7 * lanes + 2 * (bits + 8 + lanes.bit_length()),
        )

    def build(self, m: Module, platform: object, before: Candidates) -> ErrorSums:
        squares = (
            self._squares(m, platform, before.six.element, "six"),
            self._squares(m, platform, before.four.element, "four"),
        )
        kept = replace(before, place=())
        return ErrorSums(kept, squares, self._products(m, platform, before))

    def _squares(self, m: Module, platform: object, elements: tuple[Value, ...], name: str) -> Value:
        largest = MAGNITUDES[-1] ** 2
        columns = self._columns((len(elements) * largest).bit_length(), f"squares_{name}")
        for k, element in enumerate(elements):
            at = [wire(m, element == code, f"of_{name}_{k}_is_{code}") for code in range(8)]
            for i in range(largest.bit_length()):
                ones = [one for one, value in zip(at, MAGNITUDES, strict=True) if value**2 >> i & 1]
                if ones:
                    columns.put(i, wire(m, any_of(ones), f"of_{name}_{k}_square_{i}"))
        return total(m, platform, self.form, columns)

    def _products(self, m: Module, platform: object, before: Candidates) -> tuple[Value, Value]:
        form = self.form
        most = form.spec.block_size * MAGNITUDES[-1] << form.input.mantissa_bits + binades(form)
        width = most.bit_length()
        common = self._columns(width, "common")
        under = (self._columns(width, "products_six"), self._columns(width, "products_four"))
        for k, (six, four, place) in enumerate(
            zip(before.six.element, before.four.element, before.place, strict=True)
        ):
            some = wire(m, four.any(), f"some_{k}")
            and_half = wire(m, four[0] & four[1:].any(), f"and_half_{k}")
            larger = wire(m, six[1] ^ four[1], f"larger_{k}")
            threefold = wire(m, six[0] & six[1:].any(), f"threefold_{k}")
            half = wire(m, threefold & ~larger, f"half_{k}")
            twice = wire(m, threefold & larger, f"twice_{k}")
            once = wire(m, (larger & ~threefold) | (six[0] & ~some), f"once_{k}")
            # Where half of X is added, X is even: the element's exponent is not the least.
            bits = len(place)
            more = wire(
                m,
                (place[1:] & repeat(half, bits - 1))
                | (place & repeat(once, bits))
                | Cat(Const(0, 1), place & repeat(twice, bits)),
                f"more_{k}",
            )
            common.put_all(0, place & repeat(some, bits))
            under[0].put_all(0, more)
            under[1].put_all(0, place[1:] & repeat(and_half, bits - 1))
        rows = common.carry_save(m) if form.fast else (common.total(m, "ripple"),)
        for i, row in enumerate(rows):
            named = wire(m, row, f"common_row_{i}")
            for columns in under:
                columns.put_all(0, named, _LATE)
        return total(m, platform, form, under[0]), total(m, platform, form, under[1])

    def _columns(self, width: int, name: str) -> Columns:
        return Columns(width, name=name, order=self.form.order, balanced=self.form.fast)
