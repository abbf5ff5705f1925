import re

import numpy as np
import pytest
from blockdot.hw import UnitConfig
from blockdot.model import DotSpec
from blockdot.sim import Stimulus, random
from blockdot.verify.shrink import as_test, shrink

SPEC = DotSpec(scale="ue5m3", block_size=4, blocks=2, accumulate="fp32")


def shrunk(stimulus: Stimulus, fails) -> Stimulus:
    calls = []

    def batch(stimuli):
        assert len({(id(one.offer), id(one.accept)) for one in stimuli}) == 1
        calls.append(len(stimuli))
        return [fails(one) for one in stimuli]

    least = shrink(stimulus, batch)
    assert fails(least)
    assert max(calls) <= 512
    return least


def test_a_fault_in_one_code_leaves_one_vector(seed):
    stimulus = random(SPEC, 300, seed=seed)
    met = (stimulus.a_scale >= 0x91) & (stimulus.b[:, :, 3] == 13)
    assert met.any()
    least = shrunk(stimulus, lambda s: ((s.a_scale >= 0x91) & (s.b[:, :, 3] == 13)).any())
    assert least.vectors == 1
    assert len(least.offer) == len(least.accept) == 1
    hit = int(np.flatnonzero(least.b[0, :, 3] == 13)[0])
    assert least.a_scale[0, hit] == 0x91
    one = int(SPEC.scales[0].encode(1.0))
    scales = np.delete(np.concatenate([least.a_scale[0], least.b_scale[0]]), hit)
    assert scales.tolist() == [one] * 3
    elements = np.concatenate([least.a[0].reshape(-1), least.b[0].reshape(-1)])
    assert np.count_nonzero(elements) == 1


def test_a_fault_of_two_sums_keeps_both_and_what_is_between_goes(seed):
    def fails(s: Stimulus) -> bool:
        """A NaN scale anywhere, and a sum that starts behind it with a zero scale."""
        nan = np.flatnonzero((s.a_scale == 0xFF).any(axis=1))
        zero = np.flatnonzero(s.first & (s.b_scale == 0).all(axis=1))
        return bool(len(nan) and len(zero) and nan[0] < zero[-1])

    stimulus = random(SPEC, 2000, seed=seed)
    assert fails(stimulus)
    least = shrunk(stimulus, fails)
    assert least.vectors == 2
    assert least.first.all()


def test_a_fault_that_needs_back_pressure_keeps_it(seed):
    least = shrunk(random(SPEC, 50, seed=seed), lambda s: not s.accept.all())
    assert least.vectors == 1
    assert len(least.offer) == 1
    assert len(least.accept) > 1


def test_what_does_not_fail_is_left_alone(seed):
    stimulus = random(SPEC, 20, seed=seed)
    assert shrink(stimulus, lambda stimuli: [False] * len(stimuli)) is stimulus


@pytest.mark.parametrize("element", ["e2m1", "e4m3", "int8"])
def test_every_least_stimulus_is_legal(element, seed):
    """Whatever fails, down to nothing but one vector of plain codes."""
    spec = DotSpec(element=element, scale="ue8m0", block_size=2, accumulate="exact", guard=1)
    least = shrunk(random(spec, 60, seed=seed), lambda s: s.last.any())
    assert least.vectors == 1
    assert least.expected().tolist() == [0]
    assert least.a_scale.tolist() == [[127]]


def test_what_sums_start_at_becomes_plain_where_it_does_not_matter(seed):
    """Zero, or one where a zero will not do."""
    spec = DotSpec(block_size=2, accumulate="fp32", takes_c=True)
    stimulus = random(spec, 40, seed=seed)
    for fails, c in (
        (lambda s: s.last.any(), 0),
        (lambda s: (s.first & (s.c << 1 > 0)).any(), 0x3F800000),
    ):
        least = shrunk(stimulus, fails)
        assert least.c is not None
        assert least.c.tolist() == [c]


def test_what_results_are_multiplied_by_becomes_plain_where_it_does_not_matter(seed):
    spec = DotSpec(block_size=2, tensor_scale=True)
    stimulus = random(spec, 40, seed=seed)
    for fails, g in ((lambda s: s.last.any(), 0x3F800000), (lambda s: (s.g >> 31 > 0).any(), 1 << 31)):
        least = shrunk(stimulus, fails)
        assert least.g is not None
        assert least.g.tolist() == [g]


def test_the_test_plays_the_same_stimulus(seed):
    stimulus = random(SPEC, 3, seed=seed)
    unit = UnitConfig(SPEC, stages=2, order=5)
    text = as_test(unit, stimulus, "pysim")
    space: dict[str, object] = {}
    exec(compile(text, "test_case.py", "exec"), space)
    name = re.search(r"def (test_\w+)\(\):", text)
    assert name
    assert unit.module_name in name[1]
    played = []
    space["run"] = lambda *arguments, **options: played.append((arguments, options))
    space["compare"] = lambda *_, **__: pytest.skip
    with pytest.raises(AttributeError):
        space[name[1]]()  # type: ignore[operator]
    ((other, again), options) = played[0]
    assert options == {"engine": "pysim"}
    assert other.config == unit
    for field in ("a", "b", "a_scale", "b_scale", "first", "last", "offer", "accept"):
        np.testing.assert_array_equal(getattr(again, field), getattr(stimulus, field))
