"""Proofs of the unit of each published tensor core: which claims hold, and how long the processor takes.

``python -m studies.preset_proofs NAME...`` proves all that `blockdot prove` claims of the units of those
presets, or of all. What comes of each claim is kept in ``studies/preset_proofs.jsonl`` when it is settled. A
claim that holds is not proven again while the unit's netlists, at every number of stages, and the sources of
proofs and model are the same: a run that was broken off goes on where it was. At the end it writes its part
of ``docs/verification.md``; ``--write`` does this alone.

Claims are settled one after the other in this process, so that its time, with that of the solvers that it
calls, is theirs.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.hw import DotUnit, to_rtlil
from blockdot.hw.config import OPTIMISE, Optimise, UnitConfig, least_stages
from blockdot.lab.cost.jobs import Progress
from blockdot.lab.reports.records import markdown_lines
from blockdot.verify.proofs.claims import Claim, Proof, claims, settle

from .commands import exit_code_of, progress_bars
from .different_presets import different_presets
from .marked_part import with_part
from .preset_study import (
    PAGE,
    chosen_presets,
    digest_of,
    names_told,
    preset_parser,
    processor_seconds,
    sums_told,
    wrapped,
)
from .records import StoredRecord, read_stored, write_stored

__all__ = [
    "HOLDS",
    "KEPT",
    "PROOFS_BEGIN",
    "PROOFS_END",
    "claims_told",
    "holds",
    "main",
    "page_with_proofs",
    "prove_unit",
    "read_proofs",
]

KEPT: Final = Path(__file__).resolve().with_name("preset_proofs.jsonl")
"""Where what came of each claim is kept."""

PROOFS_BEGIN: Final = "<!-- made by `python -m studies.preset_proofs`, of studies/preset_proofs.jsonl -->"
PROOFS_END: Final = "<!-- end of what is made -->"
"""The marks in the page, each a line of its own."""

HOLDS: Final = ("proven", "agrees")
"""Outcomes of claims that hold."""

SECONDS: Final = 600
"""How long a solver may take over one claim."""

_COMMAND: Final = "python -m studies.preset_proofs"
# What an answer hangs on beside the netlists: what is claimed and how it is shown, and the model's numbers.
_SOURCES: Final = (
    "verify/accumulation_checks.py",
    "verify/accumulate/*.py",
    "verify/proofs/*.py",
    "model/accumulate/*.py",
    "model/aligned_sum.py",
    "model/block_terms.py",
    "model/dot_product.py",
    "model/fixed_point.py",
    "model/formats.py",
    "model/number_format.py",
    "model/spec.py",
)


def _digest(config: UnitConfig) -> str:
    """Return a hash of all that an answer hangs on: netlists, what is claimed of them, and tools."""
    depths = range(least_stages(config.spec), config.max_stages + 1)
    return digest_of(
        _SOURCES, (to_rtlil(DotUnit.of(config.with_stages(stages))).encode() for stages in depths)
    )


def read_proofs(path: Path) -> dict[tuple[str, str], StoredRecord]:
    """Return what is kept, by preset and form, each with its ``claims``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not such a file.
    """
    stored = read_stored(path)
    try:
        found = {(one["preset"], one["optimise"]): one | {"claims": []} for one in stored["units"]}
        for claim in stored["claims"]:
            found[claim.pop("preset"), claim.pop("optimise")]["claims"].append(claim)
    except KeyError as error:
        raise ValueError(f"{path} must have units and their claims, not without {error}") from error
    return found


def _write_proofs(path: Path, kept: Mapping[tuple[str, str], StoredRecord]) -> None:
    order = list(different_presets())
    ranked = sorted(kept, key=lambda key: (OPTIMISE.index(key[1]), order.index(key[0])))
    units = [{name: value for name, value in kept[key].items() if name != "claims"} for key in ranked]
    rows = [
        {"preset": preset, "optimise": optimise, **claim}
        for preset, optimise in ranked
        for claim in kept[preset, optimise]["claims"]
    ]
    write_stored(path, _COMMAND, {"units": units, "claims": rows})


def prove_unit(
    config: UnitConfig,
    known: Mapping[str, StoredRecord],
    seconds: float,
    keep: Callable[[int, dict[str, StoredRecord]], None],
    progress: Progress | None = None,
    settled: Callable[[Claim, float], Proof] = settle,
) -> list[Proof]:
    """Settle the claims of a unit that are not known to hold; return those that do not hold.

    Args:
        config: How it is built; its stages are left aside.
        known: What is known of claims, by what they are about.
        seconds: How long a solver may take over one claim.
        keep: Called with how many claims there are, and what is known of which, when one more is.
        progress: Called with how many claims are settled, of how many.
        settled: Settles a claim within some seconds.
    """
    start = processor_seconds()
    every = claims(config)
    found = {claim.leaf: known[claim.leaf] for claim in every if claim.leaf in known}
    left: list[Proof] = []
    for done, claim in enumerate(every, 1):
        if found.get(claim.leaf, {}).get("outcome") not in HOLDS:
            proof = settled(claim, seconds)
            # What it takes to build the unit is part of the first claim's time.
            now = processor_seconds()
            found[claim.leaf] = {
                "leaf": claim.leaf,
                "outcome": proof.outcome,
                "method": proof.method,
                "seconds": round(now - start, 1),
            }
            start = now
            if proof.outcome not in HOLDS:
                found[claim.leaf]["remains"] = proof.remains
                left.append(proof)
            keep(len(every), {one.leaf: found[one.leaf] for one in every if one.leaf in found})
        if progress is not None:
            progress(done, len(every), claim.leaf)
    return left


def claims_told(record: StoredRecord) -> str:
    """Return how many claims hold, of how many."""
    hold = sum(claim["outcome"] in HOLDS for claim in record["claims"])
    return f"{hold} of {record['count']}"


def holds(record: StoredRecord) -> bool:
    """Say whether every claim of a unit holds."""
    return sum(claim["outcome"] in HOLDS for claim in record["claims"]) == record["count"]


def proof_lines(kept: Mapping[tuple[str, str], StoredRecord]) -> list[str]:
    """Return the lines of the part of the page."""
    specs = different_presets()
    area = {preset: record for (preset, optimise), record in kept.items() if optimise == "area"}
    whole = [name for name, record in area.items() if holds(record)]
    fast = {preset: record for (preset, optimise), record in kept.items() if optimise == "delay"}
    untold = [name for name in specs if name not in area]
    told = f"Every claim holds of {len(whole)} of the {len(specs)} different tensor cores. "
    if untold:
        told += f"Not tried: {names_told(untold)}. "
    told += f"`{_COMMAND}` proves what has changed since, and keeps it; `blockdot prove NAME` shows one. "
    lines = [*wrapped(f"{told}The time is that of the processor, user and system."), ""]

    def row(name: str, record: StoredRecord) -> list[str]:
        spent = sum(claim["seconds"] for claim in record["claims"])
        return [f"`{name}`", sums_told(specs[name]), claims_told(record), f"{spent:.0f}"]

    heads, right = ["tensor core", "its sums", "claims that hold", "seconds"], [False, False, True, True]
    lines += markdown_lines(heads, [row(name, area[name]) for name in specs if name in area], numbers=right)
    lines += ["", "Presets that compute the same stand here once."]
    if fast:
        lines += [
            "",
            "Made for delay:",
            "",
            *markdown_lines(heads, [row(name, fast[name]) for name in specs if name in fast], numbers=right),
        ]
    for (name, optimise), record in kept.items():
        wrong = [claim for claim in record["claims"] if claim["outcome"] not in HOLDS]
        missing = record["count"] - len(record["claims"])
        if wrong or missing:
            found = [f"{claim['leaf']} is {claim['outcome']}" for claim in wrong]
            found += [f"{missing} are not tried"] if missing else []
            lines += ["", *wrapped(f"Of `{name}`, for {optimise}: {'; '.join(found)}.")]
    return lines


def page_with_proofs(page: str, kept: Mapping[tuple[str, str], StoredRecord]) -> str:
    """Return the page with its part made anew.

    Raises:
        ValueError: If the page does not have the two marks, once each and in order.
    """
    return with_part(page, PAGE.name, PROOFS_BEGIN, PROOFS_END, "\n".join(proof_lines(kept)) + "\n")


def _write(path: Path, page: Path) -> None:
    if not path.exists():
        raise ValueError("claims must be proven before the page is written")
    write_whole(page, page_with_proofs(page.read_text(encoding="utf-8"), read_proofs(path)))


def _run(
    names: Sequence[str],
    optimise: Optimise,
    seconds: float,
    path: Path,
    page: Path,
    settled: Callable[[Claim, float], Proof],
) -> int:
    chosen = chosen_presets(names)
    if seconds < 1:
        raise ValueError(f"seconds must be at least 1, not {seconds:g}")
    unsettled = 0
    with progress_bars() as bar:
        for name, spec in chosen.items():
            kept = read_proofs(path) if path.exists() else {}
            config = UnitConfig(spec, stages=1, optimise=optimise)
            heading: dict[str, Any] = {
                "preset": name,
                "optimise": optimise,
                "spec": spec.name,
                "digest": _digest(config),
            }
            old = kept.get((name, optimise), {})
            known = {one["leaf"]: one for one in old["claims"]} if heading.items() <= old.items() else {}

            def keep(
                count: int,
                found: dict[str, StoredRecord],
                kept: dict[tuple[str, str], StoredRecord] = kept,
                heading: dict[str, Any] = heading,
            ) -> None:
                key = heading["preset"], heading["optimise"]
                kept[key] = heading | {"count": count, "claims": list(found.values())}
                _write_proofs(path, kept)

            left = prove_unit(config, known, seconds, keep, bar(name), settled)
            for proof in left:
                print(f"{name}: {proof.leaf}: {proof.outcome}: {proof.remains}", flush=True)
            unsettled += len(left)
    _write(path, page)
    print(f"{len(chosen)} presets: {unsettled} claims do not hold")
    return int(unsettled > 0)


def main(
    arguments: Sequence[str] | None = None,
    *,
    page: Path = PAGE,
    settled: Callable[[Claim, float], Proof] = settle,
) -> int:
    """Prove, and write the part of the page; return the exit code: 1 if a claim does not hold."""
    parser = preset_parser(_COMMAND, __doc__, KEPT)
    parser.add_argument("--optimise", choices=OPTIMISE, default="area", help="the form of the units")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="N", help="how long a solver may take over a claim"
    )
    chosen = parser.parse_args(arguments)
    work = functools.partial(_write, chosen.keep, page)
    if not chosen.write:
        work = functools.partial(
            _run, chosen.presets, chosen.optimise, chosen.seconds, chosen.keep, page, settled
        )
    return exit_code_of("preset_proofs", work, "what was proven is kept")


if __name__ == "__main__":
    sys.exit(main())
