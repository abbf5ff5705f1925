"""Every claim holds of a small unit, and a fault in each leaf makes its claim fail."""

import re
from collections.abc import Callable

import pytest
from blockdot.hw import DotUnit, to_verilog
from blockdot.hw.config import Optimise, UnitConfig
from blockdot.model import DotSpec
from blockdot.verify.proofs import claims, contract, prove
from blockdot.verify.proofs.algebra import (
    check_counts,
    check_partial_products,
    check_saved_product,
    check_tree,
)
from blockdot.verify.proofs.contract import check_contract, grouped
from blockdot.verify.proofs.descriptions import Description, describe, tree_offset
from blockdot.verify.proofs.gate_network import network
from blockdot.verify.proofs.leaves import check_leaf, leaf_network
from blockdot.verify.proofs.pipeline import check_composition, check_stream, pipeline
from blockdot.verify.proofs.solver import always
from blockdot.verify.proofs.solver_error import SolverError
from blockdot.verify.proofs.steps import Chain, StepNetlist

_SMALL = {"fp32": "e2m1_ue3m2_n2_fp32", "exact": "e2m1_ue3m2_n2_exact_g2", "aligned": "e2m1_ue3m2_n2_aligned"}


def chain_of(
    name: str, optimise: Optimise = "area", stages: int | None = None, segment: int | None = None
) -> Chain:
    spec = DotSpec.parse(name)
    stages = int(spec.accumulates) if stages is None else stages
    return Chain(DotUnit(spec, stages=stages, optimise=optimise, segment=segment))


def planted(chain: Chain, module: str, old: str, new: str, which: int = 0) -> Chain:
    """Put another cell in the place of one of a module's: the netlist with a fault."""
    start = chain.rtlil.index(f"module \\{module}\n")
    end = chain.rtlil.index("\nend\n", start)
    body = chain.rtlil[start:end]
    place = [found.start() for found in re.finditer(rf"cell \${old} ", body)][which]
    faulty = body[:place] + body[place:].replace(f"cell ${old} ", f"cell ${new} ", 1)
    chain.rtlil = chain.rtlil[:start] + faulty + chain.rtlil[end:]
    return chain


_SLOW = pytest.mark.proofs


def test_what_is_assumed_of_an_accumulator_is_claimed_of_what_it_takes():
    """Where no infinity is built, no sum comes there: a lower bound would not hold."""
    chain = chain_of(_SMALL["aligned"])
    described = describe(chain.unit.spec, [chain["accumulate"]], None)
    assert described.claims == ("accumulator",)
    (bound,) = set(re.findall(r"\[30:23\] <= ([0-9]+)", described.text))
    assert int(bound) < 255
    for highest, holds in ((int(bound), True), (140, False)):
        text = described.text.replace(f"[30:23] <= {bound}", f"[30:23] <= {highest}")
        description = Description(text, described.cares, described.claims)
        question = leaf_network(chain, [chain["accumulate"]], description)
        assert always(question, ["ok_claim_accumulator"]).holds == holds


@pytest.mark.parametrize(
    ("accumulate", "optimise", "stages"),
    [
        ("exact", "area", 1),
        pytest.param("exact", "delay", 1, marks=_SLOW),
        pytest.param("fp32", "area", 1, marks=_SLOW),
        pytest.param("fp32", "delay", 1, marks=_SLOW),
        pytest.param("fp32", "delay", 2, marks=_SLOW),
        pytest.param("aligned", "area", 1, marks=_SLOW),
        pytest.param("aligned", "delay", 1, marks=_SLOW),
    ],
)
def test_every_leaf_of_a_small_unit_holds(accumulate, optimise, stages):
    chain = chain_of(_SMALL[accumulate], optimise, stages)
    for group in grouped(chain.steps):
        if accumulate == "fp32" and group[0].accumulates:
            continue  # as wide in a small unit as in a large one: half a minute of `make prove`
        answer = check_leaf(chain, chain.unit.spec, [step.name for step in group])
        assert answer.holds, (group, str(answer))


def test_of_terms_that_are_products_every_step_before_their_sum_holds():
    """No solver gets through the sum as a whole: `test_cut_step` is about its parts."""
    name = "e2m1_ue4m3_n2_aligned_f4_t1_z21_binary16"
    chain = chain_of(name)
    spec = chain.unit.spec
    assert [step.name for step in chain.steps] == ["term", "scale", "accumulate"]
    for step in ("term", "scale"):
        assert check_leaf(chain, spec, [step]).holds
    answer, compared = check_contract(chain, spec, random_inputs=500)
    assert answer.holds
    assert compared > 200
    assert check_composition(chain, chain.unit).holds
    for step, module in (("term", "component_term"), ("scale", "component_scaled")):
        faulty = planted(chain_of(name), module, "and", "or")
        assert not check_leaf(faulty, spec, [step]).holds


def test_terms_are_aligned_and_counted_before_the_loop():
    name = "e2m1_ue2m0_n2_b2_aligned_f5"
    chain = chain_of(name, "delay", 2)
    spec = chain.unit.spec
    assert [step.name for step in chain.steps][-5:] == ["search", "align", "count", "accumulate", "result"]
    for step in ("search", "align"):
        assert check_leaf(chain, spec, [step]).holds
        faulty = swapped(chain_of(name, "delay", 2), f"component_{step}")
        assert not check_leaf(faulty, spec, [step]).holds
    for fault in (False, True):
        made = chain_of(name, "delay", 2)
        made = planted(made, "component_count", "xor", "or") if fault else made
        step = made["count"]
        assert check_counts(network({"steps.il": made.rtlil}, step.module), step).holds != fault


@pytest.mark.one_in(2)
@pytest.mark.parametrize("segment", [1, 4])
def test_carries_that_are_kept_belong_to_the_sum(segment):
    chain = chain_of(_SMALL["exact"], segment=segment)
    for name in ("accumulate", "resolve"):
        assert check_leaf(chain, chain.unit.spec, [name]).holds
    assert check_contract(chain, chain.unit.spec)[0].holds
    assert check_composition(chain, chain.unit).holds
    for name, module in (("accumulate", "component_accumulate"), ("resolve", "component_resolve")):
        faulty = planted(chain_of(_SMALL["exact"], segment=segment), module, "xor", "or")
        assert not check_leaf(faulty, faulty.unit.spec, [name]).holds


@pytest.mark.parametrize("result", [pytest.param("binary16", marks=_SLOW), "bfloat16"])
def test_a_sum_is_rounded_to_16_bits_at_its_end(result):
    name = f"e2m1_ue2m0_n2_aligned_f2_{result}" if result == "bfloat16" else f"e2m1_ue2m0_n2_fp32_{result}"
    chain = chain_of(name)
    assert check_leaf(chain, chain.unit.spec, ["narrow"]).holds
    assert check_contract(chain, chain.unit.spec, random_inputs=300)[0].holds
    assert check_composition(chain, chain.unit).holds
    faulty = planted(chain_of(name), "component_narrow", "and", "or")
    assert not check_leaf(faulty, faulty.unit.spec, ["narrow"]).holds


@pytest.mark.proofs
@pytest.mark.parametrize("name", ["e2m1_ue8m0_n2_none_binary16", "e2m1_ue3m2_n2_exact_g2_bfloat16"])
def test_an_exact_value_is_rounded_to_odd_first(name):
    chain = chain_of(name)
    assert check_leaf(chain, chain.unit.spec, ["normalise", "round"]).holds
    assert check_contract(chain, chain.unit.spec, random_inputs=300)[0].holds
    # Rounded to nearest, as binary32 results are, it would not be.
    plain = chain_of(name.rpartition("_")[0])
    assert not check_leaf(plain, chain.unit.spec, ["normalise", "round"]).holds


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("e2m1_ue2m0_n2_exact_g1_c", marks=_SLOW),
        pytest.param("e2m1_ue3m2_n2_fp32_c", marks=_SLOW),
        pytest.param("e2m1_ue3m2_n2_aligned_c", marks=_SLOW),
    ],
)
def test_a_sum_starts_at_c(name):
    """That both are added as described is proven but for ``exact``, where no solver gets through the sum."""
    chain = chain_of(name)
    spec = chain.unit.spec
    assert chain["accumulate"].inputs["c"] == 32
    assert check_leaf(chain, spec, ["accumulate"]).holds
    assert check_contract(chain, spec, random_inputs=500)[0].holds
    assert check_composition(chain, chain.unit).holds


@pytest.mark.parametrize(
    "name",
    [
        "e2m1_ue2m0_n2_none_tensor",
        pytest.param("e2m1_ue3m2_n2_fp32_tensor", marks=_SLOW),
        pytest.param("e2m1_ue8m0_n2_fp32_tensor", marks=_SLOW),
        pytest.param("e2m1_ue3m2_n2_exact_g2_tensor", marks=_SLOW),
    ],
)
def test_a_result_is_multiplied_by_a_tensor_scale(name):
    """All of the multiplier is proven at its full width: the tree by algebra, the rest by a solver."""
    chain = chain_of(name)
    spec = chain.unit.spec
    for steps in (["read_g"], ["tensor_read"], ["tensor_add"], ["tensor_normalise", "tensor_round"]):
        answer = check_leaf(chain, spec, steps)
        assert answer.holds, (steps, str(answer))
    tree = chain["tensor_compress"]
    assert check_partial_products(network({"steps.il": chain.rtlil}, tree.module), tree).holds
    assert check_contract(chain, spec, random_inputs=300)[0].holds
    # Registers beside all steps but the last ones, where there are sums; else none.
    stages = chain.unit.max_stages if spec.accumulates else 0
    assert check_composition(chain, DotUnit(spec, stages=stages)).holds


@pytest.mark.parametrize(
    ("steps", "module", "old", "new"),
    [
        (["read_g"], "component_read_g", "mux", "mux"),
        (["tensor_read"], "component_read_result", "reduce_and", "reduce_or"),
        (["tensor_normalise", "tensor_round"], "component_tensor_normalise", "mux", "mux"),
        pytest.param(
            ["tensor_normalise", "tensor_round"], "component_tensor_round", "and", "or", marks=_SLOW
        ),
    ],
)
def test_a_fault_in_the_multiplier_makes_its_claim_fail(steps, module, old, new):
    chain = chain_of("e2m1_ue2m0_n2_none_tensor")
    faulty = swapped(chain, module) if old == "mux" else planted(chain, module, old, new)
    assert not check_leaf(faulty, faulty.unit.spec, steps).holds


def test_a_fault_in_the_multiplier_s_tree():
    chain = planted(chain_of("e2m1_ue2m0_n2_none_tensor"), "component_tensor_tree", "xor", "and", which=3)
    tree = chain["tensor_compress"]
    answer = check_partial_products(network({"steps.il": chain.rtlil}, tree.module), tree)
    assert not answer.holds
    assert "coefficient of i_significand_" in str(answer)


# What each leaf is made of, and a fault there.
_FAULTS = {
    "element product": ("fp32", ["product"], "component_product", "and", "or"),
    "scale decode": ("fp32", ["product"], "component_scale", "or", "and"),
    "final adder": ("fp32", ["add"], "component_add", "xor", "or"),
    "scaled sum": ("fp32", ["multiply"], "component_term", "and", "or"),
    "normalise": ("fp32", ["normalise", "round"], "component_normalise", "mux", "mux"),
    "round": ("fp32", ["normalise", "round"], "component_round", "and", "or"),
    "binary32 adder": ("fp32", ["accumulate"], "component_accumulate", "xor", "or"),
    "window": ("exact", ["place"], "component_place", "mux", "mux"),
    "exact accumulator": ("exact", ["accumulate"], "component_accumulate", "xor", "or"),
    "leading sign bits": ("exact", ["normalise", "round"], "component_normalise", "xor", "or"),
    "aligned adder": ("aligned", ["accumulate"], "component_accumulate", "xor", "or"),
}


def swapped(chain: Chain, module: str) -> Chain:
    """Swap the two data inputs of a module's last multiplexer."""
    start = chain.rtlil.index(f"module \\{module}\n")
    end = chain.rtlil.index("\nend\n", start)
    head, cell, tail = chain.rtlil[start:end].rpartition("cell $mux ")
    tail = tail.replace("connect \\A ", "connect \\X ", 1).replace("connect \\B ", "connect \\A ", 1)
    tail = tail.replace("connect \\X ", "connect \\B ", 1)
    chain.rtlil = chain.rtlil[:start] + head + cell + tail + chain.rtlil[end:]
    return chain


_QUICK = ("element product", "scale decode", "final adder", "scaled sum", "round", "window")


@pytest.mark.parametrize(
    "leaf", [leaf if leaf in _QUICK else pytest.param(leaf, marks=_SLOW) for leaf in _FAULTS]
)
def test_a_fault_in_a_leaf_makes_its_claim_fail(leaf):
    accumulate, names, module, old, new = _FAULTS[leaf]
    chain = chain_of(_SMALL[accumulate])
    faulty = swapped(chain, module) if old == "mux" else planted(chain, module, old, new)
    answer = check_leaf(faulty, faulty.unit.spec, names)
    assert not answer.holds
    assert re.search(r"fails at (i_|accumulator)", str(answer)), str(answer)
    assert len(answer.inputs) >= 1


@pytest.mark.parametrize("optimise", ["area", "delay"])
@pytest.mark.parametrize("lanes", [2, 16])
def test_the_sum_of_a_tree(lanes, optimise):
    chain = chain_of(f"e2m1_ue5m3_n{lanes}_none", optimise)
    question = network({"steps.il": chain.rtlil}, "step_compress")
    offset = -1 if optimise == "delay" else 0
    assert check_tree(question, chain["compress"], offset=offset).holds
    other = check_tree(question, chain["compress"], offset=offset + 1)
    assert "coefficient of the constant" in str(other)


@pytest.mark.parametrize("lanes", [2, 16])
def test_the_sum_of_a_tree_that_is_multiplied_as_it_is(lanes):
    chain = chain_of(f"e2m1_ue5m3_n{lanes}_fp32", "delay", 1)
    tree, product = chain["compress"], chain["multiply"]
    question = network({"steps.il": chain.rtlil}, tree.module)
    assert check_tree(question, tree, offset=tree_offset(tree, product)).holds
    assert check_saved_product(network({"steps.il": chain.rtlil}, product.module), product).holds
    faulty = planted(chain, "component_term", "xor", "or", which=5)
    answer = check_saved_product(network({"steps.il": faulty.rtlil}, product.module), product)
    assert not answer.holds
    assert "coefficient of i_" in str(answer)


def test_the_descriptions_of_a_unit_of_one_stage_are_the_contract():
    chain = chain_of("e2m1_ue8m0_n2_fp32", "delay", 1)
    answer, compared = check_contract(chain, chain.unit.spec, random_inputs=300)
    assert answer.holds, str(answer)
    assert compared > 100


@pytest.mark.parametrize(
    ("old", "new", "which", "holds"),
    [
        ("xor", "and", 3, False),
        ("and", "or", 3, False),
        # Of what negates the last lane.
        ("or", "xor", 3, False),
        # A full adder's OR may as well be an XOR, as both its inputs are never 1 at once.
        ("or", "xor", -1, True),
    ],
)
def test_a_fault_in_a_tree(old, new, which, holds):
    chain = planted(chain_of("e2m1_ue5m3_n4_none"), "component_tree", old, new, which)
    question = network({"steps.il": chain.rtlil}, "step_compress")
    answer = check_tree(question, chain["compress"], offset=0)
    assert answer.holds == holds


@pytest.mark.parametrize(
    "name",
    [
        "e2m1_ue2m0_n2_none",
        pytest.param(_SMALL["exact"], marks=_SLOW),
        pytest.param(_SMALL["fp32"], marks=_SLOW),
        pytest.param(_SMALL["aligned"], marks=_SLOW),
    ],
)
def test_the_descriptions_in_a_row_are_the_contract(name):
    chain = chain_of(name)
    answer, compared = check_contract(chain, chain.unit.spec, random_inputs=300)
    assert answer.holds, str(answer)
    assert compared > 100


@pytest.mark.proofs
def test_other_descriptions_are_not_the_contract(monkeypatch):
    right = contract.describe

    def describe(spec, steps, following, **options):
        one = right(spec, steps, following, **options)
        return Description(one.text.replace("rest == half & kept[0]", "rest == half"), one.cares)

    wide = chain_of("e2m1_ue8m0_n2_none")
    monkeypatch.setattr(contract, "describe", describe)
    answer, _ = check_contract(wide, wide.unit.spec)
    assert not answer.holds
    assert str(answer).startswith("result ")


@pytest.mark.parametrize(
    ("name", "stages", "optimise"),
    [
        ("e2m1_ue4m3_n2_none", 0, "area"),
        pytest.param("e2m1_ue2m0_n2_none", 3, "delay", marks=_SLOW),
        pytest.param("e2m1_ue4m3_n2_fp32", 3, "delay", marks=_SLOW),
        pytest.param("e2m1_ue4m3_n2_fp32", 1, "delay", marks=_SLOW),
        ("e2m1_ue2m0_n2_exact_g2", 4, "area"),
    ],
)
def test_a_unit_is_its_steps_in_a_row(name, stages, optimise):
    spec = DotSpec.parse(name)
    unit = DotUnit(spec, stages=stages, optimise=optimise)
    chain = chain_of(name, optimise, stages)
    assert check_composition(chain, unit).holds


_WIRING: dict[str, Callable[[str], str]] = {
    "an enable that ignores valid": lambda text: re.sub(r"= i_ready & valid_0;", "= i_ready;", text),
    "a sum that never starts": lambda text: text.replace("assign keep = ~ ", "assign keep = 1'h1 | "),
    "a register that always moves": lambda text: re.sub(
        r"spare_full \? valid_0 : ", "1'h0 ? valid_0 : ", text
    ),
    "ready hangs on ready": lambda text: text.replace(
        "assign i_ready = ~ spare_full", "assign i_ready = o_ready"
    ),
}


@pytest.mark.parametrize(
    "fault", [fault if "ready" in fault else pytest.param(fault, marks=_SLOW) for fault in _WIRING]
)
def test_a_fault_in_the_wiring(fault):
    spec = DotSpec.parse("e2m1_ue2m0_n2_exact_g2")
    unit = DotUnit(spec, stages=2)
    text = to_verilog(unit).text
    faulty = _WIRING[fault](text)
    assert faulty != text
    assert not check_composition(chain_of(spec.name), unit, text=faulty).holds


@pytest.mark.parametrize(
    ("accumulate", "stages"), [("none", 3), ("fp32", 1), pytest.param("exact", 3, marks=_SLOW)]
)
def test_a_pipeline_keeps_the_rules_of_its_streams(accumulate, stages):
    assert check_stream(DotUnit(DotSpec(block_size=2, accumulate=accumulate), stages=stages)).holds


_CONTROL = {
    "kept_result": ("spare_full ? spare : ", "spare_full ? ~spare : "),
    "in_time": ("rst ? 1'b0 : move ? i_valid", "rst ? 1'b0 : 1'b1 ? i_valid"),
    "frees": ("o_valid & ~o_ready;", "o_valid;"),
    "empty": ("assign o_valid = spare_full | ", "assign o_valid = 1'b1 | "),
    "kept_valid": ("o_valid & ~o_ready;", "1'b0;"),
    "in_order": ("wire enable = move & ", "wire enable = "),
}


@pytest.mark.parametrize(
    "rule", [rule if rule.startswith("in_") else pytest.param(rule, marks=_SLOW) for rule in _CONTROL]
)
def test_a_fault_in_the_control(rule):
    unit = DotUnit(DotSpec(block_size=2, accumulate="fp32"), stages=2)
    steps = [
        StepNetlist(
            name,
            "token_sum" if name == "accumulate" else "token_step",
            {"token": 1},
            {"token": 1},
            name == "accumulate",
        )
        for name in unit.steps
    ]
    text = pipeline(unit, steps, {"token": 1}, "pipeline")
    old, new = _CONTROL[rule]
    assert text.count(old) == 1
    answer = check_stream(unit, text=text.replace(old, new))
    assert not answer.holds


def test_what_was_proven_is_kept(tmp_path, monkeypatch):
    config = UnitConfig.parse("e2m1_ue2m0_n2_none_s0")
    seen: list[str] = []
    every = claims.claims(config)
    assert len(every) == 7 + 2 * 6 + 1
    # Two leaves, and a stage of the pipeline.
    monkeypatch.setattr(claims, "claims", lambda *_, **__: [every[2], every[3], every[-1]])
    first = prove(config, build_dir=tmp_path, progress=lambda _done, _total, leaf: seen.append(leaf))
    assert {proof.outcome for proof in first} == {"proven"}
    assert len(seen) == len(first)
    again = prove(config, build_dir=tmp_path)
    assert all(proof.kept for proof in again)
    (file,) = tmp_path.iterdir()
    file.write_text("[{")
    assert not any(proof.kept for proof in prove(config, build_dir=tmp_path))


def test_a_claim_without_an_answer_is_open():
    def check(_seconds: float):
        raise SolverError("ABC must settle the question within 1 s")

    claim = claims.Claim("a leaf", "a claim", "", check)
    proof = claims.settle(claim, 1)
    assert (proof.outcome, proof.full_width) == ("open", False)
    assert proof.remains == "ABC must settle the question within 1 s"


def test_refuses_what_cannot_be():
    with pytest.raises(ValueError, match=r"^workers must be at least 1, not 0$"):
        prove(UnitConfig(DotSpec()), workers=0)
    with pytest.raises(ValueError, match=r"^seconds must be at least 1, not 0$"):
        prove(UnitConfig(DotSpec()), seconds=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("e2m1_ue2m0_n2_none_s1_valid", "flow must be stream to be proven, not valid"),
        ("array2x2_e2m1_ue2m0_n2_none_s1", "tile must be None for a single unit, not (2, 2)"),
    ],
)
def test_what_is_proven_is_a_unit_behind_streams(name, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        prove(UnitConfig.parse(name))
