"""The obvious description of a unit: what an engineer writes first, to hold the generator's units against."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model import DotSpec, Format
from .hierarchy import add_submodule
from .leaves.compressor import FinalAdder, SumOfProducts
from .leaves.element import ElementProduct, product_bits
from .leaves.round import BIAS, FRACTION_BITS
from .leaves.scale import exponent_offset

__all__ = ["ObviousUnit", "SumUnit"]


class ObviousUnit(wiring.Component):
    """One block's dot product, by ``*``, ``+`` and ``<<`` on decoded integers, exact to binary32.

    Combinational. For ``e2m1`` elements and scales whose products binary32 holds as normal numbers, UE4M3
    and UE5M3 among them; the ports are those of `DotUnit` without stages.

    Args:
        spec: What to compute; ``none``, with one block.
    """

    i_a: Signal
    i_b: Signal
    i_a_scale: Signal
    i_b_scale: Signal
    o_result: Signal

    def __init__(self, spec: DotSpec) -> None:
        self.spec = spec
        scales = [fmt.bits for fmt in spec.scales]
        super().__init__(
            {
                "i_a": In(4 * spec.block_size),
                "i_b": In(4 * spec.block_size),
                "i_a_scale": In(scales[0]),
                "i_b_scale": In(scales[1]),
                "o_result": Out(32),
            }
        )

    @property
    def name(self) -> str:
        """The module's name."""
        return f"obvious_{self.spec.name}"

    def _magnitude(self, m: Module, code: Value, name: str) -> Value:
        """Return an element's magnitude in halves, up to 12."""
        mantissa, exponent = code[0], code[1:3]
        magnitude = Signal(4, name=f"{name}_magnitude")
        normal = Cat(mantissa, Const(1, 1)) << (exponent - 1)[:2]
        m.d.comb += magnitude.eq(Mux(exponent == 0, mantissa, normal))
        return magnitude

    def _scale(self, fmt: Format, code: Value) -> tuple[Value, Value, Value]:
        """Return the significand of a scale, its exponent, and whether it is NaN."""
        mantissa, field = code[: fmt.mantissa_bits], code[fmt.mantissa_bits :]
        normal = field != 0
        return Cat(mantissa, normal), Mux(normal, field, 1), code.all()

    def elaborate(self, _: object) -> Module:
        m = Module()
        spec = self.spec
        total = Signal(signed(spec.sum_bits))
        products = []
        for k in range(spec.block_size):
            a, b = self.i_a.word_select(k, 4), self.i_b.word_select(k, 4)
            magnitude = self._magnitude(m, a, f"a_{k}") * self._magnitude(m, b, f"b_{k}")
            products.append(Mux(a[3] ^ b[3], -magnitude, magnitude))
        m.d.comb += total.eq(sum(products, start=Const(0)))
        a, a_exponent, a_nan = self._scale(spec.scales[0], self.i_a_scale)
        b, b_exponent, b_nan = self._scale(spec.scales[1], self.i_b_scale)
        width = spec.term_bits - 1
        magnitude = Signal(width)
        m.d.comb += magnitude.eq(Mux(total < 0, -total, total) * (a * b))
        # The last assignment stands: that of the highest bit that is set.
        place_of_top = Signal(range(width))
        for k in range(width):
            with m.If(magnitude[k]):
                m.d.comb += place_of_top.eq(k)
        offset = exponent_offset(*spec.scales) + sum(fmt.quantum_exponent for fmt in spec.elements)
        fraction = (magnitude << (width - 1 - place_of_top)[: len(place_of_top)])[: width - 1]
        field = (a_exponent + b_exponent + place_of_top + (offset + BIAS))[:8]
        number = Cat(Const(0, FRACTION_BITS - (width - 1)), fraction, field, total < 0)
        with m.If(a_nan | b_nan):
            m.d.comb += self.o_result.eq(0x7FC00000)
        with m.Elif(magnitude != 0):
            m.d.comb += self.o_result.eq(number)
        return m


class SumUnit(wiring.Component):
    """The sum of a block's element products alone, as the generator's units have it.

    Combinational.

    Args:
        spec: For the elements and the block size.
        fast: Prefer few levels to few gates.
        order: Seed of the order in which bits enter the compressor tree.
    """

    i_a: Signal
    i_b: Signal
    o_sum: Signal

    def __init__(self, spec: DotSpec, *, fast: bool, order: int = 0) -> None:
        self.spec = spec
        self.fast = fast
        self.order = order
        widths = [spec.block_size * fmt.bits for fmt in spec.elements]
        super().__init__({"i_a": In(widths[0]), "i_b": In(widths[1]), "o_sum": Out(signed(spec.sum_bits))})

    @property
    def name(self) -> str:
        """The module's name."""
        return f"sum_{self.spec.name}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        tree = SumOfProducts(
            lanes=spec.block_size,
            magnitude_bits=product_bits(*spec.elements),
            sum_bits=spec.sum_bits,
            balanced=self.fast,
            order=self.order,
        )
        add_submodule(m, platform, "tree", tree)
        products = []
        for k in range(spec.block_size):
            product = ElementProduct(*spec.elements, fast=self.fast)
            add_submodule(m, platform, f"product_{k}", product)
            m.d.comb += [
                product.a.eq(self.i_a.word_select(k, spec.elements[0].bits)),
                product.b.eq(self.i_b.word_select(k, spec.elements[1].bits)),
            ]
            products.append(product)
        adder = FinalAdder(width=spec.sum_bits, adder="sklansky" if self.fast else "ripple")
        add_submodule(m, platform, "add", adder)
        m.d.comb += [
            tree.negative.eq(Cat(*(product.negative for product in products))),
            tree.magnitude.eq(Cat(*(product.magnitude for product in products))),
            adder.save.eq(tree.save),
            adder.carry.eq(tree.carry),
            self.o_sum.eq(adder.total),
        ]
        return m
