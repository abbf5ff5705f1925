"""Steps of presets in exact integers: against fractions, against a model that is wrong, and what is kept."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aligned_steps import TensorCore as FractionCore
from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS
from blockdot.sim.zero_exponents import zero_exponent_counts

from studies import integer_steps
from studies.integer_steps import CORES, IntegerSteps
from studies.preset_steps import KEPT, STEPS, compare_steps, drawn_steps, main
from studies.records import read_stored

PACKAGE = Path(integer_steps.__file__)


def test_every_different_preset_is_there_once_by_its_first_name() -> None:
    first: dict[DotSpec, str] = {}
    for name, preset in PRESETS.items():
        first.setdefault(preset.spec, name)
    assert CORES.keys() == set(first.values())


def test_the_integers_use_nothing_of_blockdot() -> None:
    imports = [line for line in PACKAGE.read_text().splitlines() if line.startswith(("import", "from"))]
    assert {line.split()[1] for line in imports} == {
        "collections.abc",
        "dataclasses",
        "functools",
        "typing",
        "numpy",
        "numpy.typing",
    }


@pytest.mark.parametrize("name", CORES)
def test_a_step_is_that_of_fractions(name: str, rng: np.random.Generator) -> None:
    step = IntegerSteps(CORES[name])
    core = step.core
    scales = None if core.scale is None else (core.scale, core.scale)
    wanted = FractionCore(
        (core.element, core.element),
        scales,
        fraction=core.fraction,
        zero_exponent=core.zero_exponent,
        grouped=core.grouped,
        result=core.result,
    )
    starts, codes = drawn_steps(step, DotSpec.preset(name), 12, rng)
    size = core.scaled or core.products
    bits = starts
    for k in range(codes[0].shape[1]):
        group = [array[:, k] for array in codes]
        seen = step.step(bits, *group).bits
        for own, of_a, of_b, *of_scales, result in zip(bits, *group, seen, strict=True):
            blocks = [array.reshape(-1, size).tolist() for array in (of_a, of_b)]
            expected = wanted.step(int(own), *blocks, *(array.tolist() for array in of_scales))
            assert result == expected
        bits = seen


def test_what_a_step_tells_of_itself() -> None:
    step = IntegerSteps(CORES["hopper-e5m2"])
    one, half, small, infinity = 0x3C, 0x38, 0x08, 0x7C  # and 2^-13
    # 1 * 1 and 2^-13 * 1 are both kept; 2^-13 * 2^-1 is not.
    a = np.array([[0, 0], [one, small], [one, small], [infinity, 0], [infinity, 0]])
    b = np.array([[0, 0], [one, one], [one, half], [one, 0], [0, 0]])
    done = step.step(np.zeros(5, np.int64), *(np.pad(array, ((0, 0), (0, 30))) for array in (a, b)))
    assert done.bits.tolist() == [0, 0x3F800000 | 1 << 10, 0x3F800000, 0x7F800000, 0x7FC00000]
    assert done.cut.tolist() == [False, False, True, False, False]
    assert done.empty.tolist() == [True, False, False, False, False]
    assert done.special.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("hopper-e4m3", {"fraction": 14}),
        ("turing-fp16-fp16", {"zero_exponent": -20}),
        ("blackwell-mx-e2m1", {"fraction": 24}),
        ("blackwell-nvfp4", {"fraction": 34}),
        ("ada-e5m2", {"result": "binary32"}),
    ],
)
def test_a_model_of_another_machine_differs(name: str, wrong: dict, seed: int) -> None:
    spec = DotSpec.preset(name)
    assert compare_steps(name, spec, 4000, seed)["differ"] == 0
    assert compare_steps(name, replace(spec, **wrong), 4000, seed)["differ"] > 0


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("name", [name for name in CORES if zero_exponent_counts(DotSpec.preset(name))])
def test_a_zero_that_reads_one_exponent_off_is_noticed(name: str, more: int, seed: int) -> None:
    spec = DotSpec.preset(name)
    wrong = replace(spec, zero_exponent=spec.zero_exponent + more)
    assert compare_steps(name, wrong, 8000, seed)["differ"] > 0


@pytest.mark.parametrize("name", CORES)
def test_each_kind_of_step_came(name: str) -> None:
    (record,) = (one for one in read_stored(KEPT)["presets"] if one["preset"] == name)
    assert record["differ"] == 0
    assert record["steps"] >= STEPS
    assert record["spec"] == DotSpec.preset(name).name
    for what in ("empty", "cancelled", "cut", "zero", "subnormal", "normal", "infinite", "NaN"):
        assert record[what] > 0
    assert record["special"] >= record["steps"] / 100
    kinds = ("zero", "subnormal", "normal", "infinite", "NaN")
    assert sum(record[kind] for kind in kinds) == record["steps"]
    # Products may be cut off beside any sum that is nearly too large.
    spec = DotSpec.preset(name)
    scales = spec.scales if spec.has_scales else ()
    greatest = sum(math.log2(fmt.largest) for fmt in (*spec.elements, *scales))
    assert (record["overflowed"] > 0) == (greatest >= spec.sum_format.fields.bias - spec.fraction)


def test_what_is_kept_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "steps.jsonl"
    volta = ["volta-fp16", "--keep", str(kept)]
    assert main([*volta, "--steps", "4000", "--seed", "7"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["seed 7", "1 presets, 4000 steps each: 0 results differ from the model"]
    first = kept.read_bytes()
    assert main([*volta, "--steps", "3000", "--seed", "7"]) == 0
    assert kept.read_bytes() == first
    assert main([*volta, "--steps", "3000", "--seed", "8"]) == 0
    (record,) = read_stored(kept)["presets"]
    assert (record["seed"], record["steps"]) == (8, 4000)
    assert len(record["digest"]) == hashlib.sha256().digest_size * 2
    capsys.readouterr()
    assert main(["pascal", "--keep", str(kept)]) == 2
    assert capsys.readouterr().err.startswith("preset_steps: preset must be one of volta-fp16, ")
    assert main(["--steps", "0", "--keep", str(kept)]) == 2
    assert capsys.readouterr().err == "preset_steps: steps must be at least 1, not 0\n"
