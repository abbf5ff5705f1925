"""Specifications of every kind, by their names."""

import pytest
from blockdot.model import DequantizerSpec, DotSpec, QuantizerSpec
from blockdot.model.presets import PRESETS
from blockdot.model.specifications import parse_specification


@pytest.mark.parametrize(
    "spec",
    [
        DotSpec(accumulate="exact", guard=4),
        QuantizerSpec(method="prevent_zero"),
        DequantizerSpec(output="fp32"),
    ],
)
def test_a_name_says_which_kind_it_is_of(spec):
    assert parse_specification(spec.name) == spec


def test_a_published_tensor_core_is_known_by_its_own_name_too():
    assert all(parse_specification(name) == one.spec for name, one in PRESETS.items())
    assert all(parse_specification(one.spec.name) == one.spec for one in PRESETS.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("e2m1", "specification must read like e2m1_ue5m3_n16_fp32, not 'e2m1'"),
        ("pascal-fp16", "preset must be one of volta-fp16, .*, not 'pascal-fp16'"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse_specification(name)
