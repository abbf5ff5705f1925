"""The page of training, made of stored runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from blockdot.lab.reports.records import markdown_lines
from blockdot.lab.statistics import Estimate

from ..intervals import interval_of, interval_text
from ..records import StoredRecord
from .picture import PICTURE
from .runs import TrainingRuns
from .ways import FLOAT, WAYS, Way

__all__ = ["PAGE", "page_text"]

PAGE: Final = "training.md"

NEAR: Final = 1.0
"""Per cent of the loss within which training counts as as good as in float32."""

_TAKEN: Final = {False: "weights and gradients alone", True: "weights, activations and gradients"}
"""What is quantized, by whether activations are."""


def page_text(stored: StoredRecord) -> str:
    """Return the page, as Markdown.

    Raises:
        ValueError: If float32 was not trained from two seeds at least.
    """
    return "\n".join(_lines(stored, TrainingRuns(stored))) + "\n"


def _lines(stored: StoredRecord, runs: TrainingRuns) -> Iterator[str]:
    yield "# Training with a unit's products"
    yield ""
    yield f"![The loss while a small model is trained, by format]({PICTURE})"
    yield ""
    fp4 = ", and in FP4" if any(way.element == "e2m1" for way in runs.rows) else ""
    yield (
        "Can a model be trained in the formats of these units, and do the sums matter? arXiv 2510.01863 "
        "trains GPT-2 with one-byte elements in blocks that share a power of two as their scale. It finds "
        "that this works, and that exact sums help. Here a much smaller GPT is trained in those formats"
        f"{fp4}, with [`blockdot.torch`](pytorch.md)."
    )
    yield ""
    yield (
        "All differences are in the loss of a held-out text after training, in per cent, with intervals of "
        "95 %. `~` marks a difference that cannot be told from zero."
    )
    yield ""
    for title, findings in (("Compared with the paper", _of_the_paper(runs)), ("FP4", _of_fp4(runs))):
        lines = [f"{number}. {line}" for number, line in enumerate(findings, 1)]
        if lines:
            yield f"## {title}"
            yield ""
            yield from lines
            yield ""
    yield from _trained(stored, runs)
    yield from _table(runs)
    yield "## What is left open"
    yield ""
    yield from _left_open(stored, runs)
    yield ""
    yield (
        "`make training` writes this page from `studies/training/results.jsonl`, and `make training-measure` "
        "trains what is missing there. It installs torch into an environment of its own, keeps each run as "
        "soon as it is done, and continues where it was stopped."
    )


def _of_the_paper(runs: TrainingRuns) -> Iterator[str]:
    """Yield what agrees with the paper's claims and what does not."""
    one_byte = {
        activations: [Way(element, activations=activations) for element in ("e4m3", "e5m2", "e3m4")]
        for activations in (False, True)
    }
    near = f"agrees, as good as float32 to {NEAR:.0f} %"
    for activations, ways in one_byte.items():
        title = f"One-byte elements, {_TAKEN[activations]}"
        yield from _against_float(runs, title, ways, near, "does not agree")
    pairs = [(one_byte[True][0], other) for other in one_byte[True][1:]]
    yield from _told("Which one-byte element", f"{_TAKEN[True]}, against `e4m3`", runs, pairs)
    yield from _of_sums(runs)


def _of_fp4(runs: TrainingRuns) -> Iterator[str]:
    """Yield what FP4 does, and what scales, a tensor scale and rounding at random are worth."""
    for activations in (False, True):
        ways = [
            way
            for way in WAYS
            if way.element == "e2m1"
            and way.gradients == "stochastic"
            and way.activations is activations
            and (way.tensor_scale or way.scale == "ue8m0")
        ]
        near = f"as good as float32 to {NEAR:.0f} %"
        yield from _against_float(runs, f"FP4, {_TAKEN[activations]}", ways, near, "worse")
    four, five = (
        Way("e2m1", scale, 16, activations=True, tensor_scale=True, gradients="stochastic")
        for scale in ("ue4m3", "ue5m3")
    )
    yield from _told("UE5M3 against UE4M3", "both with a tensor scale", runs, [(four, five)])
    yield from _told(
        "Without a tensor scale",
        "against the same with one: gradients are small, and where a block's scale underflows they are zero",
        runs,
        [(way, replace(way, tensor_scale=False)) for way in (four, five)],
    )
    yield from _told(
        "UE5M3 against UE4M3",
        "both without a tensor scale",
        runs,
        [(replace(four, tensor_scale=False), replace(five, tensor_scale=False))],
    )
    yield from _told(
        "Gradients rounded to nearest",
        "against rounding at random",
        runs,
        [(four, replace(four, gradients="nearest_even"))],
    )


def _against_float(
    runs: TrainingRuns, title: str, ways: Iterable[Way], near: str, worse: str
) -> Iterator[str]:
    """Yield whether ways train as float32 does: whether intervals are within `NEAR` per cent, or beyond.

    Args:
        runs: What was trained.
        title: What the ways are.
        ways: Those that were not trained are left out.
        near: What to say of those that are within.
        worse: What to say of those that are beyond.
    """
    found = {way: difference for way in ways if (difference := runs.difference(FLOAT, way)) is not None}
    told: dict[str, list[str]] = {near: [], worse: [], "not decided": []}
    for way, difference in found.items():
        low, high = difference.interval
        told[near if high < NEAR else worse if low > NEAR else "not decided"].append(_short(way))
    if found:
        verdicts = "; ".join(f"{name}: {', '.join(names)}" for name, names in told.items() if names)
        figures = ", ".join(f"{_short(way)} {_percent(one)}" for way, one in found.items())
        yield f"**{title}, against float32.** {_sentence(verdicts)} {_sentence(figures)}"


def _told(title: str, of: str, runs: TrainingRuns, pairs: Sequence[tuple[Way, Way]]) -> Iterator[str]:
    """Yield differences of pairs; what was not trained is left out."""
    found = [(after, runs.difference(before, after)) for before, after in pairs]
    told = ", ".join(f"{_short(way)} {_percent(one)}" for way, one in found if one is not None)
    if told:
        yield f"**{title}**, {of}: {told}."


def _of_sums(runs: TrainingRuns) -> Iterator[str]:
    """Yield what exact sums and narrow ones make of the loss, and what that says of the paper's claim."""
    base = Way("e4m3", activations=True)
    rounded, exact, narrow = (
        replace(base, accumulate="fp32"),
        replace(base, accumulate="exact"),
        replace(base, accumulate="aligned", fraction=13),
    )
    found, kept = runs.difference(rounded, exact), runs.difference(exact, narrow)
    if found is None:
        return
    low, high = found.interval
    if high < 0:
        verdict = "Agrees: exact sums help"
    elif max(-low, high) < NEAR:
        verdict = f"Does not agree: exact sums change less than {NEAR:.0f} %"
    else:
        verdict = "Not decided"
    more = f"; aligned sums of 13 bits against exact {_percent(kept)}" if kept is not None else ""
    yield (
        f"**Exact sums** (bits of units, `e4m3`, {_TAKEN[True]}). {verdict}. Exact against binary32 "
        f"{_percent(found)}{more}. In the paper they bring the relative error of one configuration from "
        "25.66 % to 2.61 %; that is of another model and another error, so the sizes cannot be compared."
    )


def _trained(stored: StoredRecord, runs: TrainingRuns) -> Iterator[str]:
    """Yield what is trained, on what, and how products are made."""
    yield "## What is trained"
    yield ""
    characters = stored["steps"] * stored["batch"] * stored["context"]
    yield (
        f"- **The model** is a GPT of {stored['layers']} layers of width {stored['width']}, "
        f"{stored['parameters']} parameters. Its tokens are characters, and it sees {stored['context']} of "
        "them at once. It is so small because every product goes through codes in numpy, which takes several "
        "times as long as float32, and because each way is trained from several seeds."
    )
    yield (
        f"- **The text** is {stored['text']}. Each run sees {characters} characters ({stored['steps']} steps "
        f"of {stored['batch']} windows). AdamW has a learning rate of {stored['rate']:g} with cosine decay. "
        f"The loss is measured on {stored['held_out_characters']} characters of a work that is not trained "
        f"on, `{stored['held_out_work']}`."
    )
    yield (
        "- **Products** of all linear layers but the head are quantized, forwards and backwards. "
        "Embeddings, norms and the two products of attention stay in float32, and so do the weights that "
        "AdamW updates. Each product has blocks along the axis that it sums over, so a gradient is quantized "
        "twice: once for the gradient of the activations, once for that of the weights."
    )
    yield (
        "- **Weights and gradients alone**: activations stay in float32. *Activations too*: all operands "
        "are quantized. UE8M0 scales are shared by 32 elements and chosen by the rule of OCP MX (`floor`). "
        "Other scales are shared by 16 elements and chosen by `absmax`. FP4 gradients are rounded at random."
    )
    yield (
        "- **Sums** are torch's float32 sums of the dequantized products. Where a way names its sums, they "
        "have the bits of a unit."
    )
    yield (
        f"- **Intervals** are Student's over {len(runs.seeds)} seeds. Runs from one seed start from the same "
        "weights and see the same windows, and differences are taken seed by seed. Few seeds give wide "
        "intervals."
    )
    yield ""


def _table(runs: TrainingRuns) -> Iterator[str]:
    yield "## The losses"
    yield ""
    yield (
        "In nats a character, at the end: the mean over the seeds, the lowest and the highest, and the "
        "difference from float32."
    )
    yield ""
    rows = []
    for way in runs.rows:
        losses = runs.losses(way)
        difference = runs.difference(FLOAT, way)
        assert difference is not None
        rows.append(
            (
                way.label,
                f"{fmean(losses):.4f}",
                f"{min(losses):.4f} to {max(losses):.4f}",
                "" if way == FLOAT else _percent(difference),
            )
        )
    heads = ("way", "loss", "of the seeds", "against float32")
    yield from markdown_lines(heads, rows, numbers=(False, True, True, True))
    yield ""


def _left_open(stored: StoredRecord, runs: TrainingRuns) -> Iterator[str]:
    if runs.missing:
        yield f"- Not trained yet: {'; '.join(way.label for way in runs.missing)}."
    yield (
        "- The paper trains GPT-2, which has a thousand times as many parameters. What a format loses here "
        "does not say what it loses there."
    )
    yield (f"- {stored['steps']} steps are few. A way that goes wrong only later looks good here.")
    yield "- Activations in 16 bits were not tried: here they are float32 or codes."


def _percent(estimate: Estimate) -> str:
    return interval_text(interval_of(estimate))


def _short(way: Way) -> str:
    return f"`{way.element} {way.scale}`" if way.element == "e2m1" else f"`{way.element}`"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
