"""A small unit run on a few short sums, and held to the model."""

from blockdot.hw import UnitConfig
from blockdot.sim import random, run
from blockdot.verify.compare import compare


def assert_bits_of_the_model(name: str, seed: int) -> None:
    """Fail unless the unit of that name gives what the model computes."""
    config = UnitConfig.parse(name)
    stimulus = random(config.spec, 100, seed=seed, longest=4)
    compared = compare(config, stimulus, run(config.build(), stimulus), engine="pysim")
    assert compared.equal, str(compared)
    assert compared.compared > 12
