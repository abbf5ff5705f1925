import json

import pytest
from blockdot.verify import netlist_mutants, source_mutants
from blockdot.verify.netlist_mutants import Mutant, Mutants


@pytest.fixture
def fates(monkeypatch):
    def end(*ones):
        rows = tuple(
            Mutant("tree", f"fault {k}", fate, 3 if fate == "killed" else None) for k, fate in enumerate(ones)
        )
        monkeypatch.setattr(netlist_mutants, "mutate", lambda *_, **__: Mutants("u", 0, 100, rows))
        monkeypatch.setattr(
            source_mutants, "plant", lambda *_, **__: (Mutant("round", "ties", "killed", None),)
        )

    return end


def test_none_survives(blockdot, fates):
    fates("killed", "equivalent", "refuted")
    done = blockdot("mutants", "e2m1_ue4m3_n2_none", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert [one["fate"] for one in told["netlist"]] == ["killed", "equivalent", "refuted"]
    assert len(told["source"]) == 1


def test_a_survivor_is_a_failure(blockdot, fates):
    fates("killed", "survived")
    done = blockdot("mutants", "e2m1_ue4m3_n2_none")
    assert done.code == 1
    assert "survived: tree: fault 1" in done.out


def test_refuses_what_cannot_be(refused):
    assert refused("mutants", "e2m1_ue4m3_n2_none", "--count", 0) == "count must be at least 1, not 0"


def test_quantizers_too(blockdot, refused, fates):
    fates("killed")
    name = "quantize_bf16_e2m1_ue4m3_n2_absmax"
    assert json.loads(blockdot("mutants", name, "--json").out)["unit"] == f"blockdot_{name}_s0"
    assert (
        refused("mutants", name, "--segment", 8) == f"--segment must go with a dot product, not with {name}"
    )
