"""From a result of binary32 to that times a tensor scale: a multiplier of binary32, step by step."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Value

from ...model.accumulate import ACCUMULATIONS
from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.binary32_product import FIELD_BITS, NormaliseProduct, ReadFactor
from ..leaves.bits import wire
from ..leaves.compressor import FinalAdder
from ..leaves.multiply import PartialProducts
from ..leaves.round import BIAS, FRACTION_BITS, Round
from ..step_delays import StepDelay
from .form import DatapathForm, DatapathPlan
from .records import Factor, Record, Result, Scaling, Step

__all__ = ["read_factor", "tensor_scaled"]


def read_factor(m: Module, platform: object, g: Value) -> Factor:
    """Return what the multiplier takes of g: made at the input, where there is time for it."""
    reader = ReadFactor(subnormal=True, infinite=True)
    add_submodule(m, platform, "read_g", reader)
    m.d.comb += reader.number.eq(g)
    return Factor(reader.negative, reader.exponent, reader.significand, reader.nan, reader.infinite)


@dataclass(frozen=True)
class ScaledSpecial(Record):
    """What of a product is known before it is there.

    Attributes:
        negative: Its sign.
        exponent: Its biased exponent, if the significands' product is below 2.
        nan: It is NaN.
        infinite: A factor is infinite.
    """

    negative: Value
    exponent: Value
    nan: Value
    infinite: Value


@dataclass(frozen=True)
class Factors(Record):
    """Two numbers that are to be multiplied: their significands, that of the result first."""

    known: ScaledSpecial
    significand: tuple[Value, Value]


@dataclass(frozen=True)
class SavedProducts(Record):
    """Two numbers whose sum is the product of the significands."""

    known: ScaledSpecial
    save: Value
    carry: Value


@dataclass(frozen=True)
class TensorScaledProduct(Record):
    """The product of the significands."""

    known: ScaledSpecial
    product: Value


@dataclass(frozen=True)
class PlacedProduct(Record):
    """The product at the position that binary32 gives it; see `NormaliseProduct`."""

    negative: Value
    fraction: Value
    field: Value
    nan: Value
    infinite: Value


@dataclass(frozen=True)
class UnscaledResults:
    """The results that can occur before they are multiplied, and so what need not be built.

    Attributes:
        significand_bits: Width of their significands: further bits of their fractions are zero.
        subnormal: Whether one can be subnormal. All are multiples of a group's quantum: a rounding to
            binary32, or a cut, gives multiples of a larger power of two, or of the same. So one that is not
            zero is normal wherever the quantum is.
        infinite: Whether one can be infinite: an exact value only where the formats reach so far.
    """

    significand_bits: int
    subnormal: bool
    infinite: bool

    @classmethod
    def of(cls, form: DatapathForm, plan: DatapathPlan) -> "UnscaledResults":
        """Return those of a datapath."""
        spec, numbers = form.spec, plan.numbers
        exact = ACCUMULATIONS[spec.accumulate].exact
        subnormal = spec.quantum_exponent < 1 - BIAS
        bits = numbers.magnitude_bits if exact and not subnormal else FRACTION_BITS + 1
        infinite = not exact or numbers.overflow or form.infinite_possible
        return cls(min(bits, FRACTION_BITS + 1), subnormal, infinite)

    @property
    def product_bits(self) -> int:
        """Width of a significand's product with that of g."""
        return self.significand_bits + FRACTION_BITS + 1


_KNOWN_BITS = FIELD_BITS + 3


class ReadResultStep(Step[Scaling, Factors]):
    """Take a result apart, and add its exponent to that of g."""

    multiplies = True

    def __init__(self, results: UnscaledResults) -> None:
        self.results = results
        shift = 20 if results.subnormal else 0
        bits = _KNOWN_BITS + results.significand_bits + FRACTION_BITS + 1
        super().__init__("tensor_read", StepDelay(14 + shift, hidden=2), bits)

    def build(self, m: Module, platform: object, before: Scaling) -> Factors:
        results, g = self.results, before.g
        reader = ReadFactor(subnormal=results.subnormal, infinite=results.infinite)
        add_submodule(m, platform, "read_result", reader)
        m.d.comb += reader.number.eq(before.unscaled.result)
        nan = reader.nan | g.nan | (g.infinite & reader.zero)
        infinite: Value = g.infinite
        if results.infinite:
            nan = nan | (reader.infinite & ~g.significand[-1])
            infinite = infinite | reader.infinite
        exponent = wire(m, (reader.exponent + g.exponent - BIAS)[:FIELD_BITS], "product_exponent")
        known = ScaledSpecial(
            reader.negative ^ g.negative, exponent.as_signed(), wire(m, nan, "any_nan"), infinite
        )
        lowest = FRACTION_BITS + 1 - results.significand_bits
        return Factors(known, (reader.significand[lowest:], g.significand))


class PartialProductsStep(Step[Factors, SavedProducts]):
    """Multiply the significands, until two numbers are left."""

    def __init__(self, form: DatapathForm, results: UnscaledResults) -> None:
        self.form = form
        self.results = results
        # A row for each bit of the result, of which none is inverted on its way; or digits of g, told first.
        rows = results.significand_bits if form.fast else FRACTION_BITS // 2 + 2
        delay = StepDelay(4.4 * math.log(rows, 1.5) + (-6 if form.fast else 14), hidden=10)
        super().__init__("tensor_compress", delay, _KNOWN_BITS + 2 * results.product_bits)

    def build(self, m: Module, platform: object, before: Factors) -> SavedProducts:
        tree = PartialProducts(
            a_bits=self.results.significand_bits,
            b_bits=FRACTION_BITS + 1,
            balanced=self.form.fast,
            order=self.form.order,
        )
        add_submodule(m, platform, "tensor_tree", tree)
        a, b = before.significand
        m.d.comb += [tree.a.eq(a), tree.b.eq(b)]
        return SavedProducts(before.known, tree.save, tree.carry)


class AddProductStep(Step[SavedProducts, TensorScaledProduct]):
    """Add the two numbers that the tree leaves."""

    def __init__(self, form: DatapathForm, results: UnscaledResults) -> None:
        self.form = form
        self.width = results.product_bits
        delay = step_delays.add(self.width, fast=form.fast, absolute=False)
        super().__init__("tensor_add", delay, _KNOWN_BITS + self.width)

    def build(self, m: Module, platform: object, before: SavedProducts) -> TensorScaledProduct:
        adder = FinalAdder(width=self.width, adder=self.form.adder)
        add_submodule(m, platform, "tensor_add", adder)
        m.d.comb += [adder.save.eq(before.save), adder.carry.eq(before.carry)]
        return TensorScaledProduct(before.known, adder.total)


class NormaliseProductStep(Step[TensorScaledProduct, PlacedProduct]):
    """Bring the product to the position that binary32 gives it."""

    def __init__(self, form: DatapathForm, results: UnscaledResults) -> None:
        self.width = results.product_bits
        # Most of it waits for no carry: where that ripples, the product's first bits are there long before.
        delay = StepDelay(21, hidden=9 if form.fast else 18)
        super().__init__("tensor_normalise", delay, FRACTION_BITS + 2 + FIELD_BITS - 1 + 3)

    def build(self, m: Module, platform: object, before: TensorScaledProduct) -> PlacedProduct:
        normalise = NormaliseProduct(self.width)
        add_submodule(m, platform, "tensor_normalise", normalise)
        known = before.known
        m.d.comb += [normalise.product.eq(before.product), normalise.exponent.eq(known.exponent)]
        return PlacedProduct(known.negative, normalise.fraction, normalise.field, known.nan, known.infinite)


class RoundProductStep(Step[PlacedProduct, Result]):
    """Round the product, and pack it."""

    def __init__(self) -> None:
        super().__init__("tensor_round", step_delays.round_(rounds=True, special=True), 32)

    def build(self, m: Module, platform: object, before: PlacedProduct) -> Result:
        rounder = Round(
            fraction_bits=len(before.fraction), field_bits=len(before.field), overflow=True, infinite=True
        )
        add_submodule(m, platform, "tensor_round", rounder)
        m.d.comb += [
            rounder.negative.eq(before.negative),
            rounder.fraction.eq(before.fraction),
            rounder.field.eq(before.field),
            # A zero keeps its sign.
            rounder.nonzero.eq(1),
            rounder.nan.eq(before.nan),
            rounder.infinite.eq(before.infinite),
        ]
        return Result(rounder.result)


def tensor_scaled(form: DatapathForm, plan: DatapathPlan) -> DatapathPlan:
    """Return a datapath with the steps behind it that multiply its results by g, where they are."""
    if not form.spec.tensor_scale:
        return plan
    results = UnscaledResults.of(form, plan)
    steps: list[Step[Any, Any]] = [
        ReadResultStep(results),
        PartialProductsStep(form, results),
        AddProductStep(form, results),
        NormaliseProductStep(form, results),
        RoundProductStep(),
    ]
    return dataclasses.replace(
        plan,
        steps=[*plan.steps, *steps],
        widths={**plan.widths, "tensor_scale_product": results.product_bits},
    )
