from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from blockdot.hw import UnitConfig
from blockdot.lab.cost.fpga_cost import RESOURCES, fpga
from blockdot.model import DotSpec, formats
from blockdot.synth.fpga import FpgaResources, FpgaSynthesizer
from blockdot.synth.ice40_placement import Ice40Placer, PlacedDesign, RoutedTiming
from blockdot.synth.netlist import Netlist
from messages import check_messages

UNITS = [UnitConfig(DotSpec(scale=scale, block_size=2), stages=0) for scale in ("ue4m3", "ue5m3")]


class Masked(wiring.Component):
    """As many two-input gates as an exponent has bits, and one more in every second order."""

    a: Signal
    b: Signal
    y: Signal

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"a": In(width), "b": In(width), "y": Out(width)})

    def elaborate(self, _: object) -> Module:
        m = Module()
        m.d.comb += self.y.eq(self.a & self.b)
        return m


def make(unit: UnitConfig, order: int) -> tuple[str, str]:
    width = formats.get(unit.spec.scales[0].name).exponent_bits + order % 2
    return rtlil.convert(Masked(width), name="top", emit_src=False), "top"


def test_resources_and_their_difference_are_paired_by_order():
    seen: list[tuple[int, int, str]] = []
    narrow, wide = fpga(
        UNITS, ["ice40"], orders=2, make=make, workers=2, progress=lambda *state: seen.append(state)
    )
    assert narrow.resources["luts"].values == (4, 5)
    assert wide.resources["luts"].values == (5, 6)
    assert {wide.resources[name].median for name in RESOURCES if name != "luts"} == {0}
    assert (narrow.base, narrow.delta, wide.base) == (None, None, UNITS[0])
    assert wide.delta is not None
    assert wide.delta.values == pytest.approx((25, 20))
    assert [(done, total) for done, total, _ in seen] == [(k, 4) for k in range(1, 5)]
    record = wide.to_dict()
    assert (record["target"], record["luts"]["median"], record["base"]) == ("ice40", 5.5, UNITS[0].name)


def test_parameters():
    check_messages(
        [
            (
                ValueError,
                "orders must be at least 2 for an error bar, not 1",
                lambda: fpga(UNITS, ["ice40"], orders=1),
            ),
            (
                ValueError,
                "target must be one of ice40, ecp5, xilinx, not 'max10'",
                lambda: fpga(UNITS, ["max10"], orders=2, make=make),
            ),
        ]
    )


def routed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Have units placed without nextpnr, the wider the faster; return the seeds that are asked for."""
    asked: list[tuple[int, ...]] = []

    def place(_: Ice40Placer, netlist: Netlist, seeds: list[int]) -> PlacedDesign:
        asked.append(tuple(seeds))
        width = netlist.text.count("process") or len(netlist.text) % 7 + 1
        return PlacedDesign(
            FpgaResources(width, 0, 0, 0, 0, (("SB_LUT4", width),)),
            100 + width,
            tuple(RoutedTiming(10.0 * width + seed, seed < 3, 200) for seed in seeds),
        )

    monkeypatch.setattr("blockdot.synth.ice40_placement.nextpnr_version", lambda: "1")
    monkeypatch.setattr("blockdot.lab.cost.fpga_cost.nextpnr_version", lambda: "1")
    monkeypatch.setattr(Ice40Placer, "place", place)
    return asked


def made(unit: UnitConfig, order: int) -> tuple[str, str]:
    return "process" * (formats.get(unit.spec.scales[0].name).exponent_bits + order), "top"


def test_frequencies_are_the_mean_of_each_netlist_and_paired_by_order(monkeypatch: pytest.MonkeyPatch):
    routed(monkeypatch)
    narrow, wide = fpga(UNITS, ["ice40"], orders=2, placements=3, make=made, workers=2)
    assert narrow.placed is not None
    assert wide.placed is not None
    assert narrow.placed.seeds == (1, 2, 3)
    assert narrow.placed.fmax.values == (41, 42, 43, 51, 52, 53)
    assert narrow.placed.means == (42, 52)
    assert narrow.placed.fmax_delta is None
    assert narrow.placed.logic_cells.values == (104, 105)
    assert narrow.resources["luts"].values == (4, 5)
    assert wide.placed.fmax_delta is not None
    assert wide.placed.fmax_delta.values == pytest.approx((100 * 10 / 42, 100 * 10 / 52))
    assert wide.placed.logic_cells_delta is not None
    assert wide.placed.logic_cells_delta.values == pytest.approx((100 / 104, 100 / 105))
    assert not wide.placed.inside
    record = wide.to_dict()["placed"]
    assert (record["device"], record["fmax"]["unit"], record["fmax"]["better"]) == ("HX8K", "MHz", "higher")


def test_what_was_placed_is_kept_and_more_seeds_are_added_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked = routed(monkeypatch)

    def measured(placements: int) -> list[dict[str, object]]:
        asked.clear()
        costs = fpga(UNITS, ["ice40"], orders=2, placements=placements, cache=tmp_path, workers=1)
        return [cost.to_dict() for cost in costs]

    first = measured(2)
    assert asked == [(1, 2)] * 4
    assert measured(2) == first
    assert asked == []
    more = measured(3)
    assert asked == [(3,)] * 4
    assert more[0]["luts"] == first[0]["luts"]
    # A damaged file is none.
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_text("{}")
    assert measured(3) == more
    assert asked == [(1, 2, 3)] * 4


def test_counts_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(
        FpgaSynthesizer, "run", lambda *_: {"ice40": FpgaResources(7, 0, 0, 0, 0, (("A", 7),))}
    )
    first = fpga(UNITS, ["ice40"], orders=2, cache=tmp_path)
    monkeypatch.setattr(FpgaSynthesizer, "run", None)
    seen: list[tuple[int, int, str]] = []
    again = fpga(UNITS, ["ice40"], orders=2, cache=tmp_path, progress=lambda *state: seen.append(state))
    assert again == first
    assert again[0].resources["luts"].values == (7, 7)
    assert seen == [(4, 4, "")]


def test_parameters_of_placing():
    check_messages(
        [
            (
                ValueError,
                "placements must not be negative, not -1",
                lambda: fpga(UNITS, ["ice40"], orders=2, placements=-1),
            ),
            (
                ValueError,
                "target must be ice40 to be placed and routed, not 'ecp5'",
                lambda: fpga(UNITS, ["ice40", "ecp5"], orders=2, placements=1),
            ),
        ]
    )
