import json

import pytest
from blockdot.verify.coverage import directed

SMALL = "e2m1_ue2m0_n2_none"


def test_every_corner_is_met_and_what_is_not_says_why(blockdot):
    done = blockdot("coverage", SMALL, "--stages", 1)
    assert done.code == 0
    assert "blockdot_e2m1_ue2m0_n2_none_s1: " in done.out
    assert (
        "cancellation: 4 bits; 5 bits; 6 bits; 7 bits: no 2 products cancel so deep, by enumeration\n"
        in done.out
    )
    assert "ports" in done.out
    assert "hole" not in done.out.replace("holes", "")
    listed = blockdot("coverage", SMALL, "--stages", 1, "--all")
    assert " ports: result waits with 1 inputs behind it\n" in listed.out


def test_a_quantizer_s_corners_are_met(blockdot, refused):
    name = "quantize_fp16_e2m1_ue2m0_n2_absmax"
    done = blockdot("coverage", name, "--stages", 1)
    assert done.code == 0
    assert f"blockdot_{name}_s1: " in done.out
    assert "midpoint" in done.out
    assert refused("coverage", name, "--long") == f"--long must go with a dot product, not with {name}"


def test_a_serial_quantizer_s_corners_are_met(blockdot, refused):
    name = "quantize_bf16_e2m1_ue2m0_n2_absmax"
    done = blockdot("coverage", name, "--serial", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["unit"] == f"blockdot_serial_{name}_s1"
    assert (told["mismatches"], [one for one in told["bins"] if not one["count"]]) == ([], [])
    assert (
        refused("coverage", name, "--serial", "--engine", "model")
        == "--serial must go with an engine that runs a unit, not with model"
    )


def test_a_dequantizer_s_corners_are_met(blockdot, refused):
    name = "dequantize_e2m1_ue2m0_n2_bf16"
    done = blockdot("coverage", name, "--stages", 1)
    assert done.code == 0
    assert f"blockdot_{name}_s1: " in done.out
    assert "no product is of that kind in bf16" in done.out
    assert refused("coverage", name, "--long") == f"--long must go with a dot product, not with {name}"


def test_holes_are_listed_and_are_a_failure(blockdot):
    done = blockdot("coverage", SMALL, "--engine", "model", "--no-directed", "--vectors", "3")
    assert done.code == 1
    holes = [line for line in done.out.splitlines() if line.startswith("hole: ")]
    assert "hole: elements: 0x0 x 0x0" in holes
    assert "ports" not in done.out
    read = json.loads(
        blockdot("coverage", SMALL, "--engine", "model", "--no-directed", "--vectors", 3, "--json").out
    )
    assert read["vectors"] == 3
    missing = [one for one in read["bins"] if not one["count"] and not one["unreachable"]]
    assert len(missing) == len(holes)


def test_what_the_hardware_cannot_do_is_covered_by_the_model(blockdot, monkeypatch):
    spec = "e2m1_ue2m0_n2_aligned_f30"
    plain = directed.directed

    monkeypatch.setattr(directed, "directed", lambda spec, long: plain(spec, long=long))
    done = blockdot("coverage", spec, "--engine", "model")
    assert done.code == 0
    assert "e2m1_ue2m0_n2_aligned_f30, the model alone: " in done.out


def test_a_wrong_result_is_told(blockdot, monkeypatch):
    from blockdot import sim

    honest = sim.run

    def lying(*arguments, **options):
        response = honest(*arguments, **options)
        response.results[5] ^= 1 << 12
        return response

    monkeypatch.setattr(sim, "run", lying)
    done = blockdot("coverage", SMALL)
    assert done.code == 1
    assert "repeat: blockdot simulate" in done.out
    repeat = done.out.split("repeat: blockdot ")[1].split()
    assert repeat[-1] == "--directed"
    assert blockdot(*repeat).code == 1
    monkeypatch.setattr(sim, "run", honest)
    assert blockdot(*repeat).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["coverage", SMALL, "--no-directed"],
            "vectors must be given where there are no directed ones, not 0",
        ),
        (
            ["simulate", "--directed", "--vectors", 5],
            "directed must come without a tensor and without vectors, which it chooses",
        ),
    ],
)
def test_refuses_what_cannot_be(refused, arguments, message):
    assert refused(*arguments) == message
