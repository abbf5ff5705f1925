"""What each room knows of an accumulation."""

import pytest
from blockdot.hw import DotUnit
from blockdot.hw.accumulate import ACCUMULATORS
from blockdot.model import DotSpec
from blockdot.model.accumulate import ACCUMULATIONS
from blockdot.verify import ACCUMULATION_CHECKS
from blockdot.verify.accumulation_checks import step_stem
from blockdot.verify.proofs.steps import Chain


def test_every_room_knows_the_same_accumulations():
    assert list(ACCUMULATORS) == list(ACCUMULATION_CHECKS) == list(ACCUMULATIONS)


@pytest.mark.parametrize("name", list(ACCUMULATIONS))
def test_what_is_claimed_is_of_steps_that_there_are(name: str):
    specs = [DotSpec(block_size=2, scale="ue2m0", accumulate=name)]
    if ACCUMULATIONS[name].fraction:
        # Where each product is a term, units have other steps.
        specs.append(DotSpec(block_size=2, scale="ue4m3", accumulate=name, term_size=1))
    if name == "chain":
        # Where it is not fp32.
        specs += [
            DotSpec(element=element, block_size=4, scale=scale, accumulate=name)
            for element, scale in (("e2m1", "ue8m0"), ("e4m3", "ue4m3"))
        ]
    if ACCUMULATIONS[name].starts_at_c:
        specs.append(DotSpec(block_size=2, scale="ue2m0", accumulate=name, takes_c=True))
    segment = 2 if ACCUMULATORS[name].keeps_carries else None
    claimed = ACCUMULATION_CHECKS[name].steps.keys()
    found: set[str] = set()
    units = [DotUnit(spec, stages=int(spec.accumulates), segment=segment) for spec in specs]
    if name == "aligned":
        # In several stages, what does not need the sum so far stands before its loop.
        several = DotSpec(block_size=2, blocks=2, scale="ue2m0", accumulate=name)
        units.append(DotUnit(several, stages=2, optimise="delay"))
    for unit in units:
        spec, chain = unit.spec, Chain(unit)
        steps = {step_stem(step.name): step.accumulates for step in chain.steps}
        found |= steps.keys()
        assert any(steps.values()) == spec.accumulates
        assert all(own in claimed for own, accumulates in steps.items() if accumulates)
    assert claimed <= found
