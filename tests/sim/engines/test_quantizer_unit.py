"""A quantizer on the engines that run dot products: the same rules, another shape of results."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from blockdot.base import external_tools
from blockdot.hw import QuantizerConfig, QuantizerUnit
from blockdot.model import QuantizerSpec
from blockdot.sim import run
from blockdot.sim.engines import cxxrtl_lanes
from blockdot.sim.quantizer_stimulus import bulk, directed, random
from blockdot.verify import compare
from blockdot.verify.shrink import as_test, shrink

SPEC = QuantizerSpec(block_size=2)


class FaultyQuantizer(QuantizerUnit):
    """It gives element code 5 for 4 in lane 1."""

    def elaborate(self, platform: object) -> Module:
        outer, inner = self.o_codes, Signal(len(self.o_codes), name="inner_codes")
        # The datapath is built upon another signal, which then stands between it and the port.
        vars(self)["o_codes"] = inner
        try:
            m = super().elaborate(platform)
        finally:
            vars(self)["o_codes"] = outer
        m.d.comb += outer.eq(inner ^ ((inner[4:8] == 4) << 4))
        return m


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantizers")


@pytest.mark.parametrize("stages", [0, 2])
def test_every_engine_gives_the_same_response_and_the_codes_of_the_model(stages, build_dir, seed):
    config = QuantizerConfig(SPEC, stages=stages)
    stimulus = random(SPEC, 150, seed=seed)
    responses = []
    for engine in ("pysim", "cxxrtl", "icarus"):
        if engine == "icarus" and (not stages or external_tools.find("icarus").problem):
            continue
        response = run(config.build(), stimulus, engine=engine, build_dir=build_dir)
        comparison = compare(config, stimulus, response, engine=engine)
        assert comparison.equal, str(comparison)
        assert comparison.compared == 150
        responses.append(response)
    assert len(responses) >= 2
    for response in responses[1:]:
        for name in ("results", "result_cycles", "input_cycles", "cycles"):
            np.testing.assert_array_equal(getattr(response, name), getattr(responses[0], name))


def test_units_side_by_side_give_the_codes_of_the_model(build_dir, seed):
    unit = QuantizerUnit(SPEC, stages=1)
    built = cxxrtl_lanes.build(unit, build_dir)
    for stimulus in (bulk(SPEC, 3000, seed=seed), directed(SPEC)):
        batch = cxxrtl_lanes.Batch.cut(stimulus, 70)
        answer = cxxrtl_lanes.run(built, batch)
        assert answer.failing(stimulus.expected()).tolist() == []
        alone = run(unit, batch.lane(5), engine="cxxrtl", build_dir=build_dir)
        np.testing.assert_array_equal(answer.lane(5)[1].results, alone.results)
        wrong = stimulus.expected()
        wrong[-1, -1] ^= 1  # the scale alone
        assert answer.failing(wrong).tolist() == [69]


def test_a_wrong_element_is_found_told_and_made_small(build_dir, seed):
    unit = FaultyQuantizer(SPEC, stages=1)
    stimulus = random(SPEC, 60, seed=seed)
    config = QuantizerConfig(SPEC, stages=1)

    def fails(stimuli):
        answers = [run(unit, one, engine="cxxrtl", build_dir=build_dir).results for one in stimuli]
        return [(seen != one.expected()).any() for one, seen in zip(stimuli, answers, strict=True)]

    response = run(unit, stimulus, engine="cxxrtl", build_dir=build_dir)
    comparison = compare(config, stimulus, response, engine="cxxrtl")
    assert comparison.differing
    first = comparison.mismatches[0]
    assert first.expected ^ first.seen == 1 << 4
    assert "elements" in str(comparison)
    least = shrink(stimulus, fails)
    assert (least.vectors, len(least.offer), len(least.accept)) == (1, 1, 1)
    assert np.count_nonzero(least.x) <= 2
    text = as_test(config, least, "pysim")
    assert "from blockdot.hw import QuantizerConfig" in text
    names: dict[str, object] = {}
    exec(compile(text, "least", "exec"), names)
    test = names[f"test_{config.module_name}_gives_the_bits_of_the_model"]
    assert callable(test)
    test()  # the unit that is right passes it
