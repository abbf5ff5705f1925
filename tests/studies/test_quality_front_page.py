"""Quality against cost as a page in which the reader chooses: in a browser, its front is the study's."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import browse, needs_chromium
from messages import whole

from studies.quality_against_cost.front_page import FRONT_PAGE, front_page
from studies.quality_against_cost.fronts import priced_kinds
from studies.quality_against_cost.measure import STORED
from studies.quality_against_cost.points import MODELS, front_places, libraries, points
from studies.records import read_stored

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / FRONT_PAGE


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return read_stored(ROOT / STORED)


def test_the_page_is_of_what_is_stored_and_needs_nothing_else(stored):
    text = PAGE.read_text(encoding="utf-8")
    assert front_page(stored) == text, "run make quality-against-cost"
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert text.count("</script>") == 1


def test_a_page_without_areas(stored):
    with pytest.raises(
        ValueError, match=whole("ways must have areas before the page is written, not lack them")
    ):
        front_page(stored | {"areas": []})


# Every reuse up to the largest, for both models, all sums, libraries and costs: where each choice stands.
EVERYWHERE = """
const everywhere = {};
for (const library of libraries) for (const cost of Object.keys(REPORT.libraries[library]))
for (const model of models) for (const sums of REPORT.sums) for (const reuse of [1, 8, 64, 181, 1024]) {
  Object.assign(chosen, { library, cost, model, sums, reuse });
  draw();
  const drawn = [...document.querySelectorAll("#points g")];
  everywhere[[library, cost, model, sums, reuse]] = Object.fromEntries(
    drawn.map(one => [one.dataset.label, one.getAttribute("class")]));
}
document.body.dataset.everywhere = JSON.stringify(everywhere);
"""


@needs_chromium
def test_the_front_is_that_of_the_study(stored, tmp_path):
    document, console = browse(PAGE, tmp_path, script=EVERYWHERE)
    assert console == ""
    told = re.search(r'data-everywhere="([^"]*)"', document)
    assert told is not None
    seen, kinds = set(), set()
    for key, found in json.loads(html.unescape(told[1])).items():
        library, cost, model, sums, reuse = key.split(",")
        kinds.add((library, cost))
        (narrow,) = (narrow for narrow, name in MODELS.items() if name == model)
        choices = points(stored, narrow=narrow, accumulate=sums, library=library, cost=cost)
        expected = zip(choices, front_places(choices, int(reuse)), strict=True)
        assert found == {point.label: place for point, place in expected}, key
        seen |= set(found.values())
    assert seen == {"front", "undecided", "beaten"}
    assert kinds == set(priced_kinds(stored))
    assert {library for library, _ in kinds} == set(libraries(stored))


@needs_chromium
def test_the_reader_chooses(stored, tmp_path):
    slide = """
        const slider = byId("slider");
        slider.value = 12;
        slider.dispatchEvent(new Event("input"));
        for (const [name, value] of [["model", models[1]], ["library", libraries[1]], ["cost", "area"]]) {
          byId(name).value = value;
          byId(name).dispatchEvent(new Event("change"));
        }
        document.querySelector("#points circle").dispatchEvent(new Event("click"));
        document.body.dataset.hash = location.hash;
    """
    moved, console = browse(PAGE, tmp_path, script=slide)
    assert console == ""
    (fragment,) = re.findall(r'data-hash="([^"]*)"', moved)
    assert "reuse=8" in fragment
    (library,) = libraries(stored)[1:]
    assert f"library={library}" in fragment
    again, _ = browse(PAGE, tmp_path, fragment=html.unescape(fragment))
    table = re.compile(r'id="front">(.*?)</table>', re.DOTALL)
    assert table.findall(moved) == table.findall(again)
    choices = points(stored, narrow=4, library=library)
    best = [point for point, place in zip(choices, front_places(choices, 8), strict=True) if place == "front"]
    best.sort(key=lambda point: point.cost(8))
    for rows in table.findall(again):
        cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows.split("<tr>")[2:]]
        assert [(one[0], one[1], one[2]) for one in cells] == [
            (point.label, f"{point.cost(8):.0f}", f"{point.row['perplexity']:.1f}") for point in best
        ]
    tip = moved[moved.index('id="tip"') :]
    assert choices[0].label in tip[: tip.index("</p>")]


@needs_chromium
def test_what_was_told_of_a_point_goes_with_the_choice_that_it_was_of(tmp_path):
    script = """
        document.querySelector("#points circle").dispatchEvent(new Event("click"));
        byId("slider").value = 0;
        byId("slider").dispatchEvent(new Event("input"));
    """
    document, console = browse(PAGE, tmp_path, script=script)
    assert console == ""
    assert ">Choose a point to see what it is.</p>" in document


@needs_chromium
def test_what_an_address_cannot_ask_for_is_not_shown(tmp_path):
    document, console = browse(
        PAGE, tmp_path, fragment="#library=none&cost=constructor&model=none&sums=x&reuse=0.5"
    )
    assert console == ""
    assert document.count('class="front"') > 1
    assert '<output id="reuse">64</output>' in document
