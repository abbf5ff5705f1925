"""What is checked of each published tensor core: the part of a page that tells it, of what is kept.

`studies.preset_steps` holds the model against exact integers, `studies.volume` the units against the model.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from blockdot.lab.reports.records import markdown_lines
from blockdot.model import DotSpec
from blockdot.sim.zero_exponents import zero_exponent_counts

from .volume import tensor_cores

__all__ = ["check_lines"]

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


def check_lines(steps: Sequence[Mapping[str, Any]], volume: Mapping[str, Any]) -> list[str]:
    """Return the lines of the part.

    Args:
        steps: The records of `studies.preset_steps`.
        volume: What `studies.volume` keeps.
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
        table.append([f"`{record['preset']}`", str(record["steps"]), *shares, inputs])
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
        *_zero_lines([record["preset"] for record in steps]),
        "",
        *markdown_lines(["preset", "steps", *_SHARES, "inputs"], table),
        "",
        "- **zeros**: steps whose products are all zero. **cancels**: the sum is zero, and not all products.",
        "- **cut off**: something of a product was cut off.",
        "- **subnormal**: the sum is. **overflow**: it is infinite, and everything in it is finite.",
        "- **not finite**: NaN or an infinity goes into the step.",
        "- **inputs**: into the small unit, and into the fast one. Presets that compute the same stand",
        "  here once.",
        "",
        "`python -m studies.preset_steps` runs the steps, and `python -m studies.volume` the units. Then",
        "`python -m studies.tensor_core_error --write` writes this page.",
        "",
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
