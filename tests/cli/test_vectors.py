import json


def test_files_are_written_and_described(blockdot, tmp_path):
    done = blockdot("vectors", "e2m1_ue2m0_n2_exact", "-o", "made", "--vectors", "1e2", "--seed", 4)
    assert done.code == 0
    about = json.loads((tmp_path / "made" / "e2m1_ue2m0_n2_exact.json").read_text())
    assert about["vectors"] == about["directed"] + 100
    assert done.out.splitlines()[0] == (
        f"e2m1_ue2m0_n2_exact: {about['vectors']} vectors, the first {about['directed']} of them directed, "
        f"seed 4; {about['results']} results"
    )
    assert "wrote made/e2m1_ue2m0_n2_exact.o_result.hex\n" in done.out
    again = blockdot(
        "vectors", "e2m1_ue2m0_n2_exact", "-o", "made", "--vectors", "1e2", "--seed", 4, "--json"
    )
    assert json.loads(again.out) == about


def test_a_quantizer_s(blockdot):
    name = "quantize_fp16_e2m1_ue2m0_n2_absmax"
    done = blockdot("vectors", name, "-o", "made", "--vectors", 3)
    assert done.code == 0
    assert f"wrote made/{name}.o_codes.hex\n" in done.out


def test_a_dequantizer_s(blockdot, refused):
    name = "dequantize_e2m1_ue2m0_n2_bf16"
    done = blockdot("vectors", name, "-o", "made", "--vectors", 3)
    assert done.code == 0
    assert f"wrote made/{name}.o_x.hex\n" in done.out
    assert refused("vectors", name, "--long") == (
        f"long must be False for a dequantizer, which sums nothing: {name}"
    )


def test_refuses_what_cannot_be(refused):
    assert refused("vectors", "e2m1_ue5m3") == (
        "specification must read like e2m1_ue5m3_n16_fp32, not 'e2m1_ue5m3'"
    )
    assert refused("vectors", "e2m1_ue2m0_n2_none", "--vectors", -1) == "vectors must be at least 0, not -1"
