"""``aligned`` where every product is a term of its own: the terms, their exponents, and their sum."""

from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...model import DotSpec, Format
from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.bits import repeat, wire
from ..leaves.compressor import Adder, Columns, put_sign_count
from ..leaves.multiply import Product
from ..leaves.product_term import ProductTerm, significand_product_bits
from ..leaves.scale import AlignedExponents, ScaleProduct, exponent_bits
from ..steps.form import DatapathForm
from ..steps.records import Codes, ProductTerms, Special, Step
from .aligned_adder import AlignedAdder
from .aligned_terms import AlignedTerms, ExponentSearch

__all__ = ["AlignedProducts", "ProductAdder", "ScaleTermStep", "SingleProductStep", "aligned_products"]


@dataclass(frozen=True, kw_only=True)
class AlignedProducts(AlignedTerms):
    """The terms of a group where each is a product.

    An exponent is told in two parts: the sum of the elements' exponent fields, which no product but one that
    is zero has as 0, and that of the block's scales. Both are as they stand in the codes: they and `offset`
    are the exponent.

    Attributes:
        blocks: How many blocks the terms are of.
        element_bits: Width of the elements' part.
        greatest_element: The largest it can be of a number.
        scale_bits: Width of the scales' part; 0 where there are no scales.
        greatest_scale: The largest it can be of a number.
        offset: See above.
    """

    blocks: int
    element_bits: int
    greatest_element: int
    scale_bits: int
    greatest_scale: int
    offset: int


def _read(factors: tuple[Format, ...], zero_exponent: int, bias: int) -> AlignedExponents:
    """Return the exponents of products, and one that stands for that of a zero.

    No zero is ahead of a number where its exponent is not above the least of all. How far below that it lies
    makes no difference: the least exponent that there is stands for it then.
    """
    read = AlignedExponents.of_factors(factors, zero_exponent, bias=bias)
    return AlignedExponents(least=read.least, greatest=read.greatest, zero=max(read.zero, min(read.least, 1)))


def aligned_products(spec: DotSpec) -> AlignedProducts:
    """Return the terms that groups of a specification bring, each a product.

    A magnitude is the product of two significands and, where these are not always 1, the significands of the
    scales; its point stands behind the mantissas of all of them.
    """
    factors = spec.elements + spec.scales
    result = spec.sum_format
    bias = result.fields.bias
    magnitude = spec.largest_scale_significand
    for fmt in spec.elements:
        magnitude *= int(abs(fmt.split(fmt.codes)[0]).max())
    return AlignedProducts(
        count=spec.blocks * spec.block_size,
        magnitude_bits=magnitude.bit_length(),
        largest=magnitude,
        point=sum(fmt.mantissa_bits for fmt in factors),
        exponents=_read(factors, spec.zero_exponent, bias),
        fraction=spec.fraction,
        target=result.fields,
        nearest=result.nearest,
        starts_anywhere=spec.takes_c,
        blocks=spec.blocks,
        element_bits=exponent_bits(*spec.elements),
        greatest_element=_greatest(spec.elements),
        scale_bits=exponent_bits(*spec.scales),
        greatest_scale=_greatest(spec.scales),
        offset=bias - sum(fmt.bias for fmt in factors),
    )


def _greatest(pair: tuple[Format, Format]) -> int:
    """Return the largest sum of two exponent fields, over all finite codes."""
    return sum(int(fmt.split(fmt.codes)[1].max()) + fmt.bias + fmt.mantissa_bits for fmt in pair)


class ProductSearch(ExponentSearch):
    """The part of a component that looks for the largest exponent where each term is a product.

    Exponents are compared as they come: the largest of a block's is found among the elements' parts alone, as
    the scales' part is the same for all of them.
    """

    products: AlignedProducts
    scale: Signal

    def _exponent_ports(self) -> dict[str, wiring.Member]:
        products = self.products
        scale = {"scale": In(products.blocks * products.scale_bits)} if products.scale_bits else {}
        return {"exponent": In(products.count * products.element_bits), **scale}

    def _distances(self, m: Module, own_exponent: Value) -> tuple[Value, list[Value]]:
        own, ahead = self._compared(m, own_exponent)
        distances = self._below_count(m, ahead)
        return self._exponent_of(m, ahead), [*distances, (ahead - own)[: self._distance_bits]]

    def _searched(self, m: Module) -> Value:
        _, ahead = self._compared(m, Const(self.products.least_largest))
        return self._exponent_of(m, ahead)

    def _below(self, m: Module, largest: Value) -> list[Value]:
        ahead = Signal(self._count_shape, name="ahead")
        m.d.comb += ahead.eq(largest - self._base)
        return self._below_count(m, ahead)

    @property
    def _base(self) -> Value:
        """What a count of a sole block, or of all blocks, is above an exponent."""
        products = self.products
        return self._scale(0) + products.offset if products.blocks == 1 else Const(products.offset)

    @property
    def _lowest(self) -> int:
        products = self.products
        alone = products.blocks == 1
        return min(products.least_largest - products.offset - products.greatest_scale * alone, 0)

    @property
    def _count_shape(self) -> Shape:
        """The shape of the largest count."""
        products = self.products
        greatest = products.greatest_element + products.greatest_scale * (products.blocks > 1)
        return Shape.cast(
            range(self._lowest, max(products.target.infinity_field - products.offset, greatest) + 1)
        )

    def _compared(self, m: Module, own_exponent: Value) -> tuple[Value, Value]:
        """Return an exponent of the sum so far as a count like those of products, and the largest count."""
        products = self.products
        lanes = products.count // products.blocks
        elements, base = self._elements, self._base
        alone = products.blocks == 1
        own = Signal(
            range(self._lowest, products.target.infinity_field - products.offset + 1),
            name="accumulator_count",
        )
        m.d.comb += own.eq(own_exponent - base)
        level: Value = own
        if products.exponents.zero > 1:
            level = self._no_less_than_zeros(m, elements, own, own_exponent, base)
        ahead = Signal(self._count_shape, name="ahead")
        for j in range(products.blocks):
            largest = self._largest_element(m, elements[j * lanes : (j + 1) * lanes], j)
            # A block of zeros has no exponent.
            there = wire(m, largest.any(), f"block_{j}_there")
            count = largest if alone else largest + self._scale(j)
            one = Signal(ahead.shape(), name=f"ahead_{j}")
            m.d.comb += one.eq(Mux(there & (level < count), count, level))
            level = one
        m.d.comb += ahead.eq(level)
        return own, ahead

    def _below_count(self, m: Module, ahead: Value) -> list[Value]:
        """Return how far each term lies below a count."""
        products = self.products
        lanes = products.count // products.blocks
        distances: list[Value] = []
        for j in range(products.blocks):
            near = self._near(m, ahead if products.blocks == 1 else ahead - self._scale(j), j)
            mine = self._elements[j * lanes : (j + 1) * lanes]
            distances += [(near - element)[: len(near)] for element in mine]
        return distances

    def _exponent_of(self, m: Module, ahead: Value) -> Value:
        """Return the exponent that a count stands for."""
        products = self.products
        least, most = products.least_largest, max(products.target.infinity_field, products.exponents.greatest)
        largest = Signal(range(min(least, 0), most + 1), name="largest")
        m.d.comb += largest.eq(ahead + self._base)
        return largest

    @property
    def _elements(self) -> list[Value]:
        products = self.products
        return [self.exponent.word_select(k, products.element_bits) for k in range(products.count)]

    def _near(self, m: Module, above: Value, j: int) -> Value:
        """Return a count from which a block's terms are below the largest by as much, but for what is far.

        So far above every element's part that nothing is left of a term, any number as large will do, and it
        has few bits. Where the count is below zero all terms of the block are zero.
        """
        products = self.products
        # A term is as wide before it is shifted: further than that, nothing of it is left.
        bits = (products.greatest_element + max(products.term_bits, 0)).bit_length()
        count = Signal(above.shape(), name=f"above_{j}")
        m.d.comb += count.eq(above)
        if len(count) <= bits:
            return count
        far = wire(m, count[bits:].any(), f"far_{j}")
        return wire(m, count[:bits] | repeat(far, bits), f"near_{j}")

    def _scale(self, j: int) -> Value:
        if not self.products.scale_bits:
            return Const(0)
        return self.scale.word_select(j, self.products.scale_bits)

    def _no_less_than_zeros(
        self, m: Module, elements: list[Value], own: Signal, own_exponent: Value, base: Value
    ) -> Value:
        """Return the accumulator's exponent for the comparison: that of a zero, where one is above it."""
        zero = self.products.exponents.zero
        any_zero = wire(m, ~Cat(*(element.any() for element in elements)).all(), "any_zero")
        level = Signal(own.shape(), name="no_less_than_zeros")
        m.d.comb += level.eq(Mux(any_zero & (own_exponent < zero), zero - base, own))
        return level

    def _largest_element(self, m: Module, elements: list[Value], j: int) -> Value:
        """Return the largest elements' part of a block's exponents."""
        level, depth = elements, 0
        while len(level) > 1:
            level = [
                wire(m, Mux(a < b, b, a), f"larger_{j}_{depth}_{k}")
                for k, (a, b) in enumerate(zip(level[::2], level[1::2], strict=True))
            ]
            depth += 1
        return level[0]


class ProductAdder(ProductSearch, AlignedAdder):
    """Add products to a sum, aligned to the largest exponent and truncated.

    Combinational. Exponents are compared as they come: the largest of a block's is found among the elements'
    parts alone, as the scales' part is the same for all of them. With one block, the accumulator's exponent
    is brought to the same count instead of each term's to that of the accumulator. What is exactly zero is
    never compared: the accumulator, which always is, reads no less than a zero does, or is zero itself. So
    all that tells of a term that is zero is that nothing of its block is below it; where zeros can be ahead
    of every number the accumulator reads no less than they do.

    Args:
        terms: What a group brings.
        adder: The adder at the end of the tree; a prefix adder has it take few levels.
        infinite: Whether a term can be infinite.
        order: Seed of the order in which bits enter the tree; changes no sum.

    Attributes:
        accumulator, negative, magnitude, nan, infinite, result: As those of `AlignedAdder`.
        exponent: The elements' part of each term's exponent, `element_bits` each.
        scale: The scales' part of each block's, `scale_bits` each; no such port without scales.
    """

    scale: Signal

    def __init__(
        self, terms: AlignedProducts, *, adder: Adder, infinite: bool = False, order: int = 0
    ) -> None:
        self.products = terms
        super().__init__(terms, adder=adder, infinite=infinite, order=order)

    def _put(self, m: Module, columns: Columns, k: int, negative: Value, inverted: Value) -> None:
        if columns.balanced or k == self.products.count:
            super()._put(m, columns, k, negative, inverted)
        else:
            columns.put_all(0, inverted)

    def _put_signs(self, m: Module, columns: Columns) -> None:
        """Put a count of the negative terms: see `SumOfProducts`."""
        width = self.products.term_bits
        if not columns.balanced and width > 0:
            put_sign_count(m, columns, self.negative, width)


class SingleProductStep(Step[Codes, ProductTerms]):
    """Multiply elements, each product a term, and read scales."""

    def __init__(self, form: DatapathForm, terms: AlignedProducts) -> None:
        self.form = form
        self.terms = terms
        spec = form.spec
        widest = max(fmt.significand_bits for fmt in spec.elements)
        scale_bits = spec.scale_significand_bits if spec.scale_significand_bits > 1 else 0
        self.scaled = bool(scale_bits)
        bits = significand_product_bits(*spec.elements) + terms.element_bits + 1
        super().__init__(
            "term",
            step_delays.product(widest, max(scale_bits, 1)),
            terms.count * bits + spec.blocks * (terms.scale_bits + scale_bits),
        )

    def build(self, m: Module, platform: object, before: Codes) -> ProductTerms:
        form, spec = self.form, self.form.spec
        terms: list[ProductTerm] = []
        exponents: list[Value] = []
        scale_exponents: list[Value] = []
        significands: list[Value] = []
        nan: list[Value] = []
        for j in range(spec.blocks):
            nonzero: Value | None = None
            if before.a_scale is not None and before.b_scale is not None:
                codes = [
                    code.word_select(j, fmt.bits)
                    for code, fmt in zip((before.a_scale, before.b_scale), spec.scales, strict=True)
                ]
                scale = ScaleProduct(
                    *spec.scales,
                    significand_bits=spec.scale_significand_bits if self.scaled else None,
                    adder=form.adder,
                    order=form.order,
                )
                add_submodule(m, platform, f"scale_{j}", scale)
                m.d.comb += [scale.a.eq(codes[0]), scale.b.eq(codes[1])]
                nan.append(scale.nan)
                scale_exponents.append(scale.exponent)
                significands += [scale.significand] if self.scaled else []
                can_be_zero = [code for code, fmt in zip(codes, spec.scales, strict=True) if fmt.subnormals]
                if can_be_zero:
                    nonzero = wire(m, Cat(*(code.any() for code in can_be_zero)).all(), f"nonzero_{j}")
            for k in range(spec.block_size):
                lane = j * spec.block_size + k
                term = ProductTerm(*spec.elements, fast=form.fast, decoded=form.decoded)
                add_submodule(m, platform, f"term_{lane}", term)
                m.d.comb += [
                    term.a.eq(before.a.word_select(lane, len(term.a))),
                    term.b.eq(before.b.word_select(lane, len(term.b))),
                ]
                terms.append(term)
                kept = (
                    term.exponent if nonzero is None else term.exponent & repeat(nonzero, len(term.exponent))
                )
                exponents.append(kept)
                if form.nan_possible:
                    nan.append(term.nan)
                    if form.infinite_possible and nonzero is not None:
                        nan.append(term.infinite & ~nonzero)
        infinite: Value | None = None
        if form.infinite_possible:
            up = Cat(*(term.infinite & ~term.negative for term in terms)).any()
            down = Cat(*(term.infinite & term.negative for term in terms)).any()
            infinite = Cat(up, down)
        return ProductTerms(
            tuple(scale_exponents),
            tuple(significands),
            Special(Cat(*nan).any() if nan else Const(0, 1), infinite),
            tuple(term.negative for term in terms),
            tuple(exponents),
            tuple(term.magnitude for term in terms),
        )


class ScaleTermStep(Step[ProductTerms, ProductTerms]):
    """Multiply each term by the product of its scales' significands."""

    def __init__(self, form: DatapathForm, terms: AlignedProducts) -> None:
        self.form = form
        self.terms = terms
        spec = form.spec
        self.product_bits = significand_product_bits(*spec.elements)
        super().__init__(
            "scale",
            step_delays.multiply(
                self.product_bits, spec.scale_significand_bits, fast=form.fast, signed=False
            ),
            terms.count * (terms.magnitude_bits + terms.element_bits + 1) + spec.blocks * terms.scale_bits,
        )

    def build(self, m: Module, platform: object, before: ProductTerms) -> ProductTerms:
        spec = self.form.spec
        products: list[Value] = []
        for k, magnitude in enumerate(before.magnitude):
            product = Product(
                a_bits=self.product_bits,
                b_bits=spec.scale_significand_bits,
                product_bits=self.terms.magnitude_bits,
                adder=self.form.adder,
                order=self.form.order,
            )
            add_submodule(m, platform, f"scaled_{k}", product)
            m.d.comb += [
                product.a.eq(magnitude),
                product.b.eq(before.significand[k // spec.block_size]),
            ]
            products.append(product.product)
        return replace(before, significand=(), magnitude=tuple(products))
