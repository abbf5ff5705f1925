"""Choices of units."""

import pytest
from blockdot.lab.cost.priced_unit import bases_of, unit_record
from blockdot.lab.unit_choices import PresetChoices, UnitChoices
from blockdot.model import DotSpec


def test_presets_are_units_of_the_least_depth_and_those_that_compute_the_same_are_one():
    units = PresetChoices(presets=["ampere-fp16", "ada-fp16", "blackwell-nvfp4"]).units()
    assert [(unit.spec, unit.stages) for unit in units] == [
        (DotSpec.preset("ampere-fp16"), 1),
        (DotSpec.preset("blackwell-nvfp4"), 1),
    ]
    forms = PresetChoices(presets=["volta-fp16"], stages=[1, 2], optimise=["area", "delay"]).units()
    assert [(unit.stages, unit.optimise) for unit in forms] == [
        (1, "area"), (1, "delay"), (2, "area"), (2, "delay"),
    ]  # fmt: skip


def test_units_of_each_result():
    choices = UnitChoices(scales=["ue4m3"], accumulates=["none", "fp32"], results=["binary32", "bfloat16"])
    assert [unit.spec.name for unit in choices.units()] == [
        "e2m1_ue4m3_n16_none",
        "e2m1_ue4m3_n16_none_bfloat16",
        "e2m1_ue4m3_n16_fp32",
        "e2m1_ue4m3_n16_fp32_bfloat16",
    ]
    with pytest.raises(ValueError, match=r"^result must be one of binary32, binary16, bfloat16 for "):
        UnitChoices(accumulates=["fp32"], results=["e8m13"]).units()


def test_units_with_a_tensor_scale_stand_beside_those_without_and_are_compared_with_the_first():
    units = UnitChoices(accumulates=["fp32"], tensor_scales=[False, True]).units()
    assert [unit.spec.name for unit in units] == [
        "e2m1_ue4m3_n16_fp32",
        "e2m1_ue4m3_n16_fp32_tensor",
        "e2m1_ue5m3_n16_fp32",
        "e2m1_ue5m3_n16_fp32_tensor",
    ]
    assert bases_of(units) == dict.fromkeys(units[1:], units[0])
    assert unit_record(units[1])["tensor_scale"]
    (step,) = PresetChoices(presets=["blackwell-nvfp4"], tensor_scales=[True]).units()
    assert step.spec.tensor_scale


@pytest.mark.parametrize(
    ("accumulates", "choice", "told"),
    [
        (["none"], {"guards": [16, 8]}, "guards must go with an accumulation that has them, not 8 with none"),
        (["none", "fp32"], {"segments": [0, 8]}, "segments .*, not 8 with none, fp32"),
        (["none"], {"takes_c": [False, True]}, "takes_c .*, not True with none"),
    ],
)
def test_a_choice_that_concerns_no_unit_is_refused(accumulates, choice, told):
    with pytest.raises(ValueError, match=f"^{told}$"):
        UnitChoices(accumulates=accumulates, **choice).units()
    assert len(UnitChoices(accumulates=["none", "exact"], **choice).units()) == 2 + 2 * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presets": ["volta-fp16"], "optimise": ["fun"]}, "optimise must be area or delay, not 'fun'"),
        ({"presets": ["volta-fp16"], "stages": [0]}, "stages must be from 1 to "),
    ],
)
def test_what_no_unit_can_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PresetChoices(**options).units()
