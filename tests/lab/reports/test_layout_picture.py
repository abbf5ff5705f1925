"""Layouts as pictures: every cell in its component's colour, the wires, and one scale for all."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from blockdot.hw.config import UnitConfig
from blockdot.lab.cost.components import REST
from blockdot.lab.cost.placed_cost import PLACED_RECIPE
from blockdot.lab.cost.unit_layout import UnitLayout, lay_out_units
from blockdot.lab.reports.layout_picture import COMPONENT_COLOURS, component_colours, layout_records
from blockdot.model import DotSpec
from blockdot.synth.neutral_library import neutral
from blockdot.synth.physical.cell_geometry import geometry_of
from blockdot.synth.recipes import choose

from studies.wires.draw import side_by_side

UNITS = [UnitConfig(DotSpec(block_size=2, scale=scale), stages=0) for scale in ("ue2m0", "ue3m0")]


@pytest.fixture(scope="module")
def layouts() -> list[UnitLayout]:
    (recipe,) = choose([PLACED_RECIPE])
    return list(lay_out_units(UNITS, neutral(), geometry_of(neutral()), recipe))


def test_every_cell_and_every_wire_is_drawn(layouts: list[UnitLayout]):
    records = layout_records(layouts)
    assert [record["unit"] for record in records] == [unit.name for unit in UNITS]
    for record, layout in zip(records, layouts, strict=True):
        assert (record["library"], record["routed"]) == ("neutral", False)
        picture = ElementTree.fromstring(record["svg"])
        *boxes, wires = picture.findall("{*}path")
        drawn = {box.findtext("{*}title"): (box.get("fill"), box.get("d", "").count("z")) for box in boxes}
        assert drawn == {
            role: (colour, layout.components.count(role)) for role, colour in record["colours"].items()
        }
        edges = [edge for wire in layout.estimate.nets.values() for edge in wire.tree.edges]
        assert 0.9 * len(edges) < wires.get("d", "").count("M") <= len(edges)
    assert records == layout_records(layouts)
    # Whole numbers of up to four digits keep a picture small.
    assert not re.search(r'[\d.]{5}[^"]*z', records[0]["svg"].partition("<path")[2])


def test_all_have_one_scale_and_one_colour_for_a_component(layouts: list[UnitLayout]):
    records = layout_records(layouts)
    cores = [layout.estimate.placement.core for layout in layouts]
    sizes = [ElementTree.fromstring(record["svg"])[0].attrib for record in records]
    largest = max(max(core.width, core.height) for core in cores)
    for core, size in zip(cores, sizes, strict=True):
        assert int(size["width"]) == round(4000 * core.width / largest)
        assert int(size["height"]) == round(4000 * core.height / largest)
    colours = component_colours(layouts)
    assert all(record["colours"].items() <= colours.items() for record in records)
    roles = sorted(colours.keys() - {REST})
    assert [colours[role] for role in roles] == list(COMPONENT_COLOURS[: len(roles)])


def test_routed_wires_are_drawn_where_there_are_some(layouts: list[UnitLayout]):
    layout = layouts[0]
    first = next(iter(layout.estimate.nets))
    routed = replace(layout.estimate, nets={first: layout.estimate.nets[first]})
    (record,) = layout_records([replace(layout, routed=routed)])
    assert record["routed"]
    wires = ElementTree.fromstring(record["svg"]).findall("{*}path")[-1]
    assert wires.get("d", "").count("M") <= len(routed.nets[first].tree.edges)


def test_pictures_beside_each_other(layouts: list[UnitLayout]):
    picture = ElementTree.fromstring(side_by_side(layout_records(layouts)))
    assert len(picture.findall("{*}svg")) == 2
    texts = [text.text for text in picture.findall("{*}text")]
    assert texts[:2] == [f"{unit.name}, estimated wires" for unit in UNITS]
    assert set(texts[2:]) == {role for layout in layouts for role in layout.components}
    assert layout_records([]) == []
