"""The page of an evaluation, in a browser."""

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import combine
from blockdot.lab.language.report import EvaluatedWay, EvaluationReport, LayerErrors
from blockdot.lab.quality.quantization_error import Quantization, QuantizationError
from blockdot.lab.reports.evaluation_page import evaluation_page
from browser import browse, needs_chromium


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    """Two formats and two sizes, one of them as good as the model as it is, and the layers of one way."""
    rng = np.random.default_rng(0)
    ways = [Quantization(scale=scale, block_size=size) for scale in ("ue4m3", "ue5m3") for size in (8, 16)]
    sweep = combine(ways)
    plain = rng.normal(-3, 1, 200)
    worse = [0.0, 0.2, 0.1, 0.05, 0.0]
    found = [plain, *(plain - more + 0.01 * rng.normal(0, 1, 200) for more in worse[1:])]
    model = {
        "name": "a </script> & b",
        "architecture": "llama",
        "layers": 2,
        "width": 48,
        "stored_as": {"F32": 9},
    }
    text = dict.fromkeys(("tokens", "windows", "window", "stride", "scored"), 7) | {"source": "a book"}
    made = EvaluationReport(model, text, tuple(map(EvaluatedWay, sweep, found)), 10, ("One thing more.",))
    error = QuantizationError(ways[0], None, 0.01, 20.0, 0.25, 0.5, 0.0, None, None)
    errors = LayerErrors(2, 96, 0.0123, error)
    layers = [
        made.layer(EvaluatedWay(replace(sweep[1], only=f"layers.{k}"), plain - 0.02 * (k + 1)), errors)
        for k in range(2)
    ]
    return replace(made, layers=tuple(layers))


@pytest.fixture
def page(report: EvaluationReport, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(evaluation_page(report.document()))
    return path


def test_the_page_needs_nothing_else(page: Path):
    text = page.read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert not re.search(r"/\*[A-Z]+\*/", text)
    assert text.count("</script>") == 1


def part(document: str, name: str) -> str:
    """The section of a page, up to the next one."""
    start = document.index(f'id="{name}"')
    return html.unescape(document[start : document.index(' id="', start + 1)])


@needs_chromium
def test_everything_is_shown(report: EvaluationReport, page: Path, tmp_path: Path):
    document, console = browse(page, tmp_path)
    assert console == ""
    assert "a </script> & b, llama, 2 layers of width 48" in part(document, "about")
    assert "One thing more." in document
    shown, drawn = part(document, "ways"), part(document, "picture")
    for way, compared in zip(report.ways, report.against_unquantized, strict=True):
        told = "" if compared is None else compared.text().replace("-", "\N{MINUS SIGN}")
        label = way.arithmetic.label
        assert f"<td>{label}</td><td>{way.perplexity:.3f}</td><td>{told}</td>" in shown
        assert (f'data-row="{label}"' in drawn) == (compared is not None)
    pairs = part(document, "pairs")
    for one in report.comparisons:
        assert one.differs is not None
        told = one.text().replace("-", "\N{MINUS SIGN}")
        cells = (one.after.arithmetic.label, one.before.arithmetic.label, one.differs.replace("_", " "), told)
        assert "".join(f"<td>{cell}</td>" for cell in cells) in pairs
    layers = part(document, "layers")
    for layer in report.layers:
        told = layer.change.text().replace("-", "\N{MINUS SIGN}")
        perplexity = f"{layer.way.perplexity:.3f}"
        cells = (layer.name, "0.01230", "50.00 %", "25.00 %", "0.01000", perplexity, told)
        assert "".join(f"<td>{cell}</td>" for cell in cells) in layers


@needs_chromium
def test_the_reader_chooses(page: Path, tmp_path: Path):
    choose = """
        const select = document.querySelector("[data-filter=scale]");
        select.value = "ue5m3";
        select.dispatchEvent(new Event("change"));
        document.body.dataset.hash = location.hash;
    """
    chosen, console = browse(page, tmp_path, script=choose)
    assert console == ""
    assert 'data-hash="#scale=ue5m3"' in chosen
    for document in (chosen, browse(page, tmp_path, fragment="#scale=ue5m3")[0]):
        assert re.findall(r'data-filter="(\w+)"', document) == ["scale", "block_size"]
        rows = re.findall(r'data-row="([^"]*)"', document)
        assert rows == ["ue5m3 N=8 absmax", "ue5m3 N=16 absmax"]
        assert part(document, "layers").count("<td>") == 0
