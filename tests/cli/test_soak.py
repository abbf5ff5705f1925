import json

import pytest
from blockdot.verify import soak


def test_all_is_said_and_a_second_run_takes_no_time(blockdot):
    arguments = ("soak", "e2m1_ue2m0_n2_none", "--vectors", "1e4", "--seed", 3, "--workers", 1)
    done = blockdot(*arguments)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:2] == [
        "blockdot_e2m1_ue2m0_n2_none_s0: 10000 inputs, seed 3",
        "10000 of 10000 results equal the model's, bit for bit",
    ]
    assert "million checked block products a second on 1 processes" in lines[2]
    assert lines[3].startswith("digest of the results: ")
    again = json.loads(blockdot(*arguments, "--json").out)
    assert (again["resumed"], again["vectors"], again["mismatch"]) == (10_000, 10_000, None)
    assert again["digest"] == lines[3].split()[-1]


def test_a_quantizer_is_soaked_by_its_name(blockdot, refused):
    name = "quantize_bf16_e2m1_ue2m0_n2_prevent_zero"
    done = blockdot("soak", name, "--vectors", "1e4", "--seed", 3, "--workers", 1)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:2] == [
        f"blockdot_{name}_s0: 10000 inputs, seed 3",
        "10000 of 10000 results equal the model's, bit for bit",
    ]
    assert "million checked blocks a second on 1 processes" in lines[2]
    assert refused("soak", name, "--segment", 4) == f"--segment must go with a dot product, not with {name}"


def test_a_serial_quantizer_is_soaked_by_blocks(blockdot, refused):
    name = "quantize_bf16_e2m1_ue2m0_n2_absmax"
    done = blockdot("soak", name, "--serial", "--vectors", "4e3", "--workers", 1)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:2] == [
        f"blockdot_serial_{name}_s1: 4000 blocks, one number after the other, seed 0",
        "8000 of 8000 results equal the model's, bit for bit",
    ]
    dot = "e2m1_ue2m0_n2_none"
    assert refused("soak", dot, "--serial") == f"--serial must go with a quantizer, not with {dot}"


def test_a_dequantizer_too(blockdot):
    name = "dequantize_e2m1_ue2m0_n2_fp32"
    done = blockdot("soak", name, "--vectors", "1e4", "--workers", 1)
    assert done.code == 0
    assert "10000 of 10000 results equal the model's, bit for bit" in done.out
    assert "million checked blocks a second" in done.out


def test_a_mismatch_is_a_failure_and_is_printed_as_a_test(blockdot, monkeypatch):
    told = soak.SoakFailure(stimulus=None, engine="pysim", told="it [differs]", test="def test_it(): ...\n")  # type: ignore[arg-type]
    found = soak.Soak(
        unit="u",
        seed=3,
        vectors=10,
        products=10,
        results=9,
        resumed=0,
        workers=1,
        digest="0",
        failure=(0, 10, 1),
    )
    monkeypatch.setattr(soak, "soak", lambda *_, **__: found)
    monkeypatch.setattr(soak, "explain", lambda *_, **__: told)
    done = blockdot("soak", "e2m1_ue2m0_n2_none")
    assert done.code == 1
    assert done.out.endswith("it [differs]\n\ndef test_it(): ...\n")
    assert "bit for bit" not in done.out
    done = blockdot("soak", "e2m1_ue2m0_n2_none", "--json")
    assert done.code == 1
    assert json.loads(done.out)["mismatch"] == {"told": "it [differs]", "test": "def test_it(): ...\n"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["e2m1"], "specification must read like e2m1_ue5m3_n16_fp32, not 'e2m1'"),
        (["e2m1_ue5m3_n16_fp32", "--vectors", 7], "vectors must be at least 8, not 7"),
        (
            ["e2m1_ue5m3_n16_fp32", "--vectors", "1.5"],
            "--vectors must be a whole number, such as 100000 or 1e8, not '1.5'",
        ),
        (["e2m1_ue5m3_n16_fp32", "--workers", 0], "workers must be at least 1, not 0"),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert refused("soak", *arguments) == message
