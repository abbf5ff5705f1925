import json

import pytest
from blockdot.verify import proofs
from blockdot.verify.proofs import Proof

_PROVEN = Proof("a leaf", "a claim", "SAT", "proven", True, "", 1.5)
_AGREES = Proof("another", "a claim", "simulation", "agrees", False, "the rest", 1.5, kept=True)
_FAILED = Proof("a third", "a claim", "SAT", "failed", False, "ok_x fails at i_a=0x1", 0.1)


@pytest.fixture
def settled(monkeypatch):
    def settle(*rows):
        monkeypatch.setattr(proofs, "prove", lambda *_, **__: list(rows))

    return settle


def test_all_claims_hold(blockdot, settled):
    settled(_PROVEN, _AGREES)
    done = blockdot("prove", "e2m1_ue4m3_n2_none")
    assert done.code == 0
    assert "another: not shown: the rest\n2 of 2 claims hold" in done.out
    rows = json.loads(blockdot("prove", "e2m1_ue4m3_n2_none", "--json").out)["proofs"]
    assert [row["outcome"] for row in rows] == ["proven", "agrees"]


def test_a_claim_that_fails_is_a_failure(blockdot, settled):
    settled(_PROVEN, _FAILED)
    done = blockdot("prove", "e2m1_ue4m3_n2_none")
    assert done.code == 1
    assert "a third: failed: ok_x fails at i_a=0x1\n1 of 2 claims hold" in done.out


@pytest.mark.parametrize("option", ["workers", "seconds"])
def test_refuses_what_cannot_be(refused, option):
    assert refused("prove", "e2m1_ue4m3_n2_none", f"--{option}", 0) == f"{option} must be at least 1, not 0"
