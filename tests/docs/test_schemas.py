"""What blockdot writes for programs is what the JSON Schema files say."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from blockdot.cli.app import run
from tiny_models import write_model, write_text

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"


def validator(name: str) -> Any:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def refuses_without(name: str, record: dict[str, Any], key: str) -> None:
    """Hold that a schema looks at a key, by a record without it."""
    other = deepcopy(record)
    del other[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        validator(name).validate(other)


@pytest.mark.parametrize(
    "options",
    [
        ["--accumulate", "fp32", "--stages", "2"],
        ["--accumulate", "exact", "--stages", "1", "--segment", "8", "--optimise", "delay"],
        ["--accumulate", "aligned", "--stages", "1", "--flow", "valid"],
        ["--scale", "ue4m3xue8m0", "--element", "e2m1xe4m3"],
        ["--unit", "quantizer", "--method", "prevent_zero", "--stages", "1"],
        ["--unit", "quantizer", "--scale", "ue8m0", "--method", "floor", "--serial"],
        ["--unit", "dequantizer", "--output-format", "fp32"],
    ],
)
def test_the_sidecar(options: list[str], tmp_path: Path) -> None:
    assert run(["verilog", "--block-size", "4", *options, "-o", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    validator("verilog-sidecar").validate(record)
    refuses_without("verilog-sidecar", record, "latency")


@pytest.mark.parametrize(
    "spec",
    [
        "e2m1_ue5m3_n4_fp32",
        "e2m1_ue8m0_n4_none",
        "quantize_bf16_e2m1_ue2m1_n2_absmax",
        "dequantize_e2m1_ue2m1_n2_fp32",
    ],
)
def test_the_vectors(spec: str, tmp_path: Path) -> None:
    assert run(["vectors", spec, "--vectors", "20", "-o", str(tmp_path)]) == 0
    record = json.loads((tmp_path / f"{spec}.json").read_text(encoding="utf-8"))
    validator("vectors").validate(record)
    refuses_without("vectors", record, "spec_sha256")


def test_the_area_report(tmp_path: Path, synthesis_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What was measured is kept there; other tests measure the same.
    synthesis_cache.mkdir(exist_ok=True)
    Path("build").mkdir()
    Path("build/synthesis").symlink_to(synthesis_cache, target_is_directory=True)
    path = tmp_path / "report.json"
    sweep = ["--scale", "ue4m3", "--scale", "ue5m3", "--block-size", "2", "--accumulate", "none"]
    assert run(["area", *sweep, "--orders", "2", "--curve", "--delay-target", "90", "-o", str(path)]) == 0
    record = json.loads(path.read_text(encoding="utf-8"))
    validator("area-report").validate(record)
    (result,) = record["results"]
    assert result["costs"]
    assert result["deltas"]
    assert result["attributions"]
    assert result["curves"]
    changed = deepcopy(record)
    del changed["results"][0]["costs"][0]["area"]["median"]
    with pytest.raises(jsonschema.ValidationError, match="median"):
        validator("area-report").validate(changed)


def test_the_report_of_an_fpga(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "report.json"
    sweep = ["--scale", "ue4m3", "--scale", "ue5m3", "--block-size", "2", "--accumulate", "none"]
    assert run(["area", *sweep, "--orders", "2", "--target", "ice40", "-o", str(path)]) == 0
    record = json.loads(path.read_text(encoding="utf-8"))
    validator("area-report").validate(record)
    assert [cost["delta"] is None for cost in record["fpga"]] == [True, False]
    del record["fpga"][1]["luts"]
    with pytest.raises(jsonschema.ValidationError, match="luts"):
        validator("area-report").validate(record)


def test_the_evaluation_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tokenizers")
    monkeypatch.chdir(tmp_path)
    asked = ["evaluate", str(write_model(tmp_path / "model")), "--text", str(write_text(tmp_path / "text"))]
    small = ["--window", "32", "--block-size", "8", "--tokens", "128", "--segment", "16", "--workers", "1"]
    path = tmp_path / "report.json"
    assert run([*asked, *small, "--layers", "-o", str(path)]) == 0
    record = json.loads(path.read_text(encoding="utf-8"))
    validator("evaluation-report").validate(record)
    assert len(record["comparisons"]) == 1
    assert len(record["layers"]) == 4
    refuses_without("evaluation-report", record, "layers")
    refuses_without("evaluation-report", record, "segment_tokens")
    del record["ways"][1]["segments"]
    with pytest.raises(jsonschema.ValidationError, match="segments"):
        validator("evaluation-report").validate(record)


def test_the_answers_results() -> None:
    lines = (ROOT / "studies" / "answer" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    check = validator("answer-results")
    for line in lines:
        check.validate(json.loads(line))
    row = next(record for record in map(json.loads, lines) if record.get("table") == "rows")
    without = {key: value for key, value in row.items() if key != "netlist"}
    assert not check.is_valid(without)


def test_every_schema_has_a_line_on_the_page() -> None:
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in SCHEMAS.iterdir())
    assert files
    assert all(f"(schemas/{name})" in page for name in files)
