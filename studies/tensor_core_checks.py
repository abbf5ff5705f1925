"""What is checked of each published tensor core: the part of a page that tells it, of what is kept.

`studies.preset_steps` holds the model against exact integers, `studies.volume` the units against the model,
`studies.preset_proofs` proves the units, and `studies.preset_mutants` puts faults into them.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from blockdot.lab.reports.records import markdown_lines
from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS
from blockdot.sim.zero_exponents import zero_exponent_counts

from .different_presets import different_presets
from .preset_mutants import found_told, survives
from .preset_proofs import claims_told, holds
from .records import StoredRecord
from .volume import tensor_cores

__all__ = ["check_lines", "table_lines"]

_LINE = 100
_SHARES = {
    "zeros": "empty",
    "cancels": "cancelled",
    "cut off": "cut",
    "subnormal": "subnormal",
    "overflow": "overflowed",
    "not finite": "special",
}


def _share(count: int, steps: int) -> str:
    return f"{count / steps:.1%}" if count >= steps / 1000 else f"{count / steps:.0e}" if count else "0"


def table_lines() -> list[str]:
    """Return the part that tells what each generation computes, a row for each kind of its steps."""
    first = {spec: name for name, spec in different_presets().items()}
    rows: dict[tuple[str, ...], list[DotSpec]] = {}
    for name, preset in PRESETS.items():
        spec = preset.spec
        scaled = f"{spec.scale} of {spec.block_size}" if spec.has_scales else "-"
        numbers = (spec.blocks * spec.block_size, spec.term_size, spec.fraction, spec.zero_exponent)
        what = (*map(str, numbers), spec.sum_format.meaning)
        rows.setdefault((name.partition("-")[0].capitalize(), scaled, *what), []).append(spec)
    table: list[list[str]] = []
    generations = list(dict.fromkeys(generation for generation, *_ in rows))
    for (generation, *what), specs in sorted(rows.items(), key=lambda row: generations.index(row[0][0])):
        elements = ", ".join(spec.elements[0].name for spec in specs)
        command = " ".join(("python -m studies.preset_steps", *(first[spec] for spec in specs)))
        table.append([generation, elements, *what, f"`{command}`"])
    right = ("products", "of a term", "fraction", "zero")
    heads = ["generation", "elements", "scales", *right, "sum", "command"]
    return [
        "## What each generation computes",
        "",
        *markdown_lines(heads, table, numbers=[head in right for head in heads]),
        "",
        "- **scales**: the format of a pair of scales, and how many elements it is for.",
        "- **products**: of a step. **of a term**: how many are added exactly before they are cut off.",
        "- **fraction**: bits behind the point that are kept. **zero**: the exponent that a zero reads.",
        "- **sum**: the format of every sum, and how it is rounded.",
        "- **command**: holds the row against a second program, which has a table of its own",
        "  ([below](#what-is-checked-of-each)). A step that several generations have goes by its first name.",
        "",
    ]


def check_lines(
    steps: Sequence[Mapping[str, Any]],
    volume: Mapping[str, Any],
    proofs: Mapping[tuple[str, str], StoredRecord],
    mutants: Mapping[str, StoredRecord],
) -> list[str]:
    """Return the lines of the part.

    Args:
        steps: The records of `studies.preset_steps`.
        volume: What `studies.volume` keeps.
        proofs: What `studies.preset_proofs` keeps.
        mutants: What `studies.preset_mutants` keeps.
    """
    units: dict[DotSpec, list[str]] = {}
    for config in tensor_cores():
        units.setdefault(config.spec, []).append(config.name)
    kept = volume["units"]
    table = []
    for record in steps:
        run = [name for name in units[DotSpec.preset(record["preset"])] if name in kept]
        inputs = ", ".join(str(kept[name]["vectors"]) for name in run) or "-"
        shares = [_share(record[what], record["steps"]) for what in _SHARES.values()]
        proven = proofs.get((record["preset"], "area"))
        claims = claims_told(proven) if proven else "-"
        faulty = mutants.get(record["preset"])
        faults = found_told(faulty) if faulty else "-"
        table.append([f"`{record['preset']}`", str(record["steps"]), *shares, inputs, claims, faults])
    run = [name for names in units.values() for name in names if name in kept]
    differ = sum(record["differ"] for record in steps), sum(not kept[name]["equal"] for name in run)
    least = min(record["steps"] for record in steps)
    every = sum(len(names) for names in units.values())
    told = [f"- **Units**: none of {every} has had random inputs yet, beside the model."]
    if run:
        inputs = [kept[name]["vectors"] for name in run]
        told = [
            f"- **Units**: {len(run)} of {every} have had {min(inputs)} random inputs or more, beside the",
            "  model: a small one of one stage and a fast one of several for each preset.",
            f"  {inputs.count(max(inputs))} of them have had {max(inputs)}. {differ[1]} differ.",
        ]
    records = [proofs.get((record["preset"], "area")) for record in steps]
    whole = sum(record is not None and holds(record) for record in records)
    return [
        "## What is checked of each",
        "",
        "The model is held against a second program, which was written from the contract alone, in exact",
        "integers (`studies/integer_steps.py`). It shares nothing with the model, not even formats. Inputs",
        "are drawn so that what is rare comes often. Half of the sums start at +0, the others at another",
        "number.",
        "",
        f"- **Steps**: of {len(steps)} presets, {least} or more each. {differ[0]} results differ in a bit.",
        *told,
        f"- **Proofs**: of {whole} of {len(steps)} presets every claim on the unit holds",
        "  ([what is claimed](verification.md#sums-of-several-terms)).",
        *_mutant_lines([record["preset"] for record in steps], mutants),
        *_zero_lines([record["preset"] for record in steps]),
        "",
        *markdown_lines(["preset", "steps", *_SHARES, "inputs", "claims", "faults"], table),
        "",
        "- **zeros**: steps whose products are all zero. **cancels**: the sum is zero, and not all products.",
        "- **cut off**: something of a product was cut off.",
        "- **subnormal**: the sum is. **overflow**: it is infinite, and everything in it is finite. Where",
        "  there is none, the greatest products are cut off beside the greatest sum.",
        "- **not finite**: NaN or an infinity goes into the step.",
        "- **inputs**: into the small unit, and into the fast one. Presets that compute the same stand",
        "  here once.",
        "- **claims**: how many hold of the unit for area, of all that is claimed of it.",
        "- **faults**: how many of those put into the unit for area are found, by inputs or by proofs.",
        "  Those that are proven to change nothing are not counted.",
        "",
        "`python -m studies.preset_steps` runs the steps, `python -m studies.volume` the units,",
        "`python -m studies.preset_proofs` proves the units, and `python -m studies.preset_mutants` puts",
        "faults into them. Then `python -m studies.tensor_core_error --write` writes this page.",
        "",
    ]


def _mutant_lines(presets: Sequence[str], mutants: Mapping[str, StoredRecord]) -> list[str]:
    """Tell of how many presets faults were tried, and whether one survived."""
    tried = [mutants[name] for name in presets if name in mutants]
    whole = sum(not survives(record) for record in tried)
    return [
        f"- **Faults**: put into the units of {len(tried)} of {len(presets)} presets. Of {whole} of these",
        "  every one is found, or proven to change nothing ([which](verification.md#mutants)).",
    ]


def _zero_lines(presets: Sequence[str]) -> list[str]:
    """Tell of which presets the exponent that a zero reads can be seen."""
    seen = [f"`{name}`" for name in presets if zero_exponent_counts(DotSpec.preset(name))]
    told = (
        f"- **Zeros**: what is exactly zero reads an exponent of its own. Of {len(seen)} presets it can "
        f"decide a bit: {', '.join(seen)}. Part of their steps and inputs is drawn so that it may: "
        f"thousands of them show an exponent that is one off. Of the other {len(presets) - len(seen)} no "
        "input shows it: every number that is not zero has a greater exponent there, or nothing is "
        "cut off below it."
    )
    return textwrap.wrap(told, _LINE, subsequent_indent="  ", break_on_hyphens=False)
