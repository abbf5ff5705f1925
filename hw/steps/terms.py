"""From a group's codes to its terms: products, their sums, and those times the significands of the scales."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from ...model import DotSpec
from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.bits import wire
from ..leaves.compressor import AbsoluteAdder, FinalAdder, SumOfProducts
from ..leaves.element import DecodedProduct, ElementProduct, is_nonzero, product_bits
from ..leaves.multiply import LeadingZeros, MagnitudeTerm, Product, SignedTerm
from ..leaves.round import BIAS
from ..leaves.scale import AlignedExponents, ScaleProduct, exponent_bits
from .form import DatapathForm
from .records import (
    AbsoluteSum,
    AbsoluteSums,
    Codes,
    Magnitudes,
    PairedMagnitudes,
    ProductRow,
    Products,
    SavedSum,
    SavedSums,
    ScaleFactors,
    Special,
    Step,
    Terms,
    Totals,
)

__all__ = ["CompressStep", "ProductStep", "TermForm", "magnitude_steps", "signed_steps"]


@dataclass(frozen=True, kw_only=True)
class TermForm:
    """What terms a group gives.

    Attributes:
        form: How the datapath is to be built.
        lanes: Elements under one term: a block's, or an equal part of them.
        aligned: A term's exponents as ``aligned`` reads them; None for the plain exponents of scales.
        bias: What those are biased by.
        apart: Whether the two scales of a block stay apart, each to be multiplied on its own.
    """

    form: DatapathForm
    lanes: int
    aligned: AlignedExponents | None = None
    bias: int = BIAS
    apart: bool = False

    @property
    def count(self) -> int:
        """How many terms a group has."""
        return self.form.spec.blocks * self.of_block

    @property
    def of_block(self) -> int:
        """How many a block has."""
        return self.form.spec.block_size // self.lanes

    @cached_property
    def alone(self) -> DotSpec:
        """The specification of blocks as long as a term: a term has its widths."""
        return replace(self.form.spec, block_size=self.lanes)

    @property
    def product_bits(self) -> int:
        """Width of a product's magnitude."""
        return product_bits(*self.form.spec.elements)

    @property
    def multiplied(self) -> bool:
        """Whether the significands of the scales are multiplied with each other first."""
        return self.form.fast and not self.apart

    @property
    def significand_bits(self) -> list[int]:
        """Widths of the significands that a sum is multiplied by, one after the other."""
        if self.multiplied:
            return [self.form.spec.scale_significand_bits]
        return [fmt.significand_bits for fmt in self.form.spec.scales]

    @property
    def exponents(self) -> int:
        """Bits of all exponents together."""
        if self.aligned is not None:
            return self.count * self.aligned.shape.width
        return self.form.spec.blocks * exponent_bits(*self.form.spec.scales)

    @property
    def scales(self) -> int:
        """Bits of all exponents and significands together."""
        return self.exponents + self.form.spec.blocks * sum(self.significand_bits)

    @property
    def widths(self) -> dict[str, int]:
        """Widths inside, in bits."""
        spec, aligned = self.form.spec, self.aligned
        return {
            "product_magnitude": self.product_bits,
            "sum": self.alone.sum_bits,
            "scale_significand": spec.scale_significand_bits,
            "scale_exponent": exponent_bits(*spec.scales) if aligned is None else aligned.shape.width,
            "term": self.alone.term_bits,
        }

    def significands(self, scale: tuple[ScaleFactors, ...]) -> list[tuple[Value, ...]]:
        """Return the significands that each term is multiplied by."""
        return [scale[t // self.of_block].significand for t in range(self.count)]


class ProductStep(Step[Codes, Products]):
    """Multiply elements, and read scales."""

    def __init__(self, terms: TermForm) -> None:
        self.terms = terms
        spec, fast = terms.form.spec, terms.form.fast
        super().__init__(
            "product",
            step_delays.product(
                max(fmt.significand_bits for fmt in spec.elements),
                max(fmt.significand_bits for fmt in spec.scales) if fast else 1,
            ),
            terms.count * terms.lanes * (terms.product_bits + 1) + terms.scales,
        )

    def build(self, m: Module, platform: object, before: Codes) -> Products:
        terms, form, spec = self.terms, self.terms.form, self.terms.form.spec
        a_format, b_format = spec.elements
        assert before.a_scale is not None
        assert before.b_scale is not None
        rows: list[ProductRow] = []
        scales: list[ScaleFactors] = []
        nan: list[Value] = []
        infinite: list[Value] = []
        for j in range(spec.blocks):
            products: list[ElementProduct | DecodedProduct] = []
            for k in range(spec.block_size):
                lane = j * spec.block_size + k
                kind = DecodedProduct if form.decoded else ElementProduct
                product = kind(a_format, b_format, fast=form.fast)
                add_submodule(m, platform, f"product_{lane}", product)
                m.d.comb += [
                    product.a.eq(before.a.word_select(lane, len(product.a))),
                    product.b.eq(before.b.word_select(lane, len(product.b))),
                ]
                products.append(product)
            scale = ScaleProduct(
                *spec.scales,
                significand_bits=spec.scale_significand_bits if terms.multiplied else None,
                nan=form.nan_possible,
                infinite=form.infinite_possible,
                aligned=terms.aligned,
                bias=terms.bias,
                apart=terms.apart,
                adder=form.adder,
                order=form.order,
            )
            add_submodule(m, platform, f"scale_{j}", scale)
            m.d.comb += [
                scale.a.eq(before.a_scale.word_select(j, spec.scales[0].bits)),
                scale.b.eq(before.b_scale.word_select(j, spec.scales[1].bits)),
            ]
            for start in range(0, len(products), terms.lanes):
                lanes = products[start : start + terms.lanes]
                rows.append(
                    ProductRow(
                        Cat(*(product.negative for product in lanes)),
                        Cat(*(product.magnitude for product in lanes)),
                    )
                )
            factors = (scale.significand,) if terms.multiplied else (scale.a_significand, scale.b_significand)
            exponent: Value | tuple[Value, ...]
            if terms.apart:
                exponent = (scale.a_exponent, scale.b_exponent)
            else:
                exponent = scale.exponent if terms.aligned is None else self._aligned(m, scale, products, j)
            scales.append(ScaleFactors(factors, exponent))
            if form.nan_possible:
                sum_nan = Cat(*(product.nan for product in products)).any()
                if form.infinite_possible:
                    down = wire(m, Cat(*(p.infinite & p.negative for p in products)).any(), f"down_{j}")
                    up = wire(m, Cat(*(p.infinite & ~p.negative for p in products)).any(), f"up_{j}")
                    sum_nan = sum_nan | (down & up)
                    m.d.comb += scale.sum_infinite.eq(down | up)
                    infinite.append(Cat(scale.infinite & up, scale.infinite & down))
                m.d.comb += scale.sum_nan.eq(sum_nan)
            nan.append(scale.nan)
        special = Special(
            Cat(*nan).any(),
            Cat(*(Cat(*(which[k] for which in infinite)).any() for k in range(2))) if infinite else None,
        )
        return Products(tuple(rows), tuple(scales), special)

    def _aligned(
        self, m: Module, scale: ScaleProduct, products: list[ElementProduct | DecodedProduct], j: int
    ) -> Value | tuple[Value, ...]:
        """Return the exponents of a block's terms: that of the scales, or of zero where no product is any."""
        terms, aligned = self.terms, self.terms.aligned
        assert aligned is not None
        exponents: list[Value] = []
        for t in range(terms.of_block):
            lanes = products[t * terms.lanes : (t + 1) * terms.lanes]
            # Two codes tell it with fewer gates than their product does.
            nonzero = Cat(*(self._nonzero(product) for product in lanes)).any() & scale.nonzero
            exponent, name = Signal(aligned.shape, name=f"exponent_{j}_{t}"), f"nonzero_{j}_{t}"
            m.d.comb += exponent.eq(Mux(wire(m, nonzero, name), scale.exponent, aligned.zero_code))
            exponents.append(exponent)
        return exponents[0] if len(exponents) == 1 else tuple(exponents)

    def _nonzero(self, product: ElementProduct | DecodedProduct) -> Value:
        form = self.terms.form
        a, b = (
            is_nonzero(fmt, element, decoded=form.decoded)
            for fmt, element in zip(form.spec.elements, (product.a, product.b), strict=True)
        )
        return a & b


class CompressStep(Step[Products, SavedSums]):
    """Add each term's products until two numbers are left.

    Args:
        terms: The terms.
        sum_bits: Width of the two numbers.
        offset: What their sum is larger by than that of the products.
    """

    def __init__(self, terms: TermForm, *, sum_bits: int, offset: int = 0) -> None:
        self.terms = terms
        self.sum_bits = sum_bits
        self.offset = offset
        super().__init__(
            "compress",
            step_delays.compress(terms.lanes, terms.product_bits, fast=terms.form.fast),
            terms.count * 2 * sum_bits + terms.scales,
        )

    def build(self, m: Module, platform: object, before: Products) -> SavedSums:
        sums: list[SavedSum] = []
        for t, row in enumerate(before.term):
            tree = SumOfProducts(
                lanes=self.terms.lanes,
                magnitude_bits=self.terms.product_bits,
                sum_bits=self.sum_bits,
                offset=self.offset,
                balanced=self.terms.form.fast,
                order=self.terms.form.order,
            )
            add_submodule(m, platform, f"tree_{t}", tree)
            m.d.comb += [tree.negative.eq(row.negative), tree.magnitude.eq(row.magnitude)]
            sums.append(SavedSum(tree.save, tree.carry))
        return SavedSums(before.scale, before.special, tuple(sums))


class AddStep(Step[SavedSums, Totals]):
    """Add the two numbers that each tree leaves."""

    def __init__(self, terms: TermForm) -> None:
        self.terms = terms
        width = terms.alone.sum_bits
        super().__init__(
            "add",
            step_delays.add(width, fast=terms.form.fast, absolute=False),
            terms.count * width + terms.scales,
        )

    def build(self, m: Module, platform: object, before: SavedSums) -> Totals:
        totals: list[Value] = []
        for t, saved in enumerate(before.sum):
            adder = FinalAdder(width=self.terms.alone.sum_bits, adder=self.terms.form.adder)
            add_submodule(m, platform, f"add_{t}", adder)
            m.d.comb += [adder.save.eq(saved.save), adder.carry.eq(saved.carry)]
            totals.append(adder.total)
        return Totals(before.scale, before.special, tuple(totals))


class AbsoluteAddStep(Step[SavedSums, AbsoluteSums]):
    """Add the two numbers that each tree leaves, and negate a sum below zero."""

    def __init__(self, terms: TermForm) -> None:
        self.terms = terms
        width = terms.alone.sum_bits
        super().__init__(
            "add",
            step_delays.add(width, fast=terms.form.fast, absolute=True),
            terms.count * width + terms.scales,
        )

    def build(self, m: Module, platform: object, before: SavedSums) -> AbsoluteSums:
        sums: list[AbsoluteSum] = []
        for t, saved in enumerate(before.sum):
            adder = AbsoluteAdder(width=self.terms.alone.sum_bits, adder=self.terms.form.adder)
            add_submodule(m, platform, f"add_{t}", adder)
            m.d.comb += [adder.save.eq(saved.save), adder.carry.eq(saved.carry)]
            sums.append(AbsoluteSum(adder.negative, adder.magnitude))
        return AbsoluteSums(before.scale, before.special, tuple(sums))


class SignedTermStep(Step[Totals, Terms]):
    """Multiply each sum by the significands of its scales; the term is signed."""

    def __init__(self, terms: TermForm) -> None:
        self.terms = terms
        super().__init__("multiply", *_multiplied(terms, signed=True))

    def build(self, m: Module, platform: object, before: Totals) -> Terms:
        alone = self.terms.alone
        made: list[Value] = []
        for t, significands in enumerate(self.terms.significands(before.scale)):
            term = SignedTerm(
                sum_bits=alone.sum_bits,
                significand_bits=self.terms.significand_bits,
                term_bits=alone.term_bits,
                adder=self.terms.form.adder,
                order=self.terms.form.order,
            )
            _connect(m, platform, t, term, before.total[t], significands)
            made.append(term.term)
        return Terms(tuple(scale.exponent for scale in before.scale), before.special, tuple(made))


class MagnitudeTermStep(Step[Totals, PairedMagnitudes]):
    """Multiply each sum by the significands of its scales; the term is sign and magnitude."""

    def __init__(self, terms: TermForm) -> None:
        self.terms = terms
        super().__init__("multiply", *_multiplied(terms, signed=False))

    def build(self, m: Module, platform: object, before: Totals) -> PairedMagnitudes:
        alone = self.terms.alone
        made: list[MagnitudeTerm] = []
        for t, significands in enumerate(self.terms.significands(before.scale)):
            term = MagnitudeTerm(
                sum_bits=alone.sum_bits,
                significand_bits=self.terms.significand_bits,
                magnitude_bits=alone.term_bits - 1,
                adder=self.terms.form.adder,
                order=self.terms.form.order,
            )
            _connect(m, platform, t, term, before.total[t], significands)
            made.append(term)
        return PairedMagnitudes(
            tuple(scale.exponent for scale in before.scale),
            before.special,
            tuple(term.negative for term in made),
            None,
            tuple(term.magnitude for term in made),
        )


class ProductTermStep(Step[AbsoluteSums, Magnitudes]):
    """Multiply each sum's magnitude by the product of its scales' significands.

    Args:
        terms: The terms.
        counts_zeros: Whether the leading zeros of the one term there is are counted in its factors, beside
            the multiplier.
    """

    def __init__(self, terms: TermForm, *, counts_zeros: bool) -> None:
        self.terms = terms
        self.counts_zeros = counts_zeros
        super().__init__("multiply", *_multiplied(terms, signed=False))

    def build(self, m: Module, platform: object, before: AbsoluteSums) -> Magnitudes:
        alone = self.terms.alone
        a_bits, b_bits = alone.sum_bits - 1, alone.scale_significand_bits
        count: Value | None = None
        products: list[Value] = []
        for t, (significand,) in enumerate(self.terms.significands(before.scale)):
            product = Product(
                a_bits=a_bits,
                b_bits=b_bits,
                product_bits=alone.term_bits - 1,
                adder=self.terms.form.adder,
                order=self.terms.form.order,
            )
            add_submodule(m, platform, f"term_{t}", product)
            magnitude = before.sum[t].sum_magnitude
            m.d.comb += [product.a.eq(magnitude), product.b.eq(significand)]
            if self.counts_zeros:
                # The zeros of a product are those of its factors, or one more, and known long before it is.
                zeros = LeadingZeros(a_bits=a_bits, b_bits=b_bits)
                add_submodule(m, platform, f"zeros_{t}", zeros)
                m.d.comb += [zeros.a.eq(magnitude), zeros.b.eq(significand)]
                count = zeros.count
            products.append(product.product)
        return Magnitudes(
            tuple(scale.exponent for scale in before.scale),
            before.special,
            tuple(one.negative for one in before.sum),
            count,
            tuple(products),
        )


def _multiplied(terms: TermForm, *, signed: bool) -> tuple[step_delays.StepDelay, int]:
    """Return how long a multiplication of sums takes, and about how many bits are behind it."""
    alone = terms.alone
    depth = step_delays.multiply(
        alone.sum_bits, alone.scale_significand_bits, fast=terms.form.fast, signed=signed
    )
    return depth, terms.count * alone.term_bits + terms.exponents


def _connect(
    m: Module,
    platform: object,
    t: int,
    term: SignedTerm | MagnitudeTerm,
    total: Value,
    significands: tuple[Value, ...],
) -> None:
    add_submodule(m, platform, f"term_{t}", term)
    m.d.comb += [
        term.total.eq(total),
        *(getattr(term, f"significand_{k}").eq(value) for k, value in enumerate(significands)),
    ]


def signed_steps(terms: TermForm) -> list[Step[Any, Any]]:
    """Return the steps from `Codes` to `Terms`."""
    return [
        ProductStep(terms),
        CompressStep(terms, sum_bits=terms.alone.sum_bits),
        AddStep(terms),
        SignedTermStep(terms),
    ]


def magnitude_steps(terms: TermForm, *, counts_zeros: bool = False) -> list[Step[Any, Any]]:
    """Return the steps from `Codes` to `Magnitudes`.

    Args:
        terms: The terms.
        counts_zeros: See `ProductTermStep`; without effect where the smallest form is asked for.
    """
    if not terms.form.fast:
        return [
            ProductStep(terms),
            CompressStep(terms, sum_bits=terms.alone.sum_bits),
            AddStep(terms),
            MagnitudeTermStep(terms),
        ]
    return [
        ProductStep(terms),
        # The adder that gives sign and magnitude adds one.
        CompressStep(terms, sum_bits=terms.alone.sum_bits, offset=-1),
        AbsoluteAddStep(terms),
        ProductTermStep(terms, counts_zeros=counts_zeros),
    ]
