"""Placement: the core, the pins around it, and cells that are where they may be."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
from blockdot.synth.cell_models import CellModels
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.physical.cell_geometry import CellGeometry, geometry_of
from blockdot.synth.physical.core_area import CORNERS, Core, core_of
from blockdot.synth.physical.placement import CellPlacer, Connections, Placement, to_sites
from blockdot.synth.yosys import SynthesisError


@pytest.fixture(scope="module")
def geometry(models: CellModels) -> CellGeometry:
    return geometry_of(models.library)


def used(netlist: MappedNetlist, geometry: CellGeometry) -> int:
    return sum(geometry.cells[one.cell].width for one in netlist.instances) // geometry.site_width


@pytest.mark.parametrize("utilisation", [0.5, 0.7, 0.9])
def test_the_core_is_as_large_as_the_utilisation_says(
    utilisation: float, chain: MappedNetlist, geometry: CellGeometry
):
    core = core_of(chain, geometry, utilisation=utilisation)
    least = used(chain, geometry) / utilisation
    # Up to a site in each row more.
    assert least <= core.rows * core.sites < least + core.rows
    assert core.area == pytest.approx(core.rows * core.sites / 6)
    high = core_of(chain, geometry, utilisation=utilisation, aspect=4.0)
    assert high.height / high.width == pytest.approx(4 * core.height / core.width, rel=0.4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (functools.partial(core_of, utilisation=0.99), "utilisation must be from 0.1 to 0.95, not 0.99"),
        (functools.partial(core_of, aspect=0.0), "aspect must be from 0.2 to 5, not 0"),
        (functools.partial(core_of, corner=4), "corner must be from 0 to 3, not 4"),
    ],
)
def test_a_core_out_of_range_is_refused(
    make: Callable[[MappedNetlist, CellGeometry], Core],
    message: str,
    chain: MappedNetlist,
    geometry: CellGeometry,
):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(chain, geometry)


def test_pins_stand_around_the_core_in_the_order_of_the_ports(chain: MappedNetlist, geometry: CellGeometry):
    core = core_of(chain, geometry)
    assert list(core.pins) == [("clk", 0), ("en", 0), ("i", 0), ("o", 0), ("o", 1), ("o", 2)]
    sides = [pin.side for pin in core.pins.values()]
    assert list(dict.fromkeys(sides)) == ["left", "top", "right", "bottom"]
    assert len(set(core.pins.values())) == 6
    edges = {"left": (0, None), "right": (core.width, None), "bottom": (None, 0), "top": (None, core.height)}
    for pin in core.pins.values():
        at = (pin.x, pin.y)
        assert all(edge in (None, here) for here, edge in zip(at, edges[pin.side], strict=True))


def test_pins_stand_around_the_core_from_each_corner_on(chain: MappedNetlist, geometry: CellGeometry):
    # Twice as wide as high: two of twelve bits on a short side, four on a long one.
    wide = dataclasses.replace(chain, outputs={"o": chain.outputs["o"] * 3})
    clockwise = ["left", "left", *["top"] * 4, "right", "right", *["bottom"] * 4]
    cores = [core_of(wide, geometry, aspect=0.5, corner=corner) for corner in range(CORNERS)]
    for core, begin in zip(cores, (0, 2, 6, 8), strict=True):
        assert list(core.pins) == list(cores[0].pins)
        assert set(core.pins.values()) == set(cores[0].pins.values())
        sides = [pin.side for pin in core.pins.values()]
        assert sides == clockwise[begin:] + clockwise[:begin]


def test_connections_begin_with_the_driver_and_leave_the_clock_out(
    chain: MappedNetlist, models: CellModels, geometry: CellGeometry
):
    connections = Connections(chain, models, geometry)
    assert connections.clocks == {1}
    assert connections.nets == (2, 3, *range(10, 51), 51)
    begins = connections.starts[:-1].tolist()
    drivers = [(connections.cells[at], connections.names[at]) for at in begins]
    assert drivers[0] == (-1, "en")
    assert drivers[2] == (40, "Q")
    assert drivers[3] == (0, "Y")
    sizes = dict(zip(connections.nets, np.diff(connections.starts).tolist(), strict=True))
    # The output's bit 1 is a net that a gate takes too.
    assert (sizes[2], sizes[30], sizes[11]) == (41, 3, 2)


def test_cells_are_placed_legally_and_near_each_other(
    chain: MappedNetlist, models: CellModels, geometry: CellGeometry
):
    connections, core = Connections(chain, models, geometry), core_of(chain, geometry)
    with CellPlacer() as placer:
        (one,) = placer.place(connections, core, [1])
    taken = np.zeros((core.rows, core.sites), dtype=int)
    for row, site, width in zip(one.rows, one.sites, one.widths, strict=True):
        taken[row, site : site + width] += 1
    assert taken.max() == 1
    assert taken.sum() == used(chain, geometry)
    # A chain's cells stand near each other: a random order would take several times as much wire.
    places = one.pins(connections)
    begins = connections.starts[2:-1]
    short = np.abs(places[begins] - places[begins + 1]).sum(axis=1).mean()
    assert short < 0.35 * (core.width + core.height) / 2


def test_a_seed_gives_the_same_places_and_another_gives_others(models: CellModels, geometry: CellGeometry):
    drawn = np.random.default_rng(0)
    gates = tuple(
        CellInstance(
            "NAND2_X1", {"A": int(drawn.integers(place)), "B": int(drawn.integers(place)), "Y": place}
        )
        for place in range(8, 158)
    )
    netlist = MappedNetlist({"i": tuple(range(8))}, {"o": (157,)}, gates)
    connections, core = Connections(netlist, models, geometry), core_of(netlist, geometry)
    with CellPlacer() as placer:
        one, two, again = (
            one.corners for seeds in ([1, 2], [1]) for one in placer.place(connections, core, seeds)
        )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, two)


def test_pins_of_every_other_row_are_upside_down(
    chain: MappedNetlist, models: CellModels, geometry: CellGeometry
):
    lifted = {
        name: dataclasses.replace(cell, pins={pin: (x, 1000) for pin, (x, _) in cell.pins.items()})
        for name, cell in geometry.cells.items()
    }
    low = dataclasses.replace(geometry, cells=lifted)
    connections, core = Connections(chain, models, low), core_of(chain, low)
    count = len(chain.instances)
    widths = np.array([low.cells[one.cell].width // low.site_width for one in chain.instances])
    rows = np.arange(count) % 2
    placement = Placement(core, widths, rows, np.zeros(count, dtype=np.int64), 1)
    places = placement.pins(connections)
    first = int(connections.starts[3])  # gate 0 drives net 11, which gate 1 takes
    assert places[first].tolist() == [low.cells["NAND2_X1"].pins["Y"][0], 1000]
    assert places[first + 1].tolist() == [low.cells["NAND2_X1"].pins["A"][0], 6000 + 6000 - 1000]


def test_what_is_not_legal_is_refused(chain: MappedNetlist, geometry: CellGeometry):
    core = core_of(chain, geometry)

    def placed(rows: list[int], sites: list[int]) -> Placement:
        return Placement(core, np.array([3, 3]), np.array(rows), np.array(sites), 1)

    placed([0, 0], [0, 3]).check()
    placed([0, 1], [0, 0]).check()
    with pytest.raises(SynthesisError, match=r"^placed cells must not overlap, as 1 pairs do$"):
        placed([0, 0], [0, 2]).check()
    for rows, sites in (([0, core.rows], [0, 0]), ([0, -1], [0, 0]), ([0, 0], [0, core.sites - 2])):
        with pytest.raises(
            SynthesisError, match=r"^placed cells must be in the core, not 1 of them outside$"
        ):
            placed(rows, sites).check()


def test_cells_go_onto_sites_in_their_order_and_near_to_where_they_were():
    centres = np.array([2.4, 2.6, 9.8, 5.0])
    rows, widths = np.array([0, 0, 0, 1]), np.array([2, 3, 4, 2])
    assert to_sites(centres, rows, widths, 10).tolist() == [1, 3, 6, 4]
    # Where a row is full, each has one place.
    assert to_sites(np.array([8.0, 1.0, 8.5]), np.array([0, 0, 0]), np.array([3, 4, 3]), 10).tolist() == [
        4,
        0,
        7,
    ]
