"""The last step: the scale under which the squared errors are fewer, and the block under it."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from ...leaves.bits import repeat, wire
from ...leaves.compressor import Columns
from ...step_delays import StepDelay
from ...steps.records import Step
from ..form import QuantizerForm
from ..records import ChosenScale, QuantizedBlock
from .records import ErrorSums
from .sums import take_away, total
from .widths import binades

__all__ = ["ChooseScaleStep", "ChooseStep"]


class ChooseStep(Step[ErrorSums, QuantizedBlock]):
    """Compare the two sums of squared errors, and let one block through.

    The magnitudes' unit is the last bit of a significand in the binade of S6 / 4. With f and m bits of the
    input's and the scale's mantissas, a scale is ``significand * 2**(f + 2 - m)`` of it. With elements in
    halves, what a block's sum of squares is more than that of its errors, divided by that power of two, is
    ``significand * (products - significand * 2**(f - m) * squares)``. It is not below zero, as no element is
    further from its magnitude than zero is, and not above the sum of squares divided by that power of two.

    With a tensor scale the inner significand is that of the product, of more bits than the input's may have:
    both sides are counted in so much smaller units. The outer one is the scale's own: what is left out is the
    tensor scale on both sides.
    """

    def __init__(self, form: QuantizerForm) -> None:
        self.form = form
        super().__init__(
            "choose",
            StepDelay(40, hidden=3),
            form.spec.block_size * form.spec.element_format.bits + form.scale.bits,
        )

    def build(self, m: Module, platform: object, before: ErrorSums) -> QuantizedBlock:
        scale, candidates = self.form.scale, before.candidates
        six, four = candidates.six, candidates.four
        takes_four, chosen = self.choice(m, platform, before)
        live = ~candidates.nan if scale.zero_code is None else ~candidates.nan & chosen.any()
        live = wire(m, live, "live")
        codes: list[Value] = []
        for k, (of_six, of_four) in enumerate(zip(six.element, four.element, strict=True)):
            codes += [Mux(takes_four, of_four, of_six) & repeat(live, 3), candidates.negative[k] & live]
        return QuantizedBlock(Cat(*codes), chosen | repeat(candidates.nan, scale.bits))

    def choice(self, m: Module, platform: object, before: ErrorSums) -> tuple[Value, Value]:
        """Return whether S4 is taken, and the code of the scale that is."""
        form, scale, candidates = self.form, self.form.scale, before.candidates
        six, four = candidates.six, candidates.four
        factors = [one.significand if one.product is None else one.product for one in (six, four)]
        of_six = self._saved(m, platform, factors[0], *before.sums_of(0), "six")
        squares, products = before.sums_of(1)
        # In the next binade S4 is twice what its significand says, as a factor of the squares and at the end.
        squares = self._doubled(m, candidates.doubled, squares, "four_squares")
        of_four = self._saved(m, platform, factors[1], squares, products, "four")
        doubled = candidates.doubled if candidates.doubled_alone is None else candidates.doubled_alone
        of_four = self._doubled(m, doubled, of_four, "four_saved_doubled")
        mantissas = form.input.mantissa_bits + scale.mantissa_bits
        most = form.spec.block_size << mantissas + 2 * binades(form) - 2
        if form.spec.tensor_scale:
            # The scale's own significand is up to twice what it would be without the tensor scale's.
            most <<= form.saved_places + 1
        columns = Columns(most.bit_length() + 1, name="difference", order=form.order, balanced=form.fast)
        for i, bit in enumerate(six.significand):
            columns.put_all(i, of_six & repeat(bit, len(of_six)))
        for i, bit in enumerate(four.significand):
            take_away(columns, i, of_four & repeat(bit, len(of_four)))
        takes_four = total(m, platform, form, columns)[-1]
        if scale.zero_code is not None:
            takes_four = takes_four | ~six.scale.any()
        takes_four = wire(m, takes_four, "takes_four")
        return takes_four, wire(m, Mux(takes_four, four.scale, six.scale), "chosen_scale")

    def _saved(
        self, m: Module, platform: object, significand: Value, squares: Value, products: Value, name: str
    ) -> Value:
        """Return ``products - significand * 2**(f - m) * squares``, as a whole number."""
        form = self.form
        shift = max(0, form.input.mantissa_bits - form.multiple_bits)
        products = Cat(Const(0, form.saved_places), products)
        columns = Columns(len(products), name=f"saved_{name}", order=form.order, balanced=form.fast)
        columns.put_all(0, products)
        for i, bit in enumerate(significand):
            row: Value = squares & repeat(bit, len(squares))
            if form.spec.tensor_scale:
                # As a signal: a bit of it is walked as the whole of it.
                row = wire(m, row, f"squares_{name}_{i}")
            take_away(columns, shift + i, row)
        return total(m, platform, form, columns)

    def _doubled(self, m: Module, doubled: Value, value: Value, name: str) -> Value:
        zero = Const(0, 1)
        return wire(m, Mux(doubled, Cat(zero, value), Cat(value, zero)), name)


class ChooseScaleStep(Step[ErrorSums, ChosenScale]):
    """Compare the two sums of squared errors, and let one scale through."""

    def __init__(self, form: QuantizerForm) -> None:
        self.choose = ChooseStep(form)
        super().__init__(
            "choose",
            self.choose.depth,
            form.lane_bits + form.scale.bits + 1,
        )

    def build(self, m: Module, platform: object, before: ErrorSums) -> ChosenScale:
        lanes = before.candidates.lanes
        assert lanes is not None
        return ChosenScale(lanes, before.candidates.nan, self.choose.choice(m, platform, before)[1], None)
