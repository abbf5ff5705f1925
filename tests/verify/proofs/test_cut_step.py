"""The adder of several terms holds part by part, and a fault in each part makes its claim fail."""

import re
from dataclasses import replace

import pytest
from blockdot.hw import DotUnit
from blockdot.hw.config import Optimise
from blockdot.model import DotSpec
from blockdot.verify.accumulate.aligned_loop_parts import loop_parts
from blockdot.verify.accumulate.aligned_parts import adder_parts
from blockdot.verify.accumulate.wide_products import product_parts
from blockdot.verify.proofs.cut_step import CutStep, DescribedPart, PartClaim, StepParts
from blockdot.verify.proofs.leaves import check_leaf
from blockdot.verify.proofs.steps import Chain

_SLOW = pytest.mark.proofs
# Two products, four bits behind the point, and elements that may be infinite.
_SMALL = "e5m2_none_n2_aligned_f4_t1_z20_binary16"
_CLAIMS = ("largest exponent", "terms", "tree", "sign and magnitude", "normalise, cut off")


def chain_of(name: str, optimise: Optimise = "area") -> Chain:
    spec = DotSpec.preset(name) if "_" not in name else DotSpec.parse(name)
    return Chain(DotUnit(spec, stages=1, optimise=optimise))


def parts_of(chain: Chain, optimise: Optimise = "area") -> StepParts:
    parts = adder_parts(chain.unit.spec, chain["accumulate"], optimise == "delay")
    assert parts is not None
    return parts


def claim_of(parts: StepParts, leaf: str) -> PartClaim:
    return next(one for one in parts.claims if one.leaf == f"aligned adder: {leaf}")


def faulty(chain: Chain, module: str, output: str, new: str) -> Chain:
    """Put another cell in the place of the last that drives a wire: ``swap`` swaps what it chooses from."""
    start = chain.rtlil.index(f"module \\{module}\n")
    end = chain.rtlil.index("\nend\n", start)
    cells = re.findall(r"  cell \$[^\n]*\n(?:    [^\n]*\n)*  end\n", chain.rtlil[start:end])
    (*_, old) = (cell for cell in cells if re.search(rf"connect \\Y \\{output}\n", cell))
    if new == "swap":
        turned = old.replace("connect \\A ", "connect \\X ").replace("connect \\B ", "connect \\A ")
        made = turned.replace("connect \\X ", "connect \\B ")
    else:
        made = re.sub(r"cell \$\w+ ", f"cell ${new} ", old, count=1)
    assert made != old
    chain.rtlil = chain.rtlil[:start] + chain.rtlil[start:end].replace(old, made) + chain.rtlil[end:]
    return chain


@pytest.mark.parametrize(
    ("name", "optimise"),
    [
        (_SMALL, "area"),
        pytest.param(_SMALL, "delay", marks=_SLOW),
        pytest.param("e2m1_ue4m3_n2_b2_aligned_f4_t1_z132", "area", marks=_SLOW),
        pytest.param("e2m1_ue8m0_n2_b2_aligned_f6", "area", marks=_SLOW),
        pytest.param("e2m3_none_n4_aligned_f6_t1_z15_e8m13_c", "area", marks=_SLOW),
    ],
)
def test_the_adder_of_several_terms_holds_part_by_part(name, optimise):
    chain = chain_of(name, optimise)
    parts = parts_of(chain, optimise)
    cut = CutStep(chain, chain["accumulate"], parts)
    assert tuple(one.leaf.removeprefix("aligned adder: ") for one in parts.claims) == _CLAIMS
    for claim in parts.claims:
        answer = claim.check(cut, 100)
        assert answer.holds, (claim.leaf, str(answer))


@pytest.mark.parametrize(
    ("leaf", "module", "output", "new"),
    [
        ("largest exponent", "component_accumulate", "larger_0_0_0", "swap"),
        pytest.param("largest exponent", "component_accumulate", "ahead_0", "swap", marks=_SLOW),
        pytest.param("largest exponent", "component_accumulate", "block_0_there", "reduce_and", marks=_SLOW),
        pytest.param("largest exponent", "component_accumulate", "accumulator_reads", "swap", marks=_SLOW),
        ("terms", "component_accumulate", "term_1_right_1", "swap"),
        pytest.param("terms", "component_accumulate", "addend_0", "or", marks=_SLOW),
        pytest.param("terms", "component_accumulate", "addend_2", "or", marks=_SLOW),
        ("tree", "component_accumulate", r"tree_\w+_sum", "or"),
        ("sign and magnitude", "component_sign_magnitude", "inverted", "or"),
        pytest.param("normalise, cut off", "component_accumulate", "any_nan", "and", marks=_SLOW),
        pytest.param("normalise, cut off", "component_normalise", r"shifted_\w+", "swap", marks=_SLOW),
        pytest.param(
            "normalise, cut off", "component_accumulate", "accumulator_top", "reduce_or", marks=_SLOW
        ),
    ],
)
def test_a_fault_in_a_part_makes_its_claim_fail(leaf, module, output, new):
    chain = faulty(chain_of(_SMALL), module, output, new)
    parts = parts_of(chain)
    assert not claim_of(parts, leaf).check(CutStep(chain, chain["accumulate"], parts), 100).holds


def test_products_of_wide_elements_are_tried_by_their_significands():
    chain = chain_of("bf16_none_n2_aligned_f4_t1_z132")
    parts = product_parts(chain.unit.spec)
    assert parts is not None
    (claim,) = parts.claims
    answer = claim.check(CutStep(chain, chain["term"], parts), 100)
    assert (answer.holds, answer.method) == (True, "every input (2^16)")
    for output, new in (("a_normal", "reduce_and"), (r"tree_\w+_sum", "or")):
        other = faulty(chain_of("bf16_none_n2_aligned_f4_t1_z132"), "component_term", output, new)
        assert not claim.check(CutStep(other, other["term"], parts), 100).holds
    assert product_parts(DotSpec.parse(_SMALL)) is None


def test_parts_are_about_every_output_and_register():
    chain = chain_of(_SMALL)
    parts = parts_of(chain)
    with pytest.raises(ValueError, match=r"^parts must be about every output and register, also next_acc"):
        CutStep(chain, chain["accumulate"], replace(parts, claims=parts.claims[:-1]))


@pytest.mark.matrix
@pytest.mark.parametrize(
    "name",
    [
        "volta-fp16",
        "volta-fp16-fp16",
        "ampere-tf32",
        "ampere-fp16",
        "hopper-e4m3",
        "blackwell-mx-e4m3",
        "blackwell-nvfp4",
    ],
)
def test_the_adder_of_a_published_tensor_core_holds_part_by_part(name):
    chain = chain_of(name)
    parts = parts_of(chain)
    cut = CutStep(chain, chain["accumulate"], parts)
    for claim in parts.claims:
        assert claim.check(cut, 600).holds, claim.leaf


# Two products, in a loop that keeps the sum as it comes.
_LOOP = "e5m2_none_n2_aligned_f5_t1_z132"
_LOOP_CLAIMS = ("sum so far", "counts", "tree", "sign and magnitude", "next sum")


def loop_of(name: str, output: str = "", new: str = "") -> tuple[CutStep, StepParts]:
    """Return the loop of a unit made for delay, with a fault where one is asked for, and how it is cut."""
    chain = Chain(DotUnit(DotSpec.parse(name), stages=2, optimise="delay"))
    if output.startswith("assign"):
        changed = re.sub(rf"({output}) [^\n]*", rf"\1 {new}", chain.rtlil, count=1)
        assert changed != chain.rtlil
        chain.rtlil = changed
    elif output:
        chain = faulty(chain, "component_accumulate", output, new)
    parts = loop_parts(chain.unit.spec, chain["accumulate"])
    assert parts is not None
    return CutStep(chain, chain["accumulate"], parts), parts


@_SLOW
@pytest.mark.parametrize(
    "name", [_LOOP, "e2m1_ue4m3_n2_b2_aligned_f4", "e2m3_none_n4_aligned_f6_t1_z15_e8m13_c"]
)
def test_the_loop_of_several_terms_holds_part_by_part(name):
    cut, parts = loop_of(name)
    assert tuple(one.leaf.removeprefix("aligned loop: ") for one in parts.claims) == _LOOP_CLAIMS
    for claim in parts.claims:
        answer = claim.check(cut, 100)
        assert answer.holds, (claim.leaf, str(answer))


@pytest.mark.parametrize("name", ["volta-fp16", _LOOP])
def test_the_number_that_a_kept_sum_is_worth_holds(name):
    """No sum of FP16 products comes near infinity, but infinite elements make one: both are told apart."""
    spec = DotSpec.preset(name) if "_" not in name else DotSpec.parse(name)
    chain = Chain(DotUnit(spec, stages=2, optimise="delay"))
    answer = check_leaf(chain, spec, ["result"])
    assert answer.holds, str(answer)
    assert not check_leaf(faulty(chain, "component_result", "special", "and"), spec, ["result"]).holds


@pytest.mark.parametrize(
    ("leaf", "output", "new"),
    [
        pytest.param("sum so far", "made_at", "swap", marks=_SLOW),
        pytest.param("sum so far", "infinite_up", "and", marks=_SLOW),
        pytest.param("sum so far", "own_placed", "and", marks=_SLOW),
        pytest.param("counts", "row_1_right_1", "swap", marks=_SLOW),
        ("tree", r"tree_\w+_sum", "or"),
        ("next sum", r"assign \S+ \[8:0\](?= \\accumulate)", r"\\o_sum_magnitude [8:0]"),
    ],
)
def test_a_fault_in_the_loop_makes_its_claim_fail(leaf, output, new):
    cut, parts = loop_of(_LOOP, output, new)
    (claim,) = (one for one in parts.claims if one.leaf == f"aligned loop: {leaf}")
    assert not claim.check(cut, 100).holds


@_SLOW
@pytest.mark.parametrize("loop", [False, True])
def test_what_parts_take_for_granted_can_be(loop):
    """Were it never so, everything would hold: that a group is no number, or nothing else, would as well."""
    chain = chain_of(_SMALL)
    parts = parts_of(chain)
    cut, parts = loop_of(_LOOP) if loop else (CutStep(chain, chain["accumulate"], parts), parts)
    described = [one for claim in parts.claims for one in claim.parts if isinstance(one, DescribedPart)]
    assert len(described) > 5
    for part in described:

        def describe(m, part=part):
            part.describe(m)
            m.claims.clear()
            odd = [name for name in ("odd", "i_odd") if re.search(rf"\b{name}\b", str(m))]
            m.claim("never", " | ".join(["i_nan", *odd]))

        answer = replace(part, describe=describe).check(cut, 100)
        assert not answer.holds
        assert answer.output == "ok_claim_never"
