"""What each room knows of an accumulation."""

import pytest
from blockdot.hw import DotUnit
from blockdot.hw.accumulate import ACCUMULATORS
from blockdot.model import DotSpec
from blockdot.model.accumulate import ACCUMULATIONS
from blockdot.verify import ACCUMULATION_CHECKS
from blockdot.verify.proofs.steps import Chain


def test_every_room_knows_the_same_accumulations():
    assert list(ACCUMULATORS) == list(ACCUMULATION_CHECKS) == list(ACCUMULATIONS)


@pytest.mark.parametrize("name", list(ACCUMULATIONS))
def test_what_is_claimed_is_of_steps_that_there_are(name: str):
    spec = DotSpec(block_size=2, scale="ue2m0", accumulate=name)
    segment = 2 if ACCUMULATORS[name].keeps_carries else None
    chain = Chain(DotUnit(spec, stages=int(spec.accumulates), segment=segment))
    steps = {step.name: step.accumulates for step in chain.steps}
    assert ACCUMULATION_CHECKS[name].steps.keys() <= steps.keys()
    assert any(steps.values()) == spec.accumulates
    assert all(own in ACCUMULATION_CHECKS[name].steps for own, accumulates in steps.items() if accumulates)
