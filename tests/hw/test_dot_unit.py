import itertools
import re
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import own_formats
import pytest
import reference
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator, SimulatorContext
from blockdot.hw import DotUnit, to_rtlil
from blockdot.hw.config import Flow, Optimise
from blockdot.model import DotSpec
from messages import check_messages, whole

ACCUMULATES = ("none", "fp32", "exact")
QUIET_NAN = 0x7FC00000

Codes = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


# What a unit says of itself.


@pytest.mark.parametrize(
    ("spec", "stages", "name"),
    [
        (DotSpec(), 1, "blockdot_e2m1_ue5m3_n16_none_s1"),
        (DotSpec(accumulate="fp32"), 3, "blockdot_e2m1_ue5m3_n16_fp32_s3"),
        (DotSpec(scale=("ue4m3", "ue8m0"), block_size=32), 0, "blockdot_e2m1_ue4m3xue8m0_n32_none_s0"),
        (DotSpec(blocks=4, accumulate="exact", guard=20), 2, "blockdot_e2m1_ue5m3_n16_b4_exact_g20_s2"),
    ],
)
def test_a_unit_is_named_after_its_specification_and_stages(spec: DotSpec, stages: int, name: str) -> None:
    assert DotUnit(spec, stages=stages).name == name


def test_what_does_not_change_the_numbers_or_the_ports_is_not_in_the_name() -> None:
    assert DotUnit(DotSpec(), optimise="delay", order=3).name == DotUnit(DotSpec()).name


CONTROL = [("clk", 1, "in"), ("rst", 1, "in"), ("i_valid", 1, "in"), ("i_ready", 1, "out")]
GROUPS = [("i_first", 1, "in"), ("i_last", 1, "in")]
RESULT = [("o_valid", 1, "out"), ("o_ready", 1, "in"), ("o_result", 32, "out")]


def data(a: int, b: int, a_scale: int, b_scale: int) -> list[tuple[str, int, str]]:
    return [
        ("i_a", a, "in"),
        ("i_b", b, "in"),
        ("i_a_scale", a_scale, "in"),
        ("i_b_scale", b_scale, "in"),
    ]


@pytest.mark.parametrize(
    ("spec", "stages", "ports"),
    [
        (DotSpec(scale="ue4m3"), 0, [*data(64, 64, 7, 7), ("o_result", 32, "out")]),
        (DotSpec(blocks=2), 0, [*data(128, 128, 16, 16), ("o_result", 32, "out")]),
        (DotSpec(scale="ue4m3"), 1, [*CONTROL, *data(64, 64, 7, 7), *RESULT]),
        (DotSpec(block_size=2), 3, [*CONTROL, *data(8, 8, 8, 8), *RESULT]),
        (DotSpec(accumulate="fp32"), 1, [*CONTROL, *GROUPS, *data(64, 64, 8, 8), *RESULT]),
        (
            DotSpec(accumulate="exact", scale=("ue4m3", "ue5m3"), block_size=32, blocks=8),
            3,
            [*CONTROL, *GROUPS, *data(1024, 1024, 56, 64), *RESULT],
        ),
        (DotSpec(scale=("ue8m0", "ue2m0")), 1, [*CONTROL, *data(64, 64, 8, 2), *RESULT]),
    ],
)
def test_ports_are_those_of_the_contract_in_order(
    spec: DotSpec, stages: int, ports: list[tuple[str, int, str]]
) -> None:
    unit = DotUnit(spec, stages=stages)
    assert [(port.name, port.width, port.direction) for port in unit.ports] == ports
    assert all(port.meaning for port in unit.ports)
    # The component's own ports: the clock comes with its clock domain.
    for name, width, _ in ports:
        if name not in ("clk", "rst"):
            assert len(getattr(unit, name)) == width


def test_meanings_give_the_bit_order() -> None:
    meanings = {port.name: port.meaning for port in DotUnit(DotSpec(scale="ue4m3", blocks=2)).ports}
    assert meanings["i_a"] == (
        "elements of a, block j above block j-1, e2m1 codes: number k at bits [4k+3:4k]"
    )
    assert meanings["i_b_scale"] == "block scale of b, ue4m3 codes: number k at bits [7k+6:7k]"
    assert {port.name: port.meaning for port in DotUnit(DotSpec()).ports}["i_a_scale"] == (
        "block scale of a, a ue5m3 code"
    )


@pytest.mark.parametrize(
    ("spec", "widths"),
    [
        (
            DotSpec(scale="ue4m3"),
            {"product_magnitude": 8, "sum": 13, "scale_significand": 8, "scale_exponent": 5, "term": 20},
        ),
        (
            DotSpec(scale="ue4m3", accumulate="exact"),
            {
                "product_magnitude": 8,
                "sum": 13,
                "scale_significand": 8,
                "scale_exponent": 5,
                "term": 20,
                "window": 48,
                "accumulator": 64,
            },
        ),
        (
            DotSpec(scale="ue5m3", accumulate="exact", guard=3),
            {
                "product_magnitude": 8,
                "sum": 13,
                "scale_significand": 8,
                "scale_exponent": 6,
                "term": 20,
                "window": 80,
                "accumulator": 83,
            },
        ),
        (
            DotSpec(scale="ue5m3", accumulate="fp32", blocks=2),
            {
                "product_magnitude": 8,
                "sum": 13,
                "scale_significand": 8,
                "scale_exponent": 6,
                "term": 20,
                "window": 80,
            },
        ),
    ],
)
def test_widths_are_those_of_the_contract(spec: DotSpec, widths: dict[str, int]) -> None:
    assert DotUnit(spec).widths == widths


@pytest.mark.parametrize(
    ("scale", "window", "spare"),
    # ue4m4 has a bit to spare: the largest significand, 31, is not that of the largest number, 30 * 2**4.
    [("ue4m3", 48, 0), ("ue4m4", 51, 1), ("ue5m3", 80, 0), ("ue8m0", 521, 0)],
)
def test_the_window_of_sixteen_elements_holds_the_largest_block(scale: str, window: int, spare: int) -> None:
    assert DotUnit(DotSpec(scale=scale, accumulate="exact")).widths["window"] == window
    values = [value for value in reference.decode(scale) if reference.is_finite(value)]
    quantum = reference.quantum("e2m1") * reference.quantum(scale)
    largest = Fraction(16 * (6 * max(values) / quantum) ** 2)
    assert largest.denominator == 1
    assert window == largest.numerator.bit_length() + 1 + spare


@pytest.mark.parametrize(
    ("spec", "least", "most"),
    [
        (DotSpec(), 0, 6),
        (DotSpec(accumulate="fp32"), 1, 7),
        (DotSpec(accumulate="exact"), 1, 8),
        (DotSpec(blocks=2), 0, 8),
        (DotSpec(blocks=2, accumulate="fp32"), 1, 9),
        (DotSpec(blocks=2, accumulate="exact"), 1, 9),
    ],
)
def test_stages_go_from_none_to_one_behind_each_step(spec: DotSpec, least: int, most: int) -> None:
    for stages in range(least, most + 1):
        unit = DotUnit(spec, stages=stages)
        assert (unit.stages, unit.latency, unit.max_stages) == (stages, stages, most)
    for stages in (least - 1, most + 1):
        message = f"stages must be from {least} to {most} for {spec.name}, not {stages}"
        with pytest.raises(ValueError, match=whole(message)):
            DotUnit(spec, stages=stages)


def test_bad_parameters_are_refused() -> None:
    spec, exact = DotSpec(), DotSpec(scale="ue5m3", accumulate="exact")
    check_messages(
        [
            (TypeError, "spec must be a DotSpec, not 'e2m1'", lambda: DotUnit("e2m1")),  # type: ignore[arg-type]
            (TypeError, "spec must be a DotSpec, not None", lambda: DotUnit(None)),  # type: ignore[arg-type]
            (TypeError, "stages must be an integer, not 1.0", lambda: DotUnit(spec, stages=1.0)),  # type: ignore[arg-type]
            (TypeError, "stages must be an integer, not True", lambda: DotUnit(spec, stages=True)),
            (TypeError, "order must be an integer, not '1'", lambda: DotUnit(spec, order="1")),  # type: ignore[arg-type]
            (TypeError, "order must be an integer, not False", lambda: DotUnit(spec, order=False)),
            (ValueError, "order must not be negative, not -1", lambda: DotUnit(spec, order=-1)),
            (
                ValueError,
                "optimise must be one of area, delay, not 'power'",
                lambda: DotUnit(spec, optimise="power"),  # type: ignore[arg-type]
            ),
            (
                ValueError,
                "flow must be one of stream, valid, enable, not 'ready'",
                lambda: DotUnit(spec, flow="ready"),  # type: ignore[arg-type]
            ),
            (TypeError, "segment must be an integer, not 8.0", lambda: DotUnit(exact, segment=8.0)),  # type: ignore[arg-type]
            (TypeError, "segment must be an integer, not True", lambda: DotUnit(exact, segment=True)),
            (
                ValueError,
                "segment must be from 1 to 95 for e2m1_ue5m3_n16_exact, not 0",
                lambda: DotUnit(exact, segment=0),
            ),
            (
                ValueError,
                "segment must be from 1 to 95 for e2m1_ue5m3_n16_exact, not 96",
                lambda: DotUnit(exact, segment=96),
            ),
            (
                ValueError,
                "segment must be None for accumulate='none', not 8",
                lambda: DotUnit(spec, segment=8),
            ),
        ]
    )


def test_kept_carries_are_added_in_a_step_of_their_own() -> None:
    spec = DotSpec(scale="ue4m3", accumulate="exact")
    plain, kept = DotUnit(spec), DotUnit(spec, segment=8)
    assert [name for name in kept.steps if name not in plain.steps] == ["resolve"]
    assert kept.steps[kept.steps.index("resolve") - 1] == "accumulate"
    assert (kept.max_stages, kept.segment) == (plain.max_stages + 1, 8)


@pytest.mark.parametrize("blocks", [1, 2, 4, 8])
def test_the_smallest_accumulator_holds_one_group(blocks: int) -> None:
    unit = DotUnit(DotSpec(block_size=2, blocks=blocks, accumulate="exact", guard=blocks.bit_length() - 1))
    assert unit.widths["accumulator"] == unit.widths["window"] + blocks.bit_length() - 1
    to_rtlil(unit)  # where widths that do not fit come to light


# Where registers stand.

CUT = [
    DotSpec(block_size=block_size, blocks=blocks, accumulate=accumulate)
    for accumulate in ACCUMULATES
    for block_size, blocks in ((2, 1), (16, 1), (128, 2))
]


@pytest.mark.parametrize("spec", CUT, ids=str)
@pytest.mark.parametrize("optimise", ["area", "delay"])
def test_every_number_of_stages_cuts_as_often(spec: DotSpec, optimise: Optimise) -> None:
    everywhere = DotUnit(spec, optimise=optimise)
    names = DotUnit(spec, stages=everywhere.max_stages, optimise=optimise).registers_after
    assert len(set(names)) == len(names) == everywhere.max_stages
    for stages in range(int(spec.accumulates), len(names) + 1):
        cuts = DotUnit(spec, stages=stages, optimise=optimise).registers_after
        assert len(cuts) == stages
        assert [name for name in names if name in cuts] == list(cuts)
        assert ("accumulate" in cuts) == spec.accumulates


@pytest.mark.parametrize("spec", CUT, ids=str)
@pytest.mark.parametrize("optimise", ["area", "delay"])
def test_no_other_cuts_are_better(spec: DotSpec, optimise: Optimise) -> None:
    """By the rule of `place_registers`: delay asks for the shortest longest path, area for few bits too."""
    beside: list[float] = []

    def longest(names: tuple[str, ...]) -> float:
        lengths, alone = [0.0], True
        for step in steps:
            lengths[-1] += step.depth.alone if alone else step.depth.alone - step.depth.hidden
            beside.append(step.depth.beside)
            alone = step.name in names
            if alone:
                lengths.append(0.0)
        return max(*lengths, *beside)

    def worth(names: tuple[str, ...]) -> tuple[float, float]:
        bits = sum(step.bits for step in steps if step.name in names)
        if optimise == "delay":
            return longest(names), bits
        return longest(names) ** 4 * bits, 0

    most = DotUnit(spec, optimise=optimise).max_stages
    for stages in range(int(spec.accumulates), most + 1):
        steps = DotUnit(spec, stages=stages, optimise=optimise).datapath.steps
        ways = [
            names
            for names in itertools.combinations([step.name for step in steps], stages)
            if "accumulate" in names or not spec.accumulates
        ]
        chosen = DotUnit(spec, stages=stages, optimise=optimise).registers_after
        assert worth(chosen) == pytest.approx(min(map(worth, ways)))


# The numbers.


def draw(spec: DotSpec, count: int, rng: np.random.Generator) -> Codes:
    """Scales uniform over all codes; elements too, but three in ten groups cancel, all or all but one."""
    shape = (count, spec.blocks, spec.block_size)
    a, b = (rng.integers(0, 16, shape, dtype=np.uint8) for _ in range(2))
    scales = [rng.integers(0, 1 << fmt.bits, shape[:-1]).astype(fmt.dtype) for fmt in spec.scales]
    rows = np.flatnonzero(rng.random(count) < 0.3)
    half = spec.block_size // 2
    a[rows, :, half:] = a[rows, :, :half]
    b[rows, :, half:] = b[rows, :, :half] ^ 8
    rows = rows[rng.random(len(rows)) < 0.7]
    b[rows, 0, 0] ^= rng.integers(0, 16, len(rows), dtype=np.uint8)
    # Every product 36 or every one -36.
    rows = np.flatnonzero(rng.random(count) < 0.05)
    a[rows], b[rows] = 7, 7 ^ (8 * rng.integers(0, 2, (len(rows), 1, 1), dtype=np.uint8))
    return a, b, scales[0], scales[1]


def port_values(spec: DotSpec, codes: Codes) -> list[tuple[int, int, int, int]]:
    """What goes on i_a, i_b, i_a_scale and i_b_scale for each group."""
    columns = []
    for array, fmt in zip(codes, spec.elements + spec.scales, strict=True):
        groups = array.reshape(len(array), -1).tolist()
        columns.append([sum(code << (fmt.bits * k) for k, code in enumerate(group)) for group in groups])
    return list(zip(*columns, strict=True))


def model(spec: DotSpec, codes: Codes) -> list[int]:
    """The bits of each group by itself."""
    alone = DotSpec(element=spec.element, scale=spec.scale, block_size=spec.block_size, blocks=spec.blocks)
    a, b, a_scale, b_scale = codes
    return alone.compute(a, b, a_scale, b_scale).view(np.uint32).tolist()


def check_groups(spec: DotSpec, codes: Codes, seen: list[tuple[int]]) -> None:
    rows = port_values(spec, codes)
    wrong = [
        f"{[f'{value:#x}' for value in row]} must give {e:#010x}, not {s:#010x}"
        for row, (s,), e in zip(rows, seen, model(spec, codes), strict=True)
        if s != e
    ]
    assert not wrong, (len(wrong), wrong[:3])


COMBINATIONAL = [
    *({"scale": scale, "block_size": 8} for scale in ("ue4m3", "ue5m3", "ue8m0", "ue4m4")),
    *({"scale": scale, "block_size": 4} for scale in ("ue5m3_ieee", "ue4m3_full", "ue3m2", "ue8m5", "ue2m0")),
    *({"scale": "ue5m3", "block_size": block_size} for block_size in (2, 4, 16, 32, 128)),
    *({"scale": "ue8m0", "block_size": block_size} for block_size in (2, 32)),
    {"scale": ("ue4m3", "ue5m3"), "block_size": 16},
    {"scale": ("ue8m0", "ue4m3"), "block_size": 4},
    {"scale": ("ue2m5", "ue8m0"), "block_size": 8},
    {"scale": "ue4m3", "block_size": 4, "blocks": 2},
    {"scale": "ue5m3", "block_size": 16, "blocks": 2},
    {"scale": "ue4m3", "block_size": 2, "blocks": 8},
    {"scale": "ue8m0", "block_size": 2, "blocks": 2},
    {"scale": ("ue5m3", "ue4m4"), "block_size": 2, "blocks": 4},
    *({"scale": (fmt, "ue4m3"), "block_size": 2} for fmt in own_formats.SCALES),
    *({"element": fmt, "scale": "ue4m3", "block_size": 4} for fmt in own_formats.ELEMENTS),
]


# g++ takes long for what is large, and `make matrix` has the time.
NUMBERS = [
    pytest.param(
        number,
        id=str(DotSpec(**kinds)),
        marks=[pytest.mark.matrix] if DotSpec(**kinds).block_size * DotSpec(**kinds).blocks >= 32 else [],
    )
    for number, kinds in enumerate(COMBINATIONAL)
]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize("number", NUMBERS)
def test_the_emitted_unit_gives_the_bits_of_the_model(
    number: int, optimise: Optimise, evaluate_many: Callable, rng: np.random.Generator
) -> None:
    spec = DotSpec(**COMBINATIONAL[number])
    codes = draw(spec, 4000, rng)
    unit = DotUnit(spec, stages=0, optimise=optimise, order=number % 4)
    check_groups(spec, codes, evaluate_many(unit, port_values(spec, codes)))


@pytest.mark.one_in(4)
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize(
    ("scale", "block_size", "blocks"),
    [("ue4m3", 4, 1), ("ue5m3", 8, 1), ("ue8m0", 2, 1), (("ue4m4", "ue8m0"), 2, 1), ("ue3m2", 2, 2)],
)
def test_the_component_gives_the_bits_of_the_model(
    scale: str,
    block_size: int,
    blocks: int,
    optimise: Optimise,
    order: int,
    evaluate: Callable,
    rng: np.random.Generator,
) -> None:
    spec = DotSpec(scale=scale, block_size=block_size, blocks=blocks)
    codes = draw(spec, 120, rng)
    unit = DotUnit(spec, stages=0, optimise=optimise, order=order)
    check_groups(spec, codes, evaluate(unit, port_values(spec, codes)))


# The streams, cycle by cycle.

STREAMS = [
    (DotSpec(block_size=2, scale="ue4m3", accumulate="none"), 1),
    (DotSpec(block_size=2, scale="ue4m3", accumulate="none"), 4),
    (DotSpec(block_size=2, scale="ue4m3", accumulate="fp32"), 1),
    (DotSpec(block_size=2, scale="ue4m3", accumulate="fp32"), 3),
    (DotSpec(block_size=2, scale="ue3m2", accumulate="exact"), 1),
    (DotSpec(block_size=2, scale="ue3m2", accumulate="exact"), 2),
    (DotSpec(block_size=2, scale="ue3m2", accumulate="exact"), 5),
    (DotSpec(block_size=2, scale="ue3m2", blocks=2, accumulate="fp32"), 2),
    (DotSpec(block_size=2, scale="ue3m2", blocks=2, accumulate="aligned"), 3),
]
streams = pytest.mark.parametrize(("spec", "stages"), STREAMS, ids=str)

Bench = Callable[[SimulatorContext], Awaitable[None]]


class Driver:
    """A unit with its clock and reset, and a test bench that works cycle by cycle."""

    def __init__(self, spec: DotSpec, stages: int, flow: Flow = "stream") -> None:
        self.unit = DotUnit(spec, stages=stages, flow=flow)
        self.spec = spec
        self.domain: Any = ClockDomain("sync")  # its types leave out `rst`

    def run(self, bench: Bench) -> None:
        top = Module()
        top.domains.sync = self.domain
        top.submodules.unit = self.unit
        simulator = Simulator(top)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()

    async def reset(self, ctx: SimulatorContext) -> None:
        ctx.set(self.domain.rst, 1)
        await ctx.tick()
        ctx.set(self.domain.rst, 0)

    def offer(self, ctx: SimulatorContext, row: tuple[int, int, int, int], first: bool, last: bool) -> None:
        for port, value in zip(("i_a", "i_b", "i_a_scale", "i_b_scale"), row, strict=True):
            ctx.set(getattr(self.unit, port), value)
        ctx.set(self.unit.i_valid, 1)
        if self.spec.accumulates:
            ctx.set(self.unit.i_first, first)
            ctx.set(self.unit.i_last, last)


def finite(spec: DotSpec, count: int, rng: np.random.Generator) -> Codes:
    """As `draw`, with no NaN."""
    a, b, *scales = draw(spec, count, rng)
    a_scale, b_scale = (
        np.minimum(codes, fmt.largest_code).astype(fmt.dtype)
        for codes, fmt in zip(scales, spec.scales, strict=True)
    )
    return a, b, a_scale, b_scale


def sums(spec: DotSpec, codes: Codes, starts: npt.NDArray[np.int64]) -> list[int]:
    """The bits of sums from each start to before the next."""
    if not spec.accumulates:
        return model(spec, codes)
    ends = [*starts[1:].tolist(), len(codes[0])]
    return [
        int(spec.compute(*(array[start:end] for array in codes)).view(np.uint32))
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]


@streams
def test_a_result_is_offered_latency_cycles_after_its_last_input_at_one_input_a_cycle(
    spec: DotSpec, stages: int, rng: np.random.Generator
) -> None:
    count = 40
    driver = Driver(spec, stages)
    unit = driver.unit
    first = rng.random(count) < 0.5
    first[0] = True
    if not spec.accumulates:
        first[:] = True
    last = np.roll(first, -1)
    codes = draw(spec, count, rng)
    rows = port_values(spec, codes)
    cycles = (np.flatnonzero(last) + unit.latency).tolist()
    expected = list(zip(cycles, sums(spec, codes, np.flatnonzero(first)), strict=True))
    seen: list[tuple[int, int]] = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        ctx.set(unit.o_ready, 1)
        for cycle in range(count + unit.latency + 5):
            if cycle < count:
                driver.offer(ctx, rows[cycle], bool(first[cycle]), bool(last[cycle]))
            else:
                ctx.set(unit.i_valid, 0)
            assert ctx.get(unit.i_ready) == 1
            if ctx.get(unit.o_valid):
                seen.append((cycle, ctx.get(unit.o_result)))
            await ctx.tick()

    driver.run(bench)
    assert seen == expected


@pytest.mark.one_in(2)
@pytest.mark.parametrize("flow", ["valid", "enable"])
@pytest.mark.parametrize(("spec", "stages"), [STREAMS[k] for k in (1, 3, 4, 8)], ids=str)
def test_without_back_pressure_results_come_as_many_enabled_cycles_after_their_last_input(
    spec: DotSpec, stages: int, flow: Flow, rng: np.random.Generator
) -> None:
    count = 60
    driver = Driver(spec, stages, flow=flow)
    unit = driver.unit
    assert not {"i_ready", "o_ready"} & set(unit.signature.members)
    assert ("en" in unit.signature.members) == (flow == "enable")
    first = rng.random(count) < 0.5
    first[0] = True
    if not spec.accumulates:
        first[:] = True
    last = np.roll(first, -1)
    codes = draw(spec, count, rng)
    rows = port_values(spec, codes)
    results = iter(sums(spec, codes, np.flatnonzero(first)))
    # Enabled cycles are counted; in all others nothing may move, whatever is on the inputs.
    expected: list[tuple[int, int]] = []
    seen: list[tuple[int, int]] = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        offered = moved = 0
        while moved < 3 * count:
            enabled = flow == "valid" or rng.random() < 0.7
            if flow == "enable":
                ctx.set(unit.en, int(enabled))
            offer = offered < count and rng.random() < 0.7
            if offer:
                driver.offer(ctx, rows[offered], bool(first[offered]), bool(last[offered]))
            else:
                driver.offer(
                    ctx, rows[int(rng.integers(count))], bool(rng.integers(2)), bool(rng.integers(2))
                )
                ctx.set(unit.i_valid, 0)
            if enabled:
                if ctx.get(unit.o_valid):
                    seen.append((moved, ctx.get(unit.o_result)))
                if offer:
                    if last[offered]:
                        expected.append((moved + unit.latency, next(results)))
                    offered += 1
                moved += 1
            await ctx.tick()

    driver.run(bench)
    assert seen == expected
    assert len(seen) == last.sum()


@pytest.mark.one_in(2)
@streams
def test_no_input_reaches_i_ready_and_o_ready_reaches_nothing_before_the_next_edge(
    spec: DotSpec, stages: int, rng: np.random.Generator
) -> None:
    driver = Driver(spec, stages)
    unit = driver.unit
    rows = port_values(spec, draw(spec, 120, rng))
    ready_seen = set()

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        for row in rows:
            ctx.set(unit.i_valid, 0)
            ctx.set(unit.o_ready, 0)
            await ctx.delay(1e-9)
            before = [ctx.get(port) for port in (unit.i_ready, unit.o_valid, unit.o_result)]
            ready_seen.add(before[0])
            for _ in range(4):
                driver.offer(ctx, row, bool(rng.integers(2)), bool(rng.integers(2)))
                ctx.set(unit.i_valid, int(rng.integers(2)))
                ctx.set(unit.o_ready, int(rng.random() < 0.6))
                await ctx.delay(1e-9)
                assert [ctx.get(port) for port in (unit.i_ready, unit.o_valid, unit.o_result)] == before
            await ctx.tick()

    driver.run(bench)
    assert ready_seen == {0, 1}


@streams
def test_results_wait_in_order_while_the_output_is_not_ready(
    spec: DotSpec, stages: int, rng: np.random.Generator
) -> None:
    count = 30
    driver = Driver(spec, stages)
    unit = driver.unit
    codes = draw(spec, count, rng)
    rows = port_values(spec, codes)
    every_one = np.arange(count)
    seen: list[int] = []
    taken = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        for cycle in range(count * 12 + 100):
            ready = cycle % 11 == 10  # ten cycles shut: time for the whole pipeline to fill up
            ctx.set(unit.o_ready, ready)
            if len(taken) < count:
                driver.offer(ctx, rows[len(taken)], first=True, last=True)
                if ctx.get(unit.i_ready):
                    taken.append(cycle)
            else:
                ctx.set(unit.i_valid, 0)
            if ctx.get(unit.o_valid) and ready:
                seen.append(ctx.get(unit.o_result))
            await ctx.tick()

    driver.run(bench)
    assert seen == sums(spec, codes, every_one)


@streams
def test_reset_drops_what_is_under_way(spec: DotSpec, stages: int, rng: np.random.Generator) -> None:
    driver = Driver(spec, stages)
    unit = driver.unit
    rows = port_values(spec, codes := finite(spec, stages + 2, rng))
    again = finite(spec, 1, rng)
    seen = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        ctx.set(unit.o_ready, 0)
        for row in rows:  # as many as there is room for: every register, and the spare one
            driver.offer(ctx, row, first=True, last=True)
            await ctx.tick()
        assert (ctx.get(unit.i_ready), ctx.get(unit.o_valid)) == (0, 1)
        assert ctx.get(unit.o_result) == sums(spec, codes, np.arange(len(rows)))[0]
        ctx.set(unit.i_valid, 0)
        await driver.reset(ctx)
        ctx.set(unit.o_ready, 1)
        for _ in range(2 * stages + 4):
            assert (ctx.get(unit.i_ready), ctx.get(unit.o_valid)) == (1, 0)
            await ctx.tick()
        driver.offer(ctx, port_values(spec, again)[0], first=True, last=True)
        await ctx.tick()
        ctx.set(unit.i_valid, 0)
        for _ in range(stages + 4):
            if ctx.get(unit.o_valid):
                seen.append(ctx.get(unit.o_result))
            await ctx.tick()

    driver.run(bench)
    assert seen == sums(spec, again, np.arange(1))


@pytest.mark.parametrize(("spec", "stages"), [case for case in STREAMS if case[0].accumulates], ids=str)
def test_inputs_before_the_first_sum_hang_nothing_and_leave_no_trace(
    spec: DotSpec, stages: int, rng: np.random.Generator
) -> None:
    driver = Driver(spec, stages)
    unit = driver.unit
    codes = finite(spec, 6, rng)
    rows = port_values(spec, codes)
    # Three of no sum, of which two ask for a result; then two sums.
    first, last = [0, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 1]
    seen = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        ctx.set(unit.o_ready, 1)
        for cycle in range(20):
            if cycle < 6:
                assert ctx.get(unit.i_ready) == 1
                driver.offer(ctx, rows[cycle], bool(first[cycle]), bool(last[cycle]))
            else:
                ctx.set(unit.i_valid, 0)
            if ctx.get(unit.o_valid):
                seen.append(ctx.get(unit.o_result))
            await ctx.tick()

    driver.run(bench)
    assert len(seen) == 4
    assert seen[2:] == sums(spec, tuple(array[3:] for array in codes), np.array([0, 2]))  # type: ignore[arg-type]


@pytest.mark.parametrize("accumulate", ["fp32", "exact"])
def test_a_nan_stays_until_the_next_sum(accumulate: str) -> None:
    spec = DotSpec(block_size=2, scale="ue4m3", accumulate=accumulate)  # type: ignore[arg-type]
    driver = Driver(spec, 2)
    unit = driver.unit
    one, nan = int(spec.scales[0].encode(1.0)), 0x7F
    # 1 * 1 + 1 * 1 under scales of one: 2 an input.
    rows = [(0x22, 0x22, scale, one) for scale in (one, nan, one, one, one)]
    first, last = [1, 0, 0, 1, 0], [0, 0, 1, 0, 1]
    seen = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        ctx.set(unit.o_ready, 1)
        for cycle in range(12):
            if cycle < 5:
                driver.offer(ctx, rows[cycle], bool(first[cycle]), bool(last[cycle]))
            else:
                ctx.set(unit.i_valid, 0)
            if ctx.get(unit.o_valid):
                seen.append(ctx.get(unit.o_result))
            await ctx.tick()

    driver.run(bench)
    assert seen == [QUIET_NAN, int(np.float32(4).view(np.uint32))]


@pytest.mark.parametrize(("guard", "blocks"), [(0, 1), (1, 2), (3, 1), (4, 4)])
@pytest.mark.parametrize("sign", [0, 8])
def test_the_exact_accumulator_holds_as_many_of_the_largest_blocks_as_it_says(
    sign: int, guard: int, blocks: int
) -> None:
    spec = DotSpec(block_size=2, scale="ue4m3_full", accumulate="exact", guard=guard, blocks=blocks)
    driver = Driver(spec, 1)
    unit = driver.unit
    groups = (1 << guard) // blocks
    largest = (
        sum(0x7 << (4 * k) for k in range(2 * blocks)),
        sum((0x7 ^ sign) << (4 * k) for k in range(2 * blocks)),
        sum(0x7F << (7 * j) for j in range(blocks)),
        sum(0x7F << (7 * j) for j in range(blocks)),
    )
    seen = []

    async def bench(ctx: SimulatorContext) -> None:
        await driver.reset(ctx)
        ctx.set(unit.o_ready, 1)
        for group in range(groups):
            driver.offer(ctx, largest, first=group == 0, last=group == groups - 1)
            await ctx.tick()
        seen.append((ctx.get(unit.o_valid), ctx.get(unit.o_result)))

    driver.run(bench)
    # Two products of 36 under two scales of 480, so many times: exact in binary32.
    total = np.float32((-1 if sign else 1) * (1 << guard) * 2 * 36 * 480 * 480)
    assert seen == [(1, int(total.view(np.uint32)))]


def test_names_of_units_are_verilog_identifiers() -> None:
    for spec in CUT:
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", DotUnit(spec).name)
