import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from blockdot.hw import UnitConfig
from blockdot.hw.hierarchy import Emitter, add_submodule
from blockdot.lab.cost.attribution import Attribution
from blockdot.lab.cost.comparison import COMPARED_RECIPES, compare_costs, jobs_of
from blockdot.lab.cost.cost_delta import Delta
from blockdot.lab.cost.measurement_bench import MeasurementBench
from blockdot.lab.cost.unit_cost import UnitCost
from blockdot.lab.statistics import Estimate, Summary
from blockdot.model import DotSpec, formats
from blockdot.synth.metric import Metric
from blockdot.synth.neutral_library import neutral
from messages import check_messages


class Sum(wiring.Component):
    """A sum of four numbers by full adders, whose bits enter in an order that the seed gives.

    A plain ``sum()`` would not do: Yosys puts any chain of additions into an order of its own.
    """

    a: Signal
    b: Signal
    c: Signal
    d: Signal
    y: Signal

    def __init__(self, width: int, order: int, *, register: bool) -> None:
        self.width = width
        self.order = order
        self.register = register
        super().__init__({**{name: In(width) for name in "abcd"}, "y": Out(width)})

    def elaborate(self, _: object) -> Module:
        m = Module()
        rng = random.Random(self.order)
        columns = [[self.a[k], self.b[k], self.c[k], self.d[k]] for k in range(self.width)]
        for k, column in enumerate(columns):
            while len(column) > 1:
                rng.shuffle(column)
                a, b, c = column.pop(), column.pop(), column.pop() if column else 0
                # Signals, as an expression used twice would be emitted twice.
                total, carry = Signal(), Signal()
                m.d.comb += [total.eq(a ^ b ^ c), carry.eq((a & b) | (c & (a | b)))]
                column.append(total)
                if k + 1 < self.width:
                    columns[k + 1].append(carry)
        m.d["sync" if self.register else "comb"] += self.y.eq(Cat(columns))
        return m


def make(unit: UnitConfig, order: int) -> tuple[str, str]:
    exponent_bits = formats.get(unit.spec.scales[0].name).exponent_bits
    component = Sum(exponent_bits, order, register=unit.stages > 0)
    return rtlil.convert(component, name="top", emit_src=False), "top"


def make_all_alike(unit: UnitConfig, order: int) -> tuple[str, str]:
    """The same circuit for every spec, in orders that have nothing to do with each other."""
    component = Sum(4, order + 1000 * (unit.spec.scale == "ue5m3"), register=unit.stages > 0)
    return rtlil.convert(component, name="top", emit_src=False), "top"


UNITS = [UnitConfig(DotSpec(scale=scale), stages=0) for scale in ("ue4m3", "ue5m3")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_wider_exponent_costs(cache: Path):
    seen: list[tuple[int, int, str]] = []
    comparison = compare_costs(
        UNITS,
        neutral(),
        make=make,
        workers=1,
        parts=False,
        orders=4,
        cache=cache,
        progress=lambda *state: seen.append(state),
    )
    assert seen[0] == (0, 8, "")
    assert seen[-1] == (8, 8, UNITS[1].name)
    assert comparison.orders == (0, 1, 2, 3)
    narrow, wide = comparison.costs
    assert narrow.unit == UNITS[0]
    assert len(narrow.area.values) == len(narrow.delay.values) == 4
    # The orders are different netlists indeed.
    assert narrow.area.deviation > 0 or narrow.delay.deviation > 0
    assert narrow.flip_flops.values == (0, 0, 0, 0)
    assert narrow.nand2.values == narrow.area.values
    area = comparison.delta(UNITS[1], "area")
    assert area is not None
    assert area.absolute.values == tuple(
        b - a for a, b in zip(narrow.area.values, wide.area.values, strict=True)
    )
    assert area.relative.values == pytest.approx(
        [100 * (b / a - 1) for a, b in zip(narrow.area.values, wide.area.values, strict=True)]
    )
    assert (area.base, area.other, area.resolved, area.verdict) == (UNITS[0], UNITS[1], True, "worse")
    assert comparison.delta(UNITS[0], "area") is None
    assert comparison.delta(UNITS[1], "energy") is None
    assert [delta.metric.name for delta in comparison.deltas] == ["area", "delay", "period"]


def test_a_difference_that_is_none_is_said_to_be_none(cache: Path):
    comparison = compare_costs(
        UNITS, neutral(), make=make_all_alike, workers=1, parts=False, orders=5, cache=cache
    )
    delay = comparison.delta(UNITS[1], "delay")
    assert delay is not None
    assert not delay.resolved
    assert delay.verdict == "unresolved"
    assert delay.text().startswith("not resolved: ")


def test_the_same_twice_and_another_seed(cache: Path, tmp_path: Path):
    first = compare_costs(
        UNITS, neutral(), make=make, workers=1, parts=False, orders=2, cache=tmp_path / "fresh"
    )
    assert compare_costs(UNITS, neutral(), make=make, workers=1, parts=False, orders=2, cache=cache) == first
    assert (
        compare_costs(UNITS, neutral(), make=make, orders=2, workers=1, parts=False).to_dict()
        == first.to_dict()
    )
    assert compare_costs(
        UNITS, neutral(), make=make, workers=1, parts=False, orders=2, seed=1, cache=cache
    ).orders == (2, 3)


def test_units_are_compared_with_the_first_that_differs_in_scale_alone(cache: Path):
    def unit(scale: str, accumulate: str, stages: int) -> UnitConfig:
        return UnitConfig(DotSpec(scale=scale, accumulate=accumulate), stages=stages)  # type: ignore[arg-type]

    units = [
        unit("ue5m3", "none", 0),
        unit("ue4m3", "fp32", 1),
        unit("ue4m3", "none", 0),
        unit("ue8m0", "fp32", 1),
        unit("ue5m3", "fp32", 2),
    ]
    comparison = compare_costs(
        units, neutral(), make=make, workers=1, parts=False, orders=2, recipes=["a2"], cache=cache
    )
    assert [(d.base, d.other) for d in comparison.deltas if d.metric.name == "area"] == [
        (units[0], units[2]),
        (units[1], units[3]),
    ]
    smaller = comparison.delta(units[2], "area")
    assert smaller is not None
    assert smaller.verdict == "better"
    assert [cost.flip_flops.values[0] for cost in comparison.costs] == [0, 4, 0, 8, 5]


def test_json(cache: Path):
    comparison = compare_costs(UNITS, neutral(), make=make, workers=1, parts=False, orders=2, cache=cache)
    record = json.loads(json.dumps(comparison.to_dict()))
    assert list(record) == [
        "library", "tools", "recipes", "orders", "variants", "adders", "level", "costs", "deltas",
        "attributions",
    ]  # fmt: skip
    assert record["library"] == {
        "name": "neutral",
        "files": ["neutral.lib"],
        "sha256": neutral().sha256,
        "area_unit": "NAND2",
        "delay_unit": "FO4",
        "nand2": "NAND2_X1",
        "nand2_area": 1.0,
        "driving_cell": "BUF_X2",
        "output_load_ff": 4.0,
        "left_out": [],
    }
    assert record["recipes"] == ["a2", "d0"]
    assert set(record["tools"]) == {"pyosys", "flow"}
    cost = record["costs"][1]
    assert (cost["unit"], cost["scale"], cost["stages"]) == ("e2m1_ue5m3_n16_none_s0", ["ue5m3", "ue5m3"], 0)
    assert (cost["delay"]["unit"], cost["delay"]["better"]) == ("FO4", "lower")
    assert (cost["area_nand2"]["unit"], cost["flip_flops"]["unit"]) == ("NAND2", "")
    delta = record["deltas"][0]
    assert (delta["base"], delta["other"]) == ("e2m1_ue4m3_n16_none_s0", "e2m1_ue5m3_n16_none_s0")
    assert (delta["absolute"]["unit"], delta["relative"]["unit"]) == ("NAND2", "%")


def delta_of(values: tuple[float, ...], metric: Metric) -> Delta:
    return Delta(UNITS[0], UNITS[1], Estimate(metric, values), Estimate(replace(metric, unit="%"), values))


def test_verdicts():
    lower, higher = Metric("area", "um2", "lower", 2), Metric("speed", "GHz", "higher", 2)
    up, down, none = (1.0, 1.1), (-1.0, -1.1), (-1.0, 1.1)
    assert [delta_of(v, lower).verdict for v in (up, down, none)] == ["worse", "better", "unresolved"]
    assert [delta_of(v, higher).verdict for v in (up, down, none)] == ["better", "worse", "unresolved"]
    assert delta_of(up, lower).text() == "+1.05 ± 0.64 %"
    assert delta_of(none, lower).text() == "not resolved: +0.05 ± 13.34 %"


def test_a_unit_without_a_gate_has_no_percentage(cache: Path):
    def wires(_: UnitConfig, __: int) -> tuple[str, str]:
        return "module \\top\n  wire input 1 \\a\n  wire output 2 \\y\n  connect \\y \\a\nend\n", "top"

    comparison = compare_costs(UNITS, neutral(), make=wires, workers=1, parts=False, orders=2, cache=cache)
    assert [delta.relative.values for delta in comparison.deltas] == [(0.0, 0.0)] * 3
    assert isinstance(comparison.costs[0], UnitCost)
    assert comparison.costs[0].area == Summary(neutral().area, (0.0, 0.0))


def test_parameters():
    check_messages(
        [
            (ValueError, "units must be at least one, not none", lambda: compare_costs([], neutral())),
            (
                ValueError,
                "units must differ, not be e2m1_ue5m3_n16_none_s0 twice",
                lambda: compare_costs([*UNITS, UNITS[1]], neutral()),
            ),
            (
                ValueError,
                "orders must be at least 2 for an error bar, not 1",
                lambda: compare_costs(UNITS, neutral(), make=make, workers=1, parts=False, orders=1),
            ),
            (
                TypeError,
                "orders must be an integer, not 2.5",
                lambda: compare_costs(UNITS, neutral(), make=make, workers=1, parts=False, orders=2.5),  # type: ignore[arg-type]
            ),
            (
                ValueError,
                "seed must not be negative, not -1",
                lambda: compare_costs(UNITS, neutral(), make=make, workers=1, parts=False, seed=-1),
            ),
            (
                ValueError,
                "recipe must be one of a1, a2, a4, s1, d1, d0, d2, d6, not 'fast'",
                lambda: compare_costs(UNITS, neutral(), make=make, workers=1, parts=False, recipes=["fast"]),
            ),
        ]
    )


# What a difference is made of.


class Pair(wiring.Component):
    """Two components that no scale format changes, one that the exponent's width does, and an inverter."""

    a: Signal
    b: Signal
    c: Signal
    d: Signal
    y: Signal
    z: Signal
    w: Signal
    n: Signal

    def __init__(self, width: int, order: int) -> None:
        self.width = width
        self.order = order
        super().__init__(
            {**{name: In(16) for name in "abcd"}, "y": Out(8), "z": Out(8), "w": Out(8), "n": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, width, first, output in (
            ("plain_0", 3, 0, self.y),
            ("plain_1", 3, 3, self.z),
            ("wide", self.width, 6, self.w),
        ):
            component = Sum(width, self.order, register=False)
            add_submodule(m, platform, name, component)
            m.d.comb += [getattr(component, pin).eq(getattr(self, pin)[first:]) for pin in "abcd"]
            m.d.comb += output.eq(component.y)
        m.d.comb += self.n.eq(~self.a[15])
        return m


def make_pair(unit: UnitConfig, order: int) -> tuple[str, str]:
    emitter = Emitter("top")
    text = emitter.convert(Pair(formats.get(unit.spec.scales[0].name).exponent_bits, order), "top")
    return emitter.modules + text, "top"


def test_a_difference_is_attributed_to_the_components_that_differ(cache: Path):
    comparison = compare_costs(UNITS, neutral(), make=make_pair, orders=4, workers=1, cache=cache)
    attribution = comparison.attribution(UNITS[1])
    assert attribution is not None
    assert comparison.attribution(UNITS[0]) is None
    plain, wide, rest = attribution.parts
    assert [part.role for part in attribution.parts] == ["plain", "wide", "own logic and registers"]
    assert (plain.base_count, plain.other_count, plain.equal) == (2, 2, True)
    assert plain.area.values == rest.area.values == (0.0,) * 4
    assert (wide.base_ports, wide.other_ports) == (
        "a 4, b 4, c 4, d 4 -> y 4",
        "a 5, b 5, c 5, d 5 -> y 5",
    )
    assert not wide.equal
    # One more bit of a sum of four is some two full adders, of some 7 NAND2 each.
    assert 7 < wide.area.mean < 25
    assert attribution.total.values == wide.area.values
    assert attribution.agrees
    assert attribution.text().startswith("both ways agree: ")
    # With what is between the two ways, the components add up to the whole.
    assert [sum(pair) for pair in zip(attribution.total.values, attribution.across.values, strict=True)] == (
        pytest.approx(attribution.whole.absolute.values)
    )
    # The parts, each times its count, are the unit: little here can be optimised across their borders.
    for cost in comparison.costs:
        whole = sum(part.count * part.area.values[0] for part in cost.parts)
        assert whole == pytest.approx(cost.area.values[0], rel=0.03)
    assert sum(count for _, count in attribution.cells) > 0


def test_two_ways_that_do_not_agree_are_said_not_to(cache: Path):
    attribution = compare_costs(
        UNITS, neutral(), make=make_pair, orders=4, workers=1, cache=cache
    ).attributions[0]
    far = Estimate(attribution.total.metric, tuple(value + 50 for value in attribution.total.values))
    apart = replace(attribution, total=far)
    assert isinstance(apart, Attribution)
    assert not apart.agrees
    assert apart.across.mean == pytest.approx(attribution.across.mean - 50)
    assert "the ways do NOT agree, as optimising across components makes -" in apart.text()


def test_of_the_ways_in_which_a_netlist_is_mapped_for_area_the_mean_counts():
    unit = UnitConfig(DotSpec(scale="ue4m3"), stages=0)
    found = compare_costs([unit], neutral(), orders=2, variants=3, parts=False, workers=1, make=make)
    assert found.variants == found.to_dict()["variants"] == 3
    bench = MeasurementBench(neutral(), make=make)
    try:
        for order, job in enumerate(jobs_of([unit], (0, 1), COMPARED_RECIPES, parts=False, variants=3)):
            areas = [point.area for point in bench.measure(job).points if point.recipe.startswith("a2")]
            assert len(areas) == 3
            (cost,) = found.costs
            assert cost.area.values[order] == pytest.approx(sum(areas) / 3)
    finally:
        bench.close()
