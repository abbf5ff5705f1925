from dataclasses import replace
from pathlib import Path

from blockdot.hw import UnitConfig
from blockdot.lab.cost.area_delay import AreaDelayPoint, area_at, area_delay_curves, front
from blockdot.model import DotSpec
from blockdot.synth.neutral_library import neutral
from messages import check_messages

DOTS = [
    AreaDelayPoint(delay, area, "x", "area")
    for delay, area in ((1, 10), (2, 9), (3, 4), (4, 5), (5, 3), (3, 6))
]


def test_the_front_and_its_convex_edge():
    assert [(dot.delay, dot.area) for dot in front(DOTS)] == [(1, 10), (2, 9), (3, 4), (5, 3)]
    assert area_at(DOTS, 0.5) is None
    assert area_at(DOTS, 1) == 10
    # The dot at 2 lies above the line from 1 to 3.
    assert area_at(DOTS, 2) == 7
    assert area_at(DOTS, 4) == 3.5
    assert area_at(DOTS, 9) == 3
    assert area_at([], 1) is None


def test_curves_of_two_formats_at_the_same_delays(synthesis_cache: Path):
    units = [UnitConfig(DotSpec(scale=scale, block_size=2), stages=0) for scale in ("ue4m3", "ue5m3")]
    found = area_delay_curves(units, neutral(), orders=2, targets=[90.0], cache=synthesis_cache, workers=1)
    assert found.delays == (90.0,)
    for curve in found.curves:
        # Both forms, three recipes and two sized ones at the target.
        assert [len(order) for order in curve.dots] == [2 * (3 + 2)] * 2
        edge = curve.front
        assert edge == front(edge)
        assert edge[0].delay < edge[-1].delay
    (slow,) = found.deltas
    assert slow.delay == 90.0
    ours, theirs = (curve.areas[0] for curve in found.curves)
    assert ours is not None
    assert theirs is not None
    assert slow.absolute.values == tuple(b - a for a, b in zip(ours.values, theirs.values, strict=True))
    record = found.to_dict()
    assert record["curves"][0]["front"][0]["area"] == found.curves[0].front[0].area


def test_parameters():
    one = UnitConfig(DotSpec(block_size=2), stages=0)
    check_messages(
        [
            (ValueError, "units must be at least one, not none", lambda: area_delay_curves([], neutral())),
            (
                ValueError,
                "units of a curve must be of one kind and size, "
                "not e2m1_ue5m3_n2_none_s0 and e2m1_ue5m3_n4_none_s0",
                lambda: area_delay_curves([one, replace(one, spec=DotSpec(block_size=4))], neutral()),
            ),
            (
                ValueError,
                "delay targets must be positive, not 0",
                lambda: area_delay_curves([one], neutral(), targets=[0]),
            ),
            (
                ValueError,
                "orders must be at least 2 for an error bar, not 1",
                lambda: area_delay_curves([one], neutral(), orders=1),
            ),
        ]
    )
