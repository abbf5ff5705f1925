"""How far tensor cores are from exact: figures by hand, and the page of made-up ones."""

from pathlib import Path

import numpy as np
import pytest
from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS

from studies.tensor_core_error import (
    PAGE,
    PICTURE,
    AccumulatorError,
    accumulator_error,
    draw_errors,
    kept_page,
    main,
    page_text,
    quantized,
)

DOCS = Path(__file__).parents[2] / "docs"


def test_what_is_cut_off_is_told() -> None:
    """1 + 63 * 2**-16: with 13 fraction bits each small product is below the last bit that is kept."""
    x = np.full((1, 64), 2.0**-8, np.float32)
    x[0, 0] = 1.0
    found = accumulator_error("hopper-e5m2", DotSpec.preset("hopper-e5m2"), x, x)
    exact = 1 + 63 * 2.0**-16
    assert found.length == 64
    # The tensor scale of each side brings 1 to the largest E5M2 number, and every other element loses no bit.
    assert found.relative == pytest.approx((exact - 1) / exact, rel=1e-12)
    assert found.bias == pytest.approx(-(exact - 1) / exact, rel=1e-12)
    assert found.largest == pytest.approx(found.relative)
    assert found.quantization < 1e-6
    wide = accumulator_error("blackwell-e5m2", DotSpec.preset("blackwell-e5m2"), x, x)
    assert wide.relative == 0


@pytest.mark.parametrize(
    "name", ["volta-fp16", "hopper-bf16", "ada-e4m3", "blackwell-mx-e2m1", "blackwell-nvfp4"]
)
def test_operands_are_quantized_as_people_do(name: str, rng: np.random.Generator) -> None:
    spec = PRESETS[name].spec
    x = rng.normal(0, 0.1, (3, 128)).astype(np.float32)
    operand = quantized(spec, x)
    assert (operand.element, operand.scale) == (spec.elements[0].name, spec.scales[0].name)
    assert (operand.tensor_scale != 1) == (name in ("ada-e4m3", "blackwell-nvfp4"))
    near = 2.0 ** -spec.elements[0].mantissa_bits
    np.testing.assert_allclose(operand.dequantize(), x, rtol=near, atol=0.1 * near)


def errors() -> list[AccumulatorError]:
    names = ("hopper-e4m3", "ada-e4m3", "blackwell-e4m3", "blackwell-nvfp4")
    specs = {name: DotSpec.preset(name) for name in names}
    specs["fp32 unit, nvfp4"] = DotSpec(scale="ue4m3", accumulate="fp32")
    sizes = (8e-4, 9e-4, 1e-7, 0.0, 0.0)
    return [
        AccumulatorError(name, spec, length, size * length / 1536, 2 * size, -size / 2, 0.03)
        for (name, spec), size in zip(specs.items(), sizes, strict=True)
        for length in (384, 1536)
    ]


def test_the_page_tells_them() -> None:
    text = page_text(errors())
    assert "| `hopper-e4m3` | 13 | 2.0e-04 | 8.0e-04 | 1.6e-03 | -4.0e-04 | 3.0e-02 |" in text
    assert "about 8000 times less" in text
    assert "2.7% of what quantizing" in text
    assert "4.0 times from K = 384 to K = 1536" in text
    assert "2 of 5 rows are exact" in text


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        draw_errors(tmp_path / name, errors())
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_unit_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hopper-e4m3", "pascal"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tensor_core_error: unit must be one of volta-fp16, ")
    assert told.endswith(", exact unit, nvfp4, not 'pascal'\n")


def test_the_page_is_that_of_what_is_kept() -> None:
    assert (DOCS / PAGE).read_text(encoding="utf-8") == kept_page()


def test_the_stored_page_has_every_preset() -> None:
    text = (DOCS / PAGE).read_text(encoding="utf-8").partition("\n## ")[0]
    assert PICTURE in text
    for name, preset in PRESETS.items():
        assert (f"`{name}`" in text) == (preset.spec.result != "binary16")
