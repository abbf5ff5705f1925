"""The unit: one specification's datapath, cut into pipeline stages, behind valid/ready streams."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model import DotSpec
from ..model.formats import Top
from .accumulate import Binary32Adder, TwoPathAdder, WindowAdder
from .bits import repeat, wire
from .compressor import AbsoluteAdder, Adder, Columns, FinalAdder, SumOfProducts
from .element import ElementProduct, product_bits
from .hierarchy import place
from .round import FRACTION_BITS, Normalise, Range, Round
from .scale import ScaleProduct, exponent_bits, exponent_offset, exponent_range
from .term import LeadingZeros, Magnitude, MagnitudeTerm, Product, SignedTerm, WindowShift

__all__ = ["OPTIMISE", "DotUnit", "Optimise", "Port", "Step"]

Optimise = Literal["area", "delay"]
OPTIMISE: Final[tuple[Optimise, ...]] = ("area", "delay")

Live = dict[str, Value]


@dataclass(frozen=True)
class Port:
    """One port of the emitted module.

    Attributes:
        name: Its name.
        width: Its width in bits.
        direction: ``in`` or ``out``.
        meaning: What it carries, with its bit order.
    """

    name: str
    width: int
    direction: Literal["in", "out"]
    meaning: str


@dataclass(frozen=True)
class Step:
    """One piece of the datapath, after which a pipeline register may stand.

    Attributes:
        name: What it does.
        depth: Its estimated delay, in two-input gates in series; registers are placed by it.
        build: Adds the hardware to a module and turns the live values before it into those after it.
        accumulates: It is a sum's loop, and ends in the accumulator.
    """

    name: str
    depth: float
    build: Callable[[Module, object, Live], Live]
    accumulates: bool = False


def _log2(n: int) -> int:
    return max(n - 1, 0).bit_length()


class DotUnit(wiring.Component):
    """A block dot-product unit: the hardware of one `DotSpec`.

    One input a cycle at any number of stages. The result of an input (of a sum's last input) is at the
    outputs `latency` cycles after the cycle in which it was taken. With ``stages=0`` the unit is
    combinational and has only data ports.

    Streams follow Amaranth's rules: a transfer happens in a cycle with valid and ready both high; valid
    stays and its payload holds until then. While the output is not ready the whole pipeline stands
    still. One result that arrives in the cycle in which it is found out goes to a spare register, so
    `i_ready` comes straight from a flip-flop: no combinational path leads to it. `rst` (synchronous,
    high) clears the control state; data registers keep what they hold.

    Where the specification accumulates, a sum starts at an input with `i_first` and ends at the one with
    `i_last`. An input before the first `i_first` after reset adds to an undefined sum. A new sum may
    start in the cycle after `i_last`.

    Args:
        spec: What to compute; elements must be ``e2m1``.
        stages: Registers between input and output; the accumulator is one of them. From 0 (from 1 where
            the specification accumulates) to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        order: Seed of the order in which bits enter the compressor trees: every order computes the same,
            through different wires, so that a synthesis result can be given with its spread.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    def __init__(
        self, spec: DotSpec, *, stages: int = 1, optimise: Optimise = "area", order: int = 0
    ) -> None:
        if not isinstance(spec, DotSpec):
            raise TypeError(f"spec must be a DotSpec, not {spec!r}")
        if spec.accumulate == "aligned":
            raise ValueError(f"accumulate must be none, fp32 or exact in hardware, not {spec.accumulate!r}")
        for name, value in (("stages", stages), ("order", order)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        if optimise not in OPTIMISE:
            raise ValueError(f"optimise must be one of {', '.join(OPTIMISE)}, not {optimise!r}")
        if order < 0:
            raise ValueError(f"order must not be negative, not {order}")
        self.spec = spec
        self.stages = stages
        self.optimise: Optimise = optimise
        self.order = order
        # The smallest adder there is, or one of the least depth.
        self._adder: Adder = "ripple" if optimise == "area" else "sklansky"
        self._steps = self._make_steps()
        least = int(spec.accumulates)
        if not least <= stages <= self.max_stages:
            raise ValueError(
                f"stages must be from {least} to {self.max_stages} for {spec.name}, not {stages}"
            )
        self._cuts = self._place_registers()
        super().__init__(
            {
                port.name: (In if port.direction == "in" else Out)(port.width)
                for port in self.ports
                if port.name not in ("clk", "rst")
            }
        )

    # What is known without elaborating.

    @property
    def name(self) -> str:
        """The module's name: ``blockdot_``, the specification's name, ``_s`` and the stages."""
        return f"blockdot_{self.spec.name}_s{self.stages}"

    @property
    def latency(self) -> int:
        """Cycles from the one in which an input is taken to the one in which its result is offered."""
        return self.stages

    @property
    def max_stages(self) -> int:
        """The most registers this datapath has places for: one behind each step."""
        return len(self._steps)

    @property
    def registers_after(self) -> tuple[str, ...]:
        """Names of the steps behind which a register stands, in order."""
        return tuple(self._steps[i].name for i in sorted(self._cuts))

    @property
    def ports(self) -> tuple[Port, ...]:
        """The emitted module's ports, in order."""
        spec = self.spec
        n, blocks = spec.block_size, spec.blocks
        a, b = spec.elements
        scale_a, scale_b = spec.scales

        def vector(fmt: str, bits: int, count: int, what: str) -> str:
            if count == 1:
                return f"{what}, a {fmt} code"
            return f"{what}, {fmt} codes: number k at bits [{bits}k+{bits - 1}:{bits}k]"

        lanes = f"elements of {{}}{', block j above block j-1' if blocks > 1 else ''}"
        data = (
            Port("i_a", n * blocks * a.bits, "in", vector(a.name, a.bits, n * blocks, lanes.format("a"))),
            Port("i_b", n * blocks * b.bits, "in", vector(b.name, b.bits, n * blocks, lanes.format("b"))),
            Port(
                "i_a_scale",
                blocks * scale_a.bits,
                "in",
                vector(scale_a.name, scale_a.bits, blocks, "block scale of a"),
            ),
            Port(
                "i_b_scale",
                blocks * scale_b.bits,
                "in",
                vector(scale_b.name, scale_b.bits, blocks, "block scale of b"),
            ),
        )
        result = Port("o_result", 32, "out", "the result, binary32")
        if self.stages == 0:
            return (*data, result)
        groups = (
            Port("i_first", 1, "in", "this input starts a sum"),
            Port("i_last", 1, "in", "this input ends its sum, whose result follows"),
        )
        return (
            Port("clk", 1, "in", "clock, rising edge"),
            Port("rst", 1, "in", "reset of the control state, synchronous, active high"),
            Port("i_valid", 1, "in", "an input is offered"),
            Port("i_ready", 1, "out", "an input is taken if one is offered"),
            *(groups if spec.accumulates else ()),
            *data,
            Port("o_valid", 1, "out", "a result is offered"),
            Port("o_ready", 1, "in", "a result is taken if one is offered"),
            result,
        )

    @property
    def widths(self) -> dict[str, int]:
        """Widths inside the unit, in bits."""
        spec = self.spec
        widths = {
            "product_magnitude": product_bits(*spec.elements),
            "sum": spec.sum_bits,
            "scale_significand": spec.scale_significand_bits,
            "scale_exponent": exponent_bits(*spec.scales),
            "term": spec.term_bits,
        }
        if self._windowed:
            widths["window"] = spec.window_bits
        if spec.accumulate == "exact":
            widths["accumulator"] = spec.accumulator_bits
        return widths

    # The datapath, step by step.

    @property
    def _windowed(self) -> bool:
        """Whether terms are placed in a fixed-point window: to sum blocks, or to accumulate exactly."""
        return self.spec.blocks > 1 or self.spec.accumulate == "exact"

    @property
    def _fast(self) -> bool:
        return self.optimise == "delay"

    @property
    def _specials(self) -> tuple[bool, bool]:
        """Whether a sum of products can be NaN, and whether it can be infinite."""
        tops = {fmt.top for fmt in self.spec.elements}
        return tops != {Top.FINITE}, Top.IEEE in tops

    def _make_steps(self) -> list[Step]:
        spec = self.spec
        group_bits = spec.window_bits + _log2(spec.blocks)

        def carry(width: int) -> float:
            return 2 * _log2(width) + 2 if self._fast else 2 * width

        signed_magnitude = self._fast and not self._windowed
        steps = [
            Step("product", 8, self._build_products),
            Step("compress", 4 * math.log(spec.block_size * 1.2, 1.5), self._build_tree),
            Step("add", carry(spec.sum_bits), self._build_absolute if signed_magnitude else self._build_sum),
            Step(
                "multiply",
                4 * math.log(max(spec.scale_significand_bits, 2), 1.5) + carry(spec.term_bits) / 2,
                self._build_signed_term
                if self._windowed
                else self._build_product_term
                if self._fast
                else self._build_term,
            ),
        ]
        numbers = Range(
            magnitude_bits=spec.term_bits - 1,
            exponent_bits=exponent_bits(*spec.scales),
            exponents=exponent_range(*spec.scales),
            offset=exponent_offset(*spec.scales) + sum(fmt.quantum_exponent for fmt in spec.elements),
        )
        if self._windowed:
            steps.append(Step("place", 3 * exponent_bits(*spec.scales), self._build_window))
            magnitude_bits = group_bits - 1
            if spec.blocks > 1:
                steps.append(Step("join", 4 * _log2(spec.blocks) + carry(group_bits), self._build_join))
            if spec.accumulate == "exact":
                magnitude_bits = spec.accumulator_bits - 1
                steps.append(
                    Step("accumulate", carry(spec.accumulator_bits), self._build_exact, accumulates=True)
                )
            steps.append(Step("magnitude", carry(magnitude_bits), self._build_magnitude))
            numbers = Range(
                magnitude_bits=magnitude_bits,
                exponent_bits=0,
                exponents=(0, 0),
                offset=spec.quantum_exponent,
            )
        self._numbers = numbers
        steps.append(Step("normalise", 5 * _log2(numbers.magnitude_bits), self._build_normalise))
        steps.append(
            Step(
                "round",
                14 if numbers.rounds else 2,
                self._build_round
                if not self._fast or spec.accumulate != "fp32"
                else self._build_unpacked
                if numbers.rounds
                else self._build_operand,
            )
        )
        if spec.accumulate == "fp32":
            steps.append(Step("accumulate", 50 if self._fast else 75, self._build_fp32, accumulates=True))
        return steps

    def _build_products(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        a_format, b_format = spec.elements
        nan_possible, infinite_possible = self._specials
        after: Live = {}
        nan: list[Value] = []
        infinite: list[Value] = []
        for j in range(spec.blocks):
            products: list[ElementProduct] = []
            for k in range(spec.block_size):
                lane = j * spec.block_size + k
                product = ElementProduct(a_format, b_format, fast=self._fast)
                place(m, platform, f"product_{lane}", product)
                m.d.comb += [
                    product.a.eq(live["a"].word_select(lane, a_format.bits)),
                    product.b.eq(live["b"].word_select(lane, b_format.bits)),
                ]
                products.append(product)
            scale = ScaleProduct(
                *spec.scales,
                significand_bits=spec.scale_significand_bits if self._fast else None,
                nan=nan_possible,
                infinite=infinite_possible,
                adder=self._adder,
                order=self.order,
            )
            place(m, platform, f"scale_{j}", scale)
            m.d.comb += [
                scale.a.eq(live["a_scale"].word_select(j, spec.scales[0].bits)),
                scale.b.eq(live["b_scale"].word_select(j, spec.scales[1].bits)),
            ]
            after[f"negative_{j}"] = Cat(*(product.negative for product in products))
            after[f"magnitude_{j}"] = Cat(*(product.magnitude for product in products))
            if self._fast:
                after[f"significand_{j}_0"] = scale.significand
            else:
                after[f"significand_{j}_0"] = scale.a_significand
                after[f"significand_{j}_1"] = scale.b_significand
            after[f"exponent_{j}"] = scale.exponent
            if nan_possible:
                sum_nan = Cat(*(product.nan for product in products)).any()
                if infinite_possible:
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
        spec = self.spec
        after = dict(live)
        for j in range(spec.blocks):
            tree = SumOfProducts(
                lanes=spec.block_size,
                magnitude_bits=product_bits(*spec.elements),
                sum_bits=spec.sum_bits,
                offset=-1 if self._fast and not self._windowed else 0,
                balanced=self._fast,
                order=self.order,
            )
            place(m, platform, f"tree_{j}", tree)
            m.d.comb += [
                tree.negative.eq(after.pop(f"negative_{j}")),
                tree.magnitude.eq(after.pop(f"magnitude_{j}")),
            ]
            after[f"save_{j}"] = tree.save
            after[f"carry_{j}"] = tree.carry
        return after

    def _build_sum(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        for j in range(self.spec.blocks):
            adder = FinalAdder(width=self.spec.sum_bits, adder=self._adder)
            place(m, platform, f"add_{j}", adder)
            m.d.comb += [adder.save.eq(after.pop(f"save_{j}")), adder.carry.eq(after.pop(f"carry_{j}"))]
            after[f"total_{j}"] = adder.total
        return after

    def _build_absolute(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        adder = AbsoluteAdder(width=self.spec.sum_bits, adder=self._adder)
        place(m, platform, "add", adder)
        m.d.comb += [adder.save.eq(after.pop("save_0")), adder.carry.eq(after.pop("carry_0"))]
        after["negative"] = adder.negative
        after["sum_magnitude"] = adder.magnitude
        return after

    def _significand_bits(self) -> list[int]:
        if self._fast:
            return [self.spec.scale_significand_bits]
        return [fmt.significand_bits for fmt in self.spec.scales]

    def _build_term(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        term = MagnitudeTerm(
            sum_bits=spec.sum_bits,
            significand_bits=self._significand_bits(),
            magnitude_bits=spec.term_bits - 1,
            adder=self._adder,
            order=self.order,
        )
        place(m, platform, "term", term)
        m.d.comb += [
            term.total.eq(after.pop("total_0")),
            term.significand_0.eq(after.pop("significand_0_0")),
            term.significand_1.eq(after.pop("significand_0_1")),
        ]
        after["negative"] = term.negative
        after["magnitude"] = term.magnitude
        after["exponent"] = after.pop("exponent_0")
        return after

    def _build_product_term(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        a_bits, b_bits = spec.sum_bits - 1, spec.scale_significand_bits
        product = Product(
            a_bits=a_bits, b_bits=b_bits, product_bits=spec.term_bits - 1, adder=self._adder, order=self.order
        )
        place(m, platform, "term", product)
        magnitude, significand = after.pop("sum_magnitude"), after.pop("significand_0_0")
        m.d.comb += [product.a.eq(magnitude), product.b.eq(significand)]
        if b_bits > 1:
            # The zeros of a product are those of its factors, or one more, and known long before it is.
            zeros = LeadingZeros(a_bits=a_bits, b_bits=b_bits)
            place(m, platform, "zeros", zeros)
            m.d.comb += [zeros.a.eq(magnitude), zeros.b.eq(significand)]
            after["zeros"] = zeros.count
        after["magnitude"] = product.product
        after["exponent"] = after.pop("exponent_0")
        return after

    def _build_signed_term(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        widths = self._significand_bits()
        for j in range(spec.blocks):
            term = SignedTerm(
                sum_bits=spec.sum_bits,
                significand_bits=widths,
                term_bits=spec.term_bits,
                adder=self._adder,
                order=self.order,
            )
            place(m, platform, f"term_{j}", term)
            m.d.comb += [
                term.total.eq(after.pop(f"total_{j}")),
                *(
                    getattr(term, f"significand_{k}").eq(after.pop(f"significand_{j}_{k}"))
                    for k in range(len(widths))
                ),
            ]
            after[f"term_{j}"] = term.term
        return after

    def _build_window(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        for j in range(spec.blocks):
            shift = WindowShift(
                term_bits=spec.term_bits,
                exponent_bits=exponent_bits(*spec.scales),
                least_exponent=exponent_range(*spec.scales)[0],
                window_bits=spec.window_bits,
            )
            place(m, platform, f"place_{j}", shift)
            m.d.comb += [
                shift.term.eq(after.pop(f"term_{j}")),
                shift.exponent.eq(after.pop(f"exponent_{j}")),
            ]
            after["window" if spec.blocks == 1 else f"window_{j}"] = shift.window
        return after

    def _build_join(self, m: Module, platform: object, live: Live) -> Live:
        spec = self.spec
        after = dict(live)
        columns = Columns(spec.window_bits + _log2(spec.blocks), order=self.order)
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
            window_bits=len(window), accumulator_bits=spec.accumulator_bits, adder=self._adder
        )
        place(m, platform, "accumulate", adder)
        m.d.comb += [
            adder.accumulator.eq(Mux(live["first"], 0, accumulator)),
            adder.window.eq(window),
        ]
        with m.If(live["enable"]):
            m.d.sync += [
                accumulator.eq(adder.result),
                accumulator_nan.eq((accumulator_nan & ~live["first"]) | live["nan"]),
            ]
        after: Live = {"window": accumulator, "nan": accumulator_nan}
        if "infinite" in live:
            infinite = Signal(2, name="accumulator_infinite", reset_less=True)
            with m.If(live["enable"]):
                m.d.sync += infinite.eq((infinite & repeat(~live["first"], 2)) | live["infinite"])
            after["infinite"] = infinite
        return after

    def _build_magnitude(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        window = after.pop("window")
        magnitude = Magnitude(bits=len(window), adder=self._adder)
        place(m, platform, "sign_magnitude", magnitude)
        m.d.comb += magnitude.value.eq(window)
        after["negative"] = magnitude.negative
        after["magnitude"] = magnitude.magnitude
        return after

    def _build_normalise(self, m: Module, platform: object, live: Live) -> Live:
        after = dict(live)
        zeros = after.pop("zeros", None)
        spec = self.spec
        normalise = Normalise(
            self._numbers,
            parallel=self._fast,
            zeros_bits=0 if zeros is None else len(zeros),
            excess=0
            if zeros is None
            else spec.sum_bits - 1 + spec.scale_significand_bits - self._numbers.magnitude_bits,
        )
        place(m, platform, "normalise", normalise)
        m.d.comb += normalise.magnitude.eq(after.pop("magnitude"))
        if not self._windowed:
            m.d.comb += normalise.exponent.eq(after.pop("exponent"))
        if zeros is not None:
            m.d.comb += normalise.zeros.eq(zeros)
        after["nonzero"] = normalise.nonzero
        after["fraction"] = normalise.fraction
        after["field"] = normalise.field
        return after

    def _specials_of_group(self, m: Module, live: Live) -> tuple[Value, Value, Value]:
        """Take from `live` whether the group is NaN, whether it is infinite, and its sign."""
        negative, nan = live.pop("negative"), live.pop("nan")
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
            fraction_bits=self._numbers.fraction_bits,
            field_bits=self._numbers.field_bits,
            overflow=self._numbers.overflow,
            infinite="infinite" in live,
            # One block that is no number is a zero until here; other blocks and accumulators need not be.
            cleared=spec.blocks == 1 and spec.accumulate != "exact",
        )
        place(m, platform, "round", rounder)
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
        numbers = self._numbers
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
        # The first of a sum is added to -0, which leaves every number as it is.
        kept = wire(m, ~live["first"], "keep")
        before = Cat(accumulator[:31] & repeat(kept, 31), accumulator[31] | ~kept)
        adder = (TwoPathAdder if self._fast else Binary32Adder)(adder=self._adder)
        place(m, platform, "accumulate", adder)
        m.d.comb += adder.a.eq(before)
        if isinstance(adder, TwoPathAdder):
            hidden = Signal(name="accumulator_normal", reset_less=True)
            m.d.comb += [
                adder.a_normal.eq(hidden & kept),
                *(
                    getattr(adder, f"b_{name}").eq(live[f"r_{name}"])
                    for name in ("negative", "fraction", "field", "normal", "nan", "infinite")
                ),
            ]
            with m.If(live["enable"]):
                m.d.sync += hidden.eq(adder.normal)
        else:
            m.d.comb += adder.b.eq(live["result"])
        with m.If(live["enable"]):
            m.d.sync += accumulator.eq(adder.result)
        return {"result": accumulator}

    # Pipelining.

    def _place_registers(self) -> frozenset[int]:
        """Choose the steps behind which registers stand: the least longest path, then the latest places.

        The accumulator is a register whose place is given. Among the ways to place the others the one
        with the least estimated delay between registers is taken; of equals, the one that cuts latest,
        where fewer bits are alive.
        """
        count = len(self._steps)
        fixed = [i for i, step in enumerate(self._steps) if step.accumulates]
        best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}

        # best[i, k]: the least longest path of steps before i with k registers, the last right before i.
        best[0, 0] = (0.0, ())
        depths = [step.depth for step in self._steps]
        for i in range(1, count + 1):
            for k in range(1, self.stages + 1):
                candidates = []
                for j in range(i):
                    if (j, k - 1) not in best or any(j <= f < i - 1 for f in fixed):
                        continue
                    longest, cuts = best[j, k - 1]
                    candidates.append((max(longest, sum(depths[j:i])), (*cuts, i - 1)))
                if candidates:
                    best[i, k] = min(candidates, key=lambda c: (c[0], tuple(-x for x in c[1])))
        ends = []
        for i in range(count + 1):
            if (i, self.stages) not in best or any(f >= i for f in fixed):
                continue
            longest, cuts = best[i, self.stages]
            ends.append((max(longest, sum(depths[i:])), cuts))
        return frozenset(min(ends, key=lambda c: (c[0], tuple(-x for x in c[1])))[1])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        live: Live = {name: getattr(self, f"i_{name}") for name in ("a", "b", "a_scale", "b_scale")}
        if self.stages == 0:
            for step in self._steps:
                live = step.build(m, platform, live)
            m.d.comb += self.o_result.eq(live["result"])
            return m
        spare_full = Signal()
        spare = Signal(32, reset_less=True)
        # Everything moves, or stands still, together.
        move = Signal()
        m.d.comb += [move.eq(~spare_full), self.i_ready.eq(move)]
        valid: Value = self.i_valid
        if self.spec.accumulates:
            live |= {"first": self.i_first, "last": self.i_last}
        stage = 0
        for i, step in enumerate(self._steps):
            if step.accumulates:
                last = live.pop("last")
                live = step.build(m, platform, live | {"enable": move & valid})
                ended = valid & last
                valid = Signal(name=f"valid_{stage}")
                with m.If(move):
                    m.d.sync += valid.eq(ended)
                stage += 1
                continue
            passed = {name: live.pop(name) for name in ("first", "last") if name in live}
            live = step.build(m, platform, live) | passed
            if i in self._cuts:
                registers: Live = {}
                before = valid
                valid = Signal(name=f"valid_{stage}")
                with m.If(move):
                    m.d.sync += valid.eq(before)
                    for name, value in live.items():
                        registers[name] = Signal(
                            signed(len(value)) if value.shape().signed else len(value),
                            name=f"{name}_{stage}",
                            reset_less=True,
                        )
                        m.d.sync += registers[name].eq(value)
                live = registers
                stage += 1
        m.d.sync += spare_full.eq(self.o_valid & ~self.o_ready)
        with m.If(move):
            m.d.sync += spare.eq(live["result"])
        m.d.comb += [
            self.o_valid.eq(spare_full | valid),
            self.o_result.eq(Mux(spare_full, spare, live["result"])),
        ]
        return m
