"""The rules, on units of a few lines of Python that keep and break them."""

from collections.abc import Callable

import numpy as np
import pytest
from blockdot.hw import DotUnit
from blockdot.model import DotSpec
from blockdot.sim.random_stimulus import random
from blockdot.sim.stream_rules import (
    Limits,
    Response,
    RunOutcome,
    StreamBench,
    StreamError,
    StreamRule,
    payloads,
)

LIMITS = Limits(patience=20, drain=5)
ALWAYS = np.ones(1, np.bool_)

Answer = tuple[bool, bool, int]


def played(
    unit: Callable[[int, list[int]], Answer],
    *,
    last: list[bool] | None = None,
    offer: np.ndarray = ALWAYS,
    accept: np.ndarray = ALWAYS,
) -> tuple[RunOutcome, Response]:
    """Play six inputs to a unit that sees the cycle and the inputs taken so far."""
    play = StreamBench(
        last=np.array([True] * 6 if last is None else last), offer=offer, accept=accept, limits=LIMITS
    )
    taken: list[int] = []
    for cycle in range(1000):
        pins = play.drive()
        i_ready, o_valid, o_result = unit(cycle, taken)
        outcome = play.observe(i_ready=i_ready, o_valid=o_valid, o_result=o_result)
        if outcome:
            return outcome, play.response()
        if pins.valid and i_ready:
            taken.append(pins.vector)
    raise AssertionError("run did not end")


def register(accept: np.ndarray = ALWAYS) -> Callable[[int, list[int]], Answer]:
    """A unit of one register: gives each input's number one cycle after taking it."""
    held: list[int] = []
    seen = 0

    def unit(cycle: int, taken: list[int]) -> Answer:
        nonlocal seen
        held.extend(taken[seen:])
        seen = len(taken)
        valid, result = bool(held), held[0] if held else 0
        ready = not held or bool(accept[cycle % len(accept)])
        if valid and accept[cycle % len(accept)]:
            held.pop(0)
        return ready, valid, result

    return unit


def test_a_unit_that_keeps_the_rules_is_played_to_the_end():
    outcome, response = played(register())
    assert outcome == RunOutcome(rule=StreamRule.KEPT)
    assert response.results.tolist() == [0, 1, 2, 3, 4, 5]
    assert response.input_cycles.tolist() == [0, 1, 2, 3, 4, 5]
    assert response.result_cycles.tolist() == [1, 2, 3, 4, 5, 6]
    # From cycle 6, the last transfer, five cycles to drain.
    assert response.cycles == 12


def test_the_patterns_say_when_inputs_are_offered_and_results_accepted():
    offer = np.array([False, True, False])
    accept = np.array([False, False, False, True])
    outcome, response = played(register(accept), offer=offer, accept=accept)
    assert outcome.rule is StreamRule.KEPT
    assert response.input_cycles.tolist() == [1, 4, 7, 11, 15, 19]
    assert response.result_cycles.tolist() == [3, 7, 11, 15, 19, 23]


def test_valid_holds_until_ready_and_the_payload_is_inverted_until_then():
    play = StreamBench(
        last=np.ones(2, np.bool_), offer=np.array([False, True, False, False]), accept=ALWAYS, limits=LIMITS
    )
    shown = []
    for ready in (False, False, False, True, False, False):
        shown.append(play.drive())
        play.observe(i_ready=ready, o_valid=False, o_result=0)
    assert [pins.valid for pins in shown] == [False, True, True, True, False, True]
    assert [pins.inverted for pins in shown] == [True, False, False, False, True, False]
    assert [pins.vector for pins in shown] == [0, 0, 0, 0, 1, 1]


def test_valid_may_not_fall_before_ready():
    accept = np.array([False, False, False, True])
    unit = register(accept)

    def falling(cycle: int, taken: list[int]) -> Answer:
        i_ready, o_valid, o_result = unit(cycle, taken)
        return i_ready, o_valid and cycle != 2, o_result

    outcome, response = played(falling, accept=accept)
    assert outcome == RunOutcome(rule=StreamRule.VALID_HELD, held=0)
    assert response.cycles == 2


def test_a_result_may_not_change_before_ready():
    accept = np.array([False, False, False, True])
    unit = register(accept)

    def changing(cycle: int, taken: list[int]) -> Answer:
        i_ready, o_valid, o_result = unit(cycle, taken)
        return i_ready, o_valid, o_result + 8 * (cycle == 6)

    outcome, response = played(changing, accept=accept)
    assert outcome == RunOutcome(rule=StreamRule.RESULT_STABLE, held=1, seen=9)
    assert response.cycles == 6
    assert response.results.tolist() == [0]


def test_a_result_of_several_words_is_held_to_all_of_them():
    play = StreamBench(
        last=np.ones(2, np.bool_), offer=ALWAYS, accept=np.array([False, True]), limits=LIMITS, words=3
    )
    held = 7 << 64 | 5 << 32 | 3
    play.drive()
    play.observe(i_ready=True, o_valid=False, o_result=0)
    play.drive()
    play.observe(i_ready=True, o_valid=True, o_result=held)
    play.drive()
    play.observe(i_ready=False, o_valid=True, o_result=held)
    outcome = play.observe(i_ready=False, o_valid=True, o_result=held ^ 1 << 66)
    assert outcome == RunOutcome(rule=StreamRule.RESULT_STABLE, held=7, seen=3)
    assert play.response().results.tolist() == [[3, 5, 7]]


@pytest.mark.parametrize("when", [0, 8])
def test_a_result_may_not_come_unasked(when):
    unit = register()

    def volunteering(cycle: int, taken: list[int]) -> Answer:
        answer = unit(cycle, taken)
        return (answer[0], True, 77) if cycle == when else answer

    outcome, response = played(volunteering)
    assert outcome == RunOutcome(rule=StreamRule.RESULT_OWED, seen=77)
    assert response.cycles == when


def test_only_an_input_with_last_asks_for_a_result():
    last = [False, False, True, False, True, True]
    unit = register()
    outcome, _ = played(unit, last=last)
    assert outcome.rule is StreamRule.RESULT_OWED
    number = 0

    def summing(_cycle: int, taken: list[int]) -> Answer:
        nonlocal number
        fresh = len(taken) > number
        number = len(taken)
        return True, fresh and last[taken[-1]], taken[-1] if taken else 0

    outcome, response = played(summing, last=last)
    assert outcome.rule is StreamRule.KEPT
    assert response.results.tolist() == [2, 4, 5]


@pytest.mark.parametrize(
    ("unit", "cycle"),
    [
        (lambda _cycle, _taken: (False, False, 0), 20),
        (lambda _cycle, taken: (len(taken) < 3, False, 0), 23),
        (lambda _cycle, _taken: (True, False, 0), 26),
    ],
)
def test_a_unit_that_stands_still_is_given_up(unit, cycle):
    outcome, response = played(unit)
    assert outcome == RunOutcome(rule=StreamRule.PROGRESS)
    assert response.cycles == cycle


# Messages.


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (
            RunOutcome(rule=StreamRule.VALID_HELD, held=0x3F800000),
            "o_valid of NAME must hold until o_ready, not fall at cycle 9 with 0x3f800000 under offer",
        ),
        (
            RunOutcome(rule=StreamRule.RESULT_STABLE, held=1, seen=2),
            "o_result of NAME must hold until o_ready, not change from 0x00000001 to 0x00000002 at cycle 9",
        ),
        (
            RunOutcome(rule=StreamRule.RESULT_OWED, seen=5),
            "o_valid of NAME must follow an input that asks for a result, not come with 0x00000005 at "
            "cycle 9 after all 1 results asked for",
        ),
        (
            RunOutcome(rule=StreamRule.PROGRESS),
            "NAME must take an input or give a result within 20 cycles, not stand still until cycle 9 with "
            "2 of 4 inputs taken and 1 of 4 results given",
        ),
        (RunOutcome(rule=StreamRule.DEFINED), "outputs of NAME must be 0 or 1, not undefined at cycle 9"),
    ],
    ids=lambda value: value.rule.name if isinstance(value, RunOutcome) else "",
)
def test_a_broken_rule_is_told_in_one_line(outcome, message):
    unit = DotUnit(DotSpec(block_size=2), stages=1)
    stimulus = random(unit.spec, 4, seed=0)
    response = Response(
        results=np.zeros(1, np.uint32),
        result_cycles=np.zeros(1, int),
        input_cycles=np.zeros(2, int),
        cycles=9,
    )
    with pytest.raises(StreamError) as caught:
        outcome.conclude(unit, stimulus, LIMITS, response)
    assert str(caught.value) == message.replace("NAME", unit.name)
    assert (caught.value.rule, caught.value.cycle, caught.value.response) == (outcome.rule, 9, response)


# What is shown.


def test_payloads_stand_in_port_order_with_their_widths(seed):
    unit = DotUnit(DotSpec(block_size=2, scale=("ue4m3", "ue5m3"), accumulate="fp32"), stages=1)
    stimulus = random(unit.spec, 9, seed=seed)
    shown = {payload.port: payload for payload in payloads(unit, stimulus)}
    assert {name: payload.width for name, payload in shown.items()} == {
        "i_first": 1, "i_last": 1, "i_a": 8, "i_b": 8, "i_a_scale": 7, "i_b_scale": 8,
    }  # fmt: skip
    assert shown["i_first"].values == stimulus.first.astype(int).tolist()
    assert shown["i_b_scale"].values == stimulus.b_scale[:, 0].tolist()
    assert shown["i_a"].values == (stimulus.a[:, 0, 0] + 16 * stimulus.a[:, 0, 1].astype(int)).tolist()
    plain = DotUnit(DotSpec(block_size=2), stages=0)
    assert [p.port for p in payloads(plain, random(plain.spec, 1, seed=0))] == [
        "i_a", "i_b", "i_a_scale", "i_b_scale",
    ]  # fmt: skip
