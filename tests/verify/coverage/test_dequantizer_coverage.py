"""That the bins of dequantizers mean what they say, and that the directed stimulus meets them."""

import numpy as np
import pytest
from blockdot.model import DequantizerSpec
from blockdot.sim import DequantizerStimulus
from blockdot.sim.dequantizer_stimulus import directed, random
from blockdot.verify.coverage.dequantizer_coverage import DequantizerCoverage


@pytest.mark.parametrize(
    "name",
    [
        "dequantize_e2m1_ue4m3_n16_bf16",
        "dequantize_e2m1_ue5m3_n2_fp32",
        "dequantize_e2m1_ue8m0_n4_bf16",
        "dequantize_e4m3_ue2m1_n2_bf16",
    ],
)
def test_the_directed_stimulus_meets_every_bin_that_can_be_met(name: str) -> None:
    spec = DequantizerSpec.parse(name)
    coverage = DequantizerCoverage(spec)
    coverage.add(directed(spec))
    assert coverage.holes == []
    assert coverage.refuted == []


def test_bins_mean_what_they_say() -> None:
    spec = DequantizerSpec(scale="ue8m0", block_size=2)
    coverage = DequantizerCoverage(spec)
    # Half of 2**-127 and -6 times it; 2 and -4 times 2**127; a NaN.
    coverage.add(
        DequantizerStimulus(
            spec=spec, codes=np.array([[1, 15], [4, 14], [0, 8]]), scales=np.array([0, 254, 255])
        )
    )
    assert {one.name: met.vector for one, met in coverage.met.items() if one.group == "number"} == {
        "+subnormal": 0,
        "-normal": 0,
        "+infinite": 1,
        "-infinite": 1,
        "+NaN": 2,
    }
    assert {one.name for one in coverage.met if one.group == "pair" and "scale 0xfe" in one.name} == {
        "element 0x4 under scale 0xfe",
        "element 0xe under scale 0xfe",
    }
    impossible = {one.name for one in coverage.bins if one.unreachable}
    assert impossible == {"-NaN"}


def test_few_inputs_leave_holes() -> None:
    spec = DequantizerSpec(scale="ue2m1", block_size=2)
    coverage = DequantizerCoverage(spec)
    coverage.add(random(spec, 3, seed=0))
    assert len(coverage.holes) > 100
