"""What a unit computes in a cycle, as a row of steps between which pipeline registers may stand."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from ..model import DotSpec
from ..model.formats import Top
from . import step_delays
from .accumulate.adders import Binary32Adder, CarryAdder, TwoPathAdder, WindowAdder, kept_carries
from .accumulate.aligned_adder import AlignedAdder, AlignedTerms
from .accumulate.fused_adder import FusedAdder
from .config import Optimise
from .hierarchy import add_submodule
from .leaves.bits import repeat, wire
from .leaves.compressor import AbsoluteAdder, Adder, Columns, FinalAdder, SumOfProducts
from .leaves.element import DecodedProduct, ElementProduct, product_bits
from .leaves.multiply import LeadingZeros, MagnitudeTerm, Product, SavedProduct, SignedTerm, WindowShift
from .leaves.round import FRACTION_BITS, KEPT_BITS, Normalise, NumberRange, Round, SignedNormalise
from .leaves.scale import ScaleProduct, aligned_exponents, exponent_bits, exponent_offset, exponent_range
from .step_delays import StepDelay

__all__ = ["Datapath", "Live", "Step"]

Live = dict[str, Value]
"""Values between two steps, by name."""


@dataclass(frozen=True)
class Step:
    """One piece of the datapath, after which a pipeline register may stand.

    Attributes:
        name: What it does.
        depth: How long it takes; registers are placed by it.
        bits: About how many bits of numbers there are behind it, for a register to hold.
        build: Adds the hardware to a module and turns the live values before it into those after it.
        accumulates: It is a sum's loop, and ends in the accumulator.
    """

    name: str
    depth: StepDelay
    bits: int
    build: Callable[[Module, object, Live], Live]
    accumulates: bool = False


def _log2(n: int) -> int:
    return max(n - 1, 0).bit_length()


class Datapath:
    """The steps from a group's codes to a binary32 result.

    Live values are named after what they are; those that stand for one of several terms end in its number.
    A term is a block, or, under ``aligned``, what a block gives for each 16 elements.

    The first step takes ``a``, ``b``, ``a_scale`` and ``b_scale``, the last one gives ``result``. A step that
    accumulates also takes ``first``, which starts a sum, and ``enable``, without which it keeps its state.

    Args:
        spec: What to compute.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        order: Seed of the order in which bits enter the compressor trees; changes no result.
        decoded: ``a`` and ``b`` are what `ElementDecode` gives for each code, instead of the codes.
        whole: All of it is one stage, accumulator included. Where that is fastest, a term is then added to
            the sum before it is a number of its own.
        segment: See `WindowAdder`.

    Attributes:
        steps: The steps in order.
        widths: Widths inside, in bits.
        numbers: What is normalised and rounded: a term's exact numbers, or a window's.
    """

    def __init__(
        self,
        spec: DotSpec,
        *,
        optimise: Optimise,
        order: int,
        decoded: bool = False,
        whole: bool = False,
        segment: int | None = None,
    ) -> None:
        self.spec = spec
        self.order = order
        self._decoded = decoded
        self._segment = segment
        self._fast = optimise == "delay"
        # The smallest adder there is, or one of the least depth.
        self._adder: Adder = "sklansky" if self._fast else "ripple"
        self._lanes = spec.unit_size if spec.accumulate == "aligned" else spec.block_size
        self._terms = spec.blocks * spec.block_size // self._lanes
        # The widths of one term are those of a block as long.
        self._term_spec = replace(spec, block_size=self._lanes)
        # Terms are placed in a fixed-point window to be summed: blocks with each other, or into a sum.
        self._windowed = spec.accumulate == "exact" or (spec.blocks > 1 and spec.accumulate != "aligned")
        tops = {fmt.top for fmt in spec.elements}
        self._nan_possible, self._infinite_possible = tops != {Top.FINITE}, Top.IEEE in tops
        self.numbers = self._range()
        self._fused = (
            whole
            and self._fast
            and spec.accumulate == "fp32"
            and not self._windowed
            and self.numbers.magnitude_bits <= FRACTION_BITS + 1
        )
        self._aligned = self._aligned_terms() if spec.accumulate == "aligned" else None
        self.steps = self._make_steps()
        self.widths = self._widths()

    # What is known without elaborating.

    def _range(self) -> NumberRange:
        """Return the numbers that are normalised and rounded: one term's, or a window's."""
        spec = self.spec
        if not self._windowed:
            return NumberRange(
                magnitude_bits=spec.term_bits - 1,
                exponent_bits=exponent_bits(*spec.scales),
                exponents=exponent_range(*spec.scales),
                offset=exponent_offset(*spec.scales) + sum(fmt.quantum_exponent for fmt in spec.elements),
            )
        bits = spec.accumulator_bits if spec.accumulate == "exact" else self._group_bits
        return NumberRange(
            magnitude_bits=bits - 1, exponent_bits=0, exponents=(0, 0), offset=spec.quantum_exponent
        )

    @property
    def _group_bits(self) -> int:
        return self.spec.window_bits + _log2(self.spec.blocks)

    def _aligned_terms(self) -> AlignedTerms:
        spec = self.spec
        return AlignedTerms(
            count=self._terms,
            magnitude_bits=self._term_spec.term_bits - 1,
            point=sum(fmt.mantissa_bits for fmt in spec.scales)
            - sum(fmt.quantum_exponent for fmt in spec.elements),
            exponents=aligned_exponents(*spec.scales),
            fraction=spec.fraction,
        )

    def _widths(self) -> dict[str, int]:
        spec = self.spec
        widths = {
            "product_magnitude": product_bits(*spec.elements),
            "sum": self._term_spec.sum_bits,
            "scale_significand": spec.scale_significand_bits,
            "scale_exponent": exponent_bits(*spec.scales)
            if self._aligned is None
            else self._aligned.exponent_bits,
            "term": self._term_spec.term_bits,
        }
        if self._windowed:
            widths["window"] = spec.window_bits
        if spec.accumulate == "exact":
            widths["accumulator"] = spec.accumulator_bits
        if self._aligned is not None:
            widths["aligned_sum"] = self._aligned.sum_bits
        return widths

    def _make_steps(self) -> list[Step]:
        spec, term, fast = self.spec, self._term_spec, self._fast
        numbers = self.numbers
        exponents = spec.blocks * exponent_bits(*spec.scales)
        beside = exponents + spec.blocks * sum(self._significand_bits)
        magnitude_bits = product_bits(*spec.elements)
        steps = [
            Step(
                "product",
                step_delays.product(
                    max(fmt.significand_bits for fmt in spec.elements),
                    max(fmt.significand_bits for fmt in spec.scales) if fast else 1,
                ),
                self._terms * self._lanes * (magnitude_bits + 1) + beside,
                self._build_products,
            ),
            Step(
                "compress",
                step_delays.compress(self._lanes, magnitude_bits, fast=fast),
                self._terms * 2 * self._tree_bits + beside,
                self._build_tree,
            ),
        ]
        multiply = step_delays.multiply(
            term.sum_bits, term.scale_significand_bits, fast=fast, signed=self._windowed
        )
        of_terms = self._terms * term.term_bits + exponents
        if self._fused:
            # All of it is one stage: no register will hold anything between these.
            if self._saved:
                steps.append(Step("multiply", multiply, of_terms, self._build_saved_product))
            return [*steps, Step("accumulate", step_delays.FUSED, 32, self._build_fused, accumulates=True)]
        steps += [
            Step(
                "add",
                step_delays.add(term.sum_bits, fast=fast, absolute=self._absolute),
                self._terms * term.sum_bits + beside,
                self._build_sum,
            ),
            Step(
                "multiply",
                multiply,
                of_terms,
                self._build_product_term if self._absolute else self._build_term,
            ),
        ]
        if self._aligned is not None:
            once = step_delays.aligned(self._aligned.sum_bits, fast=fast)
            return [*steps, Step("accumulate", once, 32, self._build_aligned, accumulates=True)]
        if self._windowed:
            shift = step_delays.place(exponent_bits(*spec.scales))
            steps.append(Step("place", shift, spec.blocks * spec.window_bits, self._build_window))
            if spec.blocks > 1:
                joined = step_delays.join(self._group_bits, spec.blocks, fast=fast)
                steps.append(Step("join", joined, self._group_bits, self._build_join))
            if spec.accumulate == "exact":
                bits = spec.accumulator_bits
                once = step_delays.exact(self._segment or bits, fast=fast)
                held = bits + kept_carries(bits, self._segment)
                steps.append(Step("accumulate", once, held, self._build_exact, accumulates=True))
                if self._segment is not None:
                    resolve = step_delays.resolve(bits, self._segment, fast=fast)
                    steps.append(Step("resolve", resolve, bits, self._build_resolve))
        rounds = numbers.rounds or self._windowed
        unpacked = fast and spec.accumulate == "fp32"
        steps += [
            Step(
                "normalise",
                step_delays.normalise(
                    numbers.magnitude_bits,
                    fast=fast,
                    signed=self._windowed,
                    known=self._counts_zeros,
                    rounds=numbers.rounds or numbers.subnormal,
                ),
                numbers.field_bits + (KEPT_BITS if self._windowed else numbers.fraction_bits) + 2,
                self._build_signed_normalise if self._windowed else self._build_normalise,
            ),
            Step(
                "round",
                step_delays.round_(rounds=rounds, special=numbers.overflow and not unpacked),
                32,
                self._build_round
                if not unpacked
                else self._build_unpacked
                if rounds
                else self._build_operand,
            ),
        ]
        if spec.accumulate == "fp32":
            once = step_delays.FP32_FAST if fast else step_delays.FP32
            steps.append(Step("accumulate", once, 32, self._build_fp32, accumulates=True))
        return steps

    @property
    def _counts_zeros(self) -> bool:
        """Whether a term's leading zeros are counted in its factors, beside the multiplier."""
        return self._absolute and self._aligned is None and self._term_spec.scale_significand_bits > 1

    # The steps.

    def _build_products(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        a_format, b_format = spec.elements
        after: Live = {}
        nan: list[Value] = []
        infinite: list[Value] = []
        for j in range(spec.blocks):
            products: list[ElementProduct | DecodedProduct] = []
            for k in range(spec.block_size):
                lane = j * spec.block_size + k
                kind = DecodedProduct if self._decoded else ElementProduct
                product = kind(a_format, b_format, fast=self._fast)
                add_submodule(m, platform, f"product_{lane}", product)
                m.d.comb += [
                    product.a.eq(live["a"].word_select(lane, len(product.a))),
                    product.b.eq(live["b"].word_select(lane, len(product.b))),
                ]
                products.append(product)
            scale = ScaleProduct(
                *spec.scales,
                significand_bits=spec.scale_significand_bits if self._fast else None,
                nan=self._nan_possible,
                infinite=self._infinite_possible,
                aligned_bits=None if self._aligned is None else self._aligned.exponent_bits,
                adder=self._adder,
                order=self.order,
            )
            add_submodule(m, platform, f"scale_{j}", scale)
            m.d.comb += [
                scale.a.eq(live["a_scale"].word_select(j, spec.scales[0].bits)),
                scale.b.eq(live["b_scale"].word_select(j, spec.scales[1].bits)),
            ]
            each = len(products) // self._lanes
            for t in range(each):
                lanes = products[t * self._lanes : (t + 1) * self._lanes]
                after[f"negative_{j * each + t}"] = Cat(*(product.negative for product in lanes))
                after[f"magnitude_{j * each + t}"] = Cat(*(product.magnitude for product in lanes))
            if self._fast:
                after[f"significand_{j}_0"] = scale.significand
            else:
                after[f"significand_{j}_0"] = scale.a_significand
                after[f"significand_{j}_1"] = scale.b_significand
            after[f"exponent_{j}"] = scale.exponent
            if self._nan_possible:
                sum_nan = Cat(*(product.nan for product in products)).any()
                if self._infinite_possible:
                    down = wire(m, Cat(*(p.infinite & p.negative for p in products)).any(), f"down_{j}")
                    up = wire(m, Cat(*(p.infinite & ~p.negative for p in products)).any(), f"up_{j}")
                    sum_nan = sum_nan | (down & up)
                    m.d.comb += scale.sum_infinite.eq(down | up)
                    infinite.append(Cat(scale.infinite & up, scale.infinite & down))
                m.d.comb += scale.sum_nan.eq(sum_nan)
            nan.append(scale.nan)
        after["nan"] = Cat(*nan).any()
        if infinite:
            # Bit 0 for an infinity above zero, bit 1 for one below: two blocks may have both.
            after["infinite"] = Cat(*(Cat(*(which[k] for which in infinite)).any() for k in range(2)))
        return after

    def _build_tree(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        for t in range(self._terms):
            tree = SumOfProducts(
                lanes=self._lanes,
                magnitude_bits=product_bits(*self.spec.elements),
                sum_bits=self._tree_bits,
                offset=self._tree_offset,
                balanced=self._fast,
                order=self.order,
            )
            add_submodule(m, platform, f"tree_{t}", tree)
            m.d.comb += [
                tree.negative.eq(after.pop(f"negative_{t}")),
                tree.magnitude.eq(after.pop(f"magnitude_{t}")),
            ]
            after[f"save_{t}"] = tree.save
            after[f"carry_{t}"] = tree.carry
        return after

    @property
    def _absolute(self) -> bool:
        """Whether the adder behind a tree gives sign and magnitude, instead of a signed sum."""
        return self._fast and not self._windowed and not self._fused

    @property
    def _saved(self) -> bool:
        """Whether the two numbers that a tree leaves are multiplied, instead of their sum."""
        return self._fused and self._term_spec.scale_significand_bits > 1

    @property
    def _tree_offset(self) -> int:
        """What a tree's sum is larger by than that of its products."""
        if self._saved:
            # Every sum is positive then.
            return self._lanes << product_bits(*self.spec.elements)
        # The adder that gives sign and magnitude adds one.
        return -1 if self._absolute else 0

    @property
    def _tree_bits(self) -> int:
        if self._saved:
            return (2 * self._tree_offset - 1).bit_length()
        return FusedAdder.width(self.numbers) if self._fused else self._term_spec.sum_bits

    def _build_saved_product(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        ((significand,),) = self._take_significands(after)
        product = SavedProduct(
            sum_bits=self._tree_bits,
            excess=self._tree_offset,
            significand_bits=len(significand),
            product_bits=FusedAdder.width(self.numbers),
            order=self.order,
        )
        add_submodule(m, platform, "term_0", product)
        m.d.comb += [
            product.a_save.eq(after["save_0"]),
            product.a_carry.eq(after["carry_0"]),
            product.significand.eq(significand),
        ]
        return after | {"save_0": product.save, "carry_0": product.carry}

    def _build_fused(self, m: Module, platform: object, live: Live) -> Live:
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = FusedAdder(self.numbers, adder=self._adder)
        add_submodule(m, platform, "accumulate", adder)
        enable = live["enable"]
        m.d.comb += [
            adder.accumulator.eq(_before(m, accumulator, live["first"] & enable)),
            adder.save.eq(live["save_0"]),
            adder.carry.eq(live["carry_0"]),
            adder.exponent.eq(live["exponent_0"]),
            adder.nan.eq(live["nan"]),
            adder.hold.eq(~enable),
        ]
        m.d.sync += accumulator.eq(adder.result)
        return {"result": accumulator}

    def _build_sum(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        kind = AbsoluteAdder if self._absolute else FinalAdder
        for t in range(self._terms):
            adder = kind(width=self._term_spec.sum_bits, adder=self._adder)
            add_submodule(m, platform, f"add_{t}", adder)
            m.d.comb += [adder.save.eq(after.pop(f"save_{t}")), adder.carry.eq(after.pop(f"carry_{t}"))]
            if isinstance(adder, AbsoluteAdder):
                after[f"negative_{t}"] = adder.negative
                after[f"sum_magnitude_{t}"] = adder.magnitude
            else:
                after[f"total_{t}"] = adder.total
        return after

    @property
    def _significand_bits(self) -> list[int]:
        """Widths of the significands that a sum is multiplied by, one after the other."""
        if self._fast:
            return [self.spec.scale_significand_bits]
        return [fmt.significand_bits for fmt in self.spec.scales]

    def _take_significands(self, live: Live) -> list[list[Value]]:
        """Take from `live` the significands that each term is multiplied by."""
        each = self._terms // self.spec.blocks
        of_blocks = [
            [live.pop(f"significand_{j}_{k}") for k in range(len(self._significand_bits))]
            for j in range(self.spec.blocks)
        ]
        return [of_blocks[t // each] for t in range(self._terms)]

    def _build_term(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        spec = self._term_spec
        for t, significands in enumerate(self._take_significands(after)):
            if self._windowed:
                term = SignedTerm(
                    sum_bits=spec.sum_bits,
                    significand_bits=self._significand_bits,
                    term_bits=spec.term_bits,
                    adder=self._adder,
                    order=self.order,
                )
                after[f"term_{t}"] = term.term
            else:
                term = MagnitudeTerm(
                    sum_bits=spec.sum_bits,
                    significand_bits=self._significand_bits,
                    magnitude_bits=spec.term_bits - 1,
                    adder=self._adder,
                    order=self.order,
                )
                after[f"negative_{t}"] = term.negative
                after[f"magnitude_{t}"] = term.magnitude
            add_submodule(m, platform, f"term_{t}", term)
            m.d.comb += [
                term.total.eq(after.pop(f"total_{t}")),
                *(getattr(term, f"significand_{k}").eq(value) for k, value in enumerate(significands)),
            ]
        return after

    def _build_product_term(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        spec = self._term_spec
        a_bits, b_bits = spec.sum_bits - 1, spec.scale_significand_bits
        for t, (significand,) in enumerate(self._take_significands(after)):
            product = Product(
                a_bits=a_bits,
                b_bits=b_bits,
                product_bits=spec.term_bits - 1,
                adder=self._adder,
                order=self.order,
            )
            add_submodule(m, platform, f"term_{t}", product)
            magnitude = after.pop(f"sum_magnitude_{t}")
            m.d.comb += [product.a.eq(magnitude), product.b.eq(significand)]
            if self._counts_zeros:
                # The zeros of a product are those of its factors, or one more, and known long before it is.
                zeros = LeadingZeros(a_bits=a_bits, b_bits=b_bits)
                add_submodule(m, platform, f"zeros_{t}", zeros)
                m.d.comb += [zeros.a.eq(magnitude), zeros.b.eq(significand)]
                after["zeros"] = zeros.count
            after[f"magnitude_{t}"] = product.product
        return after

    def _build_aligned(self, m: Module, platform: object, live: Live) -> Live:
        assert self._aligned is not None
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = AlignedAdder(
            self._aligned, adder=self._adder, infinite=self._infinite_possible, order=self.order
        )
        add_submodule(m, platform, "accumulate", adder)
        each = self._terms // self.spec.blocks
        terms = range(self._terms)
        m.d.comb += [
            # The first of a sum is added to +0.
            adder.accumulator.eq(accumulator & repeat(~live["first"], 32)),
            adder.negative.eq(Cat(*(live[f"negative_{t}"] for t in terms))),
            adder.magnitude.eq(Cat(*(live[f"magnitude_{t}"] for t in terms))),
            adder.exponent.eq(Cat(*(live[f"exponent_{t // each}"] for t in terms))),
            adder.nan.eq(live["nan"]),
        ]
        if self._infinite_possible:
            m.d.comb += adder.infinite.eq(live["infinite"])
        with m.If(live["enable"]):
            m.d.sync += accumulator.eq(adder.result)
        return {"result": accumulator}

    def _build_window(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        for j in range(self._terms):
            shift = WindowShift(
                term_bits=spec.term_bits,
                exponent_bits=exponent_bits(*spec.scales),
                least_exponent=exponent_range(*spec.scales)[0],
                window_bits=spec.window_bits,
            )
            add_submodule(m, platform, f"place_{j}", shift)
            m.d.comb += [
                shift.term.eq(after.pop(f"term_{j}")),
                shift.exponent.eq(after.pop(f"exponent_{j}")),
            ]
            after["window" if spec.blocks == 1 else f"window_{j}"] = shift.window
        return after

    def _build_join(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        columns = Columns(self._group_bits, order=self.order, balanced=self._fast)
        top = spec.window_bits - 1
        for j in range(spec.blocks):
            window = after.pop(f"window_{j}")
            # The sign bit has negative weight: -s * 2**k is ~s * 2**k - 2**k.
            columns.put_all(0, window[:top])
            columns.put(top, ~window[top])
            columns.put_constant(-1 << top)
        group = Signal(columns.width, name="group")
        m.d.comb += group.eq(columns.total(m, self._adder))
        after["window"] = group
        return after

    def _build_exact(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        accumulator = Signal(spec.accumulator_bits, name="accumulator", reset_less=True)
        accumulator_nan = Signal(name="accumulator_nan", reset_less=True)
        window = live["window"]
        adder = WindowAdder(
            window_bits=len(window),
            accumulator_bits=spec.accumulator_bits,
            adder=self._adder,
            segment=self._segment,
        )
        add_submodule(m, platform, "accumulate", adder)
        enable = live["enable"]
        # What is not enabled adds nothing to itself: clearing the window takes less than a multiplexer before
        # each flip-flop. Carries that are kept may then move on, of the same sum.
        keep = wire(m, ~(live["first"] & enable), "keep")
        m.d.comb += [
            adder.accumulator.eq(accumulator & repeat(keep, len(accumulator))),
            adder.window.eq(window & repeat(enable, len(window))),
        ]
        m.d.sync += [
            accumulator.eq(adder.result),
            accumulator_nan.eq((accumulator_nan & keep) | (live["nan"] & enable)),
        ]
        after: Live = {"window": accumulator, "nan": accumulator_nan}
        if self._segment is not None:
            carries = Signal(len(adder.kept), name="accumulator_carries", reset_less=True)
            m.d.comb += adder.carries.eq(carries & repeat(keep, len(carries)))
            m.d.sync += carries.eq(adder.kept)
            after["carries"] = carries
        if "infinite" in live:
            infinite = Signal(2, name="accumulator_infinite", reset_less=True)
            m.d.sync += infinite.eq((infinite & repeat(keep, 2)) | (live["infinite"] & repeat(enable, 2)))
            after["infinite"] = infinite
        return after

    def _build_resolve(self, m: Module, platform: object, live: Live) -> Live:
        assert self._segment is not None
        after = dict(live)
        adder = CarryAdder(accumulator_bits=len(after["window"]), segment=self._segment, adder=self._adder)
        add_submodule(m, platform, "resolve", adder)
        m.d.comb += [adder.accumulator.eq(after["window"]), adder.carries.eq(after.pop("carries"))]
        return after | {"window": adder.total}

    def _build_signed_normalise(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        normalise = SignedNormalise(self.numbers, parallel=self._fast)
        add_submodule(m, platform, "normalise", normalise)
        window = after.pop("window")
        m.d.comb += normalise.value.eq(window)
        after["negative_0"] = window[-1]
        for name in ("nonzero", "fraction", "field"):
            after[name] = getattr(normalise, name)
        return after

    def _build_normalise(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        spec = self.spec
        zeros = after.pop("zeros", None)
        normalise = Normalise(
            self.numbers,
            parallel=self._fast,
            zeros_bits=0 if zeros is None else len(zeros),
            excess=0
            if zeros is None
            else spec.sum_bits - 1 + spec.scale_significand_bits - self.numbers.magnitude_bits,
        )
        add_submodule(m, platform, "normalise", normalise)
        m.d.comb += normalise.magnitude.eq(after.pop("magnitude_0"))
        m.d.comb += normalise.exponent.eq(after.pop("exponent_0"))
        if zeros is not None:
            m.d.comb += normalise.zeros.eq(zeros)
        after["nonzero"] = normalise.nonzero
        after["fraction"] = normalise.fraction
        after["field"] = normalise.field
        return after

    def _specials_of_group(self, m: Module, live: Live) -> tuple[Value, Value, Value]:
        """Take from `live` whether the group is NaN, whether it is infinite, and its sign."""
        negative, nan = live.pop("negative_0"), live.pop("nan")
        infinite: Value | None = live.pop("infinite", None)
        if infinite is None:
            return nan, Const(0), negative
        up, down = infinite
        nan = wire(m, nan | (up & down), "any_nan")
        asked = wire(m, (up | down) & ~nan, "any_infinite")
        return nan, asked, Mux(asked, down, negative)

    def _build_round(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        rounder = Round(
            fraction_bits=len(live["fraction"]),
            field_bits=self.numbers.field_bits,
            overflow=self.numbers.overflow,
            infinite="infinite" in live,
            # One block that is no number is a zero until here; other blocks and accumulators need not be.
            cleared=spec.blocks == 1 and spec.accumulate != "exact",
            inverted=self._windowed,
        )
        add_submodule(m, platform, "round", rounder)
        nan, infinite, negative = self._specials_of_group(m, after)
        m.d.comb += [rounder.negative.eq(negative), rounder.nan.eq(nan)]
        if "infinite" in live:
            m.d.comb += rounder.infinite.eq(infinite)
        for name in ("fraction", "field", "nonzero"):
            m.d.comb += getattr(rounder, name).eq(after.pop(name))
        after["result"] = rounder.result
        return after

    def _build_unpacked(self, m: Module, platform: object, live: Live) -> Live:
        """Round, and give the accumulator's adder the fields of the result."""
        after = self._build_round(m, platform, live)
        result = after.pop("result")
        fraction, field = result[:FRACTION_BITS], result[FRACTION_BITS:31]
        top = wire(m, field.all(), "result_top")
        return after | {
            "r_negative": result[31],
            "r_fraction": fraction,
            "r_field": field,
            "r_normal": field.any(),
            "r_nan": top & fraction.any(),
            "r_infinite": top & ~fraction.any(),
        }

    def _build_operand(self, m: Module, platform: object, live: Live) -> Live:
        """Give the accumulator's adder a number as it stands, where no bits of it are to be rounded."""
        after = dict(live)
        numbers = self.numbers
        nan, infinite, negative = self._specials_of_group(m, after)
        field, fraction, nonzero = after.pop("field"), after.pop("fraction"), after.pop("nonzero")
        asked = infinite
        if numbers.overflow:
            infinite = infinite | field[:8].all() | field[8:].any()
        return after | {
            # A sum of zero has no sign; what became zero by rounding has one.
            "r_negative": negative & (nonzero | asked),
            "r_fraction": fraction,
            "r_field": field[:8],
            "r_normal": field.any() if numbers.subnormal else nonzero,
            "r_nan": nan,
            "r_infinite": infinite,
        }

    def _build_fp32(self, m: Module, platform: object, live: Live) -> Live:
        accumulator = Signal(32, name="accumulator", reset_less=True)
        adder = (TwoPathAdder if self._fast else Binary32Adder)(adder=self._adder)
        add_submodule(m, platform, "accumulate", adder)
        if isinstance(adder, TwoPathAdder):
            hidden = Signal(name="accumulator_normal", reset_less=True)
            m.d.comb += [
                adder.a.eq(accumulator),
                adder.a_normal.eq(hidden),
                adder.first.eq(live["first"]),
                adder.hold.eq(~live["enable"]),
                *(
                    getattr(adder, f"b_{name}").eq(live[f"r_{name}"])
                    for name in ("negative", "fraction", "field", "normal", "nan", "infinite")
                ),
            ]
            m.d.sync += [accumulator.eq(adder.result), hidden.eq(adder.normal)]
            return {"result": accumulator}
        m.d.comb += [adder.a.eq(_before(m, accumulator, live["first"])), adder.b.eq(live["result"])]
        with m.If(live["enable"]):
            m.d.sync += accumulator.eq(adder.result)
        return {"result": accumulator}


def _before(m: Module, accumulator: Value, first: Value) -> Value:
    """Return what a term is added to: the first of a sum to -0, which leaves every number as it is."""
    kept = wire(m, ~first, "keep")
    return Cat(accumulator[:31] & repeat(kept, 31), accumulator[31] | ~kept)
