"""How far the published tensor cores are from exact, on products of a real model, and what they cost.

``python -m studies.tensor_core_error NAME...`` multiplies matrices of MiniLM as these presets do, or all, and
holds the results against the exact products of the same operands. All take a minute or two on one core.
``python -m studies.tensor_core_error --cost NAME...`` prices the units of presets, or of all of them with
``--cost`` alone, some minutes each. Both keep what they measure in ``studies/tensor_cores.jsonl``, and write
``docs/tensor-cores.md`` with its pictures of all that is kept, which ``--write`` does alone.
"""

import argparse
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blockdot.base.whole_files import write_whole
from blockdot.lab.demo_weights import ACTIVATIONS, WEIGHT, find_weights, read_weights
from blockdot.lab.reports.records import markdown_lines
from blockdot.model import BlockTensor, DotSpec, matmul, quantize
from blockdot.model.io.tensor_files import read_tensor
from blockdot.model.presets import PRESETS
from blockdot.synth.yosys import SynthesisError

from .commands import exit_code_of, progress_bars
from .different_presets import different_presets
from .pictures import svg_figure
from .preset_mutants import KEPT as MUTANTS
from .preset_mutants import read_mutants
from .preset_proofs import KEPT as PROOFS
from .preset_proofs import read_proofs
from .preset_steps import KEPT as STEPS
from .records import read_stored, write_stored
from .tensor_core_checks import check_lines, table_lines
from .tensor_core_cost import (
    EMULATED,
    OURS,
    TensorCoreCost,
    cost_lines,
    draw_costs,
    mark_errors,
    measure_cost,
    priced_units,
)
from .volume import KEPT as VOLUME
from .volume import read_volume

__all__ = [
    "PAGE",
    "PICTURE",
    "AccumulatorError",
    "accumulator_error",
    "draw_errors",
    "kept_page",
    "main",
    "page_text",
]

PAGE: Final = "tensor-cores.md"
PICTURE: Final = "tensor-cores.svg"
COST_PICTURE: Final = "tensor-core-costs.svg"
STORED: Final = Path(__file__).resolve().with_name("tensor_cores.jsonl")
CACHE: Final = Path("build/synthesis")
WRITTEN: Final = Path(__file__).resolve().parents[1] / "docs"
SECOND_WEIGHT: Final = "encoder.layer.0.output.dense.weight"
"""The matrix behind that of the demo: its sums are four times as long."""

ROWS: Final = 64
"""Rows of each operand: a product has this many results, squared."""

# Where the picture has those that are exact.
_LEAST: Final = 1e-9
_MARKERS: Final = ("o", "D")
_SIZES: Final = (8, 4)
_COLOURS: Final = ("tab:blue", "tab:red")

_Matrix = npt.NDArray[np.float32]
# Formats of so few bits need a scale for the tensor; those of 16 bits and more do without.
_SCALED_BITS: Final = 8


@dataclass(frozen=True)
class AccumulatorError:
    """What an accumulation makes of one product of matrices.

    All are of the results' differences from the exact products of the same, quantized, operands.

    Attributes:
        name: The preset.
        spec: Its specification.
        length: Products in each sum.
        relative: The norm of all differences over the norm of the exact results.
        largest: The largest difference over the sum of the magnitudes of what was added there.
        bias: The mean difference in the direction of the exact result, over the mean magnitude of those:
            below zero where results are too small on average.
        quantization: The norm of what quantizing the operands changes, over the norm of the results without.
    """

    name: str
    spec: DotSpec
    length: int
    relative: float
    largest: float
    bias: float
    quantization: float


def quantized(spec: DotSpec, x: _Matrix) -> BlockTensor:
    """Return a matrix in the formats of a specification, as people quantize for such a machine.

    Formats of 8 bits and fewer without block scales have a scale for the tensor, UE8M0 scales are the rule of
    OCP MX, and UE4M3 scales have a tensor scale.
    """
    element, scale = spec.elements[0], spec.scales[0]
    return quantize(
        x,
        element.name,
        scale.name,
        spec.block_size,
        method="floor" if scale.name == "ue8m0" else "absmax",
        tensor_scale=element.bits <= _SCALED_BITS and scale.name != "ue8m0",
    )


def accumulator_error(name: str, spec: DotSpec, x: _Matrix, y: _Matrix) -> AccumulatorError:
    """Return what an accumulation makes of ``x @ y.T``.

    Args:
        name: What to call it by.
        spec: What a dot product computes.
        x: Shape (M, K).
        y: Shape (N', K).
    """
    operands = [quantized(spec, side) for side in (x, y)]
    # The tensors' scales would only be multiplied behind the sum, in every row of the table alike.
    a, b = (replace(operand, tensor_scale=1.0) for operand in operands)
    seen = matmul(spec, a, b).astype(np.float64)
    left, right = (operand.dequantize().astype(np.float64) for operand in (a, b))
    # float64 is off by 2**-42 of the magnitudes at most: far below what is looked for.
    exact, magnitudes = left @ right.T, np.abs(left) @ np.abs(right).T
    off = seen - exact
    plain = x.astype(np.float64) @ y.astype(np.float64).T
    rounded = exact * operands[0].tensor_scale * operands[1].tensor_scale
    return AccumulatorError(
        name,
        spec,
        x.shape[1],
        relative=float(np.linalg.norm(off) / np.linalg.norm(exact)),
        largest=float((np.abs(off) / magnitudes).max()),
        bias=float((off * np.sign(exact)).mean() / np.abs(exact).mean()),
        quantization=float(np.linalg.norm(rounded - plain) / np.linalg.norm(plain)),
    )


def real_products(path: Path, rows: int = ROWS) -> list[tuple[_Matrix, _Matrix]]:
    """Return the operands of the two products in a transformer's feed-forward layer, of 384 and 1536 columns.

    The first multiplies word embeddings, which stand for activations; the second what the first gives, behind
    GELU.
    """
    weight, embeddings = read_weights(path)
    first = embeddings[:rows]
    hidden = first.astype(np.float64) @ weight.astype(np.float64).T
    gelu = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
    second = read_tensor(f"{path}:{SECOND_WEIGHT}")
    return [(first, weight[:rows]), (gelu.astype(np.float32), second[:rows])]


def _units() -> Iterator[tuple[str, DotSpec]]:
    """Yield what is measured: each different preset once, without those whose result is binary16.

    The sums of 8-bit formats overflow binary16 unless somebody chooses scales for them.
    """
    for name, spec in different_presets().items():
        if spec.result != "binary16":
            yield name, spec
    # By generation, and what units of this project compute beside what machines do.
    yield from EMULATED.items()
    yield from OURS.items()


def _of(name: str, errors: Sequence[AccumulatorError]) -> list[AccumulatorError]:
    return sorted((error for error in errors if error.name == name), key=lambda error: error.length)


def _told(figure: float, sign: str = "") -> str:
    return f"{figure:{sign}.1e}" if figure else "0"


def _whether_exact(error: AccumulatorError) -> str:
    return f"off by {error.relative:.1e}" if error.relative else "exact"


def _named(name: str) -> str:
    """Return a preset's name with those that compute the same."""
    if name not in PRESETS:
        return name
    same = [other for other, preset in PRESETS.items() if preset.spec == PRESETS[name].spec]
    return ", ".join(f"`{other}`" for other in same)


def page_text(
    errors: Sequence[AccumulatorError], costs: Sequence[TensorCoreCost] = (), checks: Sequence[str] = ()
) -> str:
    """Return the page that tells the errors, costs if there are some, and what else there is to tell."""
    names = list(dict.fromkeys(error.name for error in errors))
    lengths = sorted({error.length for error in errors})
    heads = [
        "tensor core",
        "fraction",
        *(f"error, K = {length}" for length in lengths),
        *(f"{what}, K = {lengths[-1]}" for what in ("largest", "bias", "quantizing")),
    ]
    table = []
    for name in names:
        one = _of(name, errors)
        last = one[-1]
        fraction = str(last.spec.fraction) if last.spec.accumulate == "aligned" else "-"
        figures = [*(error.relative for error in one), last.largest]
        ends = [_told(last.bias, "+"), _told(last.quantization)]
        table.append([_named(name), fraction, *map(_told, figures), *ends])
    hopper, ada, plain = (_of(name, errors)[-1] for name in ("hopper-e4m3", "ada-e4m3", "blackwell-e4m3"))
    ours, nvfp4 = (_of(name, errors)[-1] for name in ("fp32 unit, nvfp4", "blackwell-nvfp4"))
    ratio = hopper.relative / plain.relative
    grows = hopper.relative / _of("hopper-e4m3", errors)[0].relative
    first, long = lengths[0], lengths[-1]
    exact = [name for name in names if not any(error.relative for error in _of(name, errors))]
    lines = [
        "# How far tensor cores are from exact",
        "",
        f"![Error of each tensor core on two products of a real model]({PICTURE})",
        "",
        "A tensor core adds products with few bits and cuts off what does not fit. This page says what that",
        "costs on real matrices.",
        "[The contract](concepts.md#tensor-cores-by-name) says what each of them computes.",
        "",
        "- FP8 on Hopper keeps 13 fraction bits, on Blackwell 25. On the same E4M3 operands, with",
        f"  K = {long}, Hopper is off by {_told(hopper.relative)} of the results' norm and Blackwell by",
        f"  {_told(plain.relative)}, about {float(f'{ratio:.1e}'):.0f} times less.",
        f"- Hopper's error is {hopper.relative / hopper.quantization:.1%} of what quantizing the operands to",
        f"  E4M3 changes. It grows with the sum: {grows:.1f} times from K = {first} to K = {long}.",
        f"- Ada adds 16 products in a step where Hopper adds 32, and is off by {_told(ada.relative)}.",
        f"- {len(exact)} of {len(names)} rows are exact: their operands have so few bits that nothing is",
        f"  cut off. NVFP4 is {_whether_exact(nvfp4)} on Blackwell and {_whether_exact(ours)} in an",
        "  fp32 unit.",
        *_emulator_lines(errors),
        "",
        *markdown_lines(heads, table),
        "",
        "- **error**: the norm of all differences from the exact results, over the norm of the exact ones.",
        "  The exact results are those of the same quantized operands.",
        "- **largest**: the largest difference, over the sum of the magnitudes that were added there.",
        "- **bias**: the mean difference in the direction of the exact result, over the mean magnitude.",
        "  Below zero, results are too small on average.",
        "- **quantizing**: the change that quantizing the operands makes, over the norm without it.",
        "",
        f"The operands are those of MiniLM's first feed-forward layer, {ROWS} rows each. K = {first}:",
        f"`{ACTIVATIONS}`, for activations, times",
        f"`{WEIGHT}`. K = {long}: the output of that layer after GELU, times",
        f"`{SECOND_WEIGHT}`. FP8, FP6 and FP4 without block scales have one scale for each tensor.",
        "MX formats have UE8M0 scales by the rule of OCP MX. NVFP4 has UE4M3 scales and a tensor scale.",
        "Presets with a binary16 result are left out: their sums overflow without scales chosen for them.",
        "`python -m studies.tensor_core_error` measures the errors.",
        "",
        *(cost_lines(costs, _longest(errors), COST_PICTURE) if costs else []),
        *checks,
    ]
    return "\n".join(lines)


def _emulator_lines(errors: Sequence[AccumulatorError]) -> list[str]:
    """Return what the order of AMD's emulator makes of it, where it is measured."""
    found = [_of(name, errors) for name in ("gfx1250 emulator, mx-e4m3", "blackwell-mx-e4m3")]
    if not all(found):
        return []
    emulator, blackwell = (one[-1] for one in found)
    return [
        "- An emulator of AMD's gfx1250 adds products one by one, each sum to nearest in binary32. Of E4M3",
        f"  in blocks of 32 under UE8M0 it is off by {_told(emulator.relative)}, Blackwell by",
        f"  {_told(blackwell.relative)}.",
    ]


def _longest(errors: Sequence[AccumulatorError]) -> dict[str, float]:
    """Return the error of each at the longest sums."""
    return {error.name: error.relative for error in sorted(errors, key=lambda error: error.length)}


def draw_errors(path: Path, errors: Sequence[AccumulatorError]) -> None:
    """Draw each accumulation's error on both products, as SVG.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If matplotlib is not installed.
    """
    names = list(dict.fromkeys(error.name for error in errors))
    lengths = sorted({error.length for error in errors})
    with svg_figure(path, 7.5, 0.24 * len(names) + 0.9) as figure:
        axes = figure.add_subplot()
        for length, marker, size, colour in zip(lengths, _MARKERS, _SIZES, _COLOURS, strict=False):
            points = [error for error in errors if error.length == length]
            axes.plot(
                [max(error.relative, _LEAST) for error in points],
                [names.index(error.name) for error in points],
                marker,
                markersize=size,
                color=colour,
                label=f"K = {length}",
            )
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
        mark_errors(axes, _LEAST)
        axes.legend()


def _stored() -> dict[str, Any]:
    """Return what is kept: records of errors and of costs."""
    return read_stored(STORED) if STORED.exists() else {"errors": [], "costs": []}


def _keep(stored: dict[str, Any]) -> None:
    write_stored(STORED, "python -m studies.tensor_core_error", stored)


def _kept_errors() -> list[AccumulatorError]:
    return [
        AccumulatorError(**{**record, "spec": DotSpec.parse(record["spec"])})
        for record in _stored()["errors"]
    ]


def _kept_costs() -> list[TensorCoreCost]:
    return [TensorCoreCost(**record) for record in _stored()["costs"]]


def kept_page() -> str:
    """Return the page of what is kept.

    Raises:
        OSError: If it cannot be read.
        ValueError: If nothing is kept yet, or it is not what a study wrote.
    """
    errors = _kept_errors()
    if not errors:
        raise ValueError("errors must be measured before the page is written")
    checks = check_lines(
        read_stored(STEPS)["presets"], read_volume(VOLUME), read_proofs(PROOFS), read_mutants(MUTANTS)
    )
    return page_text(errors, _kept_costs(), [*table_lines(), *checks])


def _write() -> None:
    page, errors, costs = kept_page(), _kept_errors(), _kept_costs()
    draw_errors(WRITTEN / PICTURE, errors)
    if costs:
        draw_costs(WRITTEN / COST_PICTURE, costs, _longest(errors), _LEAST)
    write_whole(WRITTEN / PAGE, page)


def _price(names: Sequence[str]) -> None:
    """Price units; one that cannot be synthesized does not keep the others from it.

    Raises:
        SynthesisError: If one cannot be synthesized: when all others are priced.
    """
    units = priced_units()
    chosen = list(names) or list(units)
    for name in chosen:
        if name not in units:
            raise ValueError(f"unit must be one of {', '.join(units)}, not {name!r}")
    failed: list[str] = []
    with progress_bars() as bar:
        told = bar("pricing")
        for done, name in enumerate(chosen, 1):
            try:
                cost = measure_cost(name, cache=CACHE)
            except SynthesisError as error:
                failed.append(str(error))
            else:
                stored = _stored()
                kept = {record["name"]: record for record in stored["costs"]} | {name: asdict(cost)}
                _keep(stored | {"costs": [kept[one] for one in units if one in kept]})
            told(done, len(chosen), name)
    if _stored()["errors"]:
        _write()
    if failed:
        raise SynthesisError("; ".join(failed))


def _measure(names: Sequence[str]) -> None:
    units = dict(_units())
    for name in names:
        if name not in units:
            raise ValueError(f"unit must be one of {', '.join(units)}, not {name!r}")
    path = find_weights()
    if path is None:
        raise ValueError("the demo's weights must be installed: run `make demo` first")
    products = real_products(path)
    chosen = list(names) or list(units)
    kept = {name: _of(name, _kept_errors()) for name in units}
    with progress_bars() as bar:
        told = bar("multiplying")
        for done, name in enumerate(chosen, 1):
            kept[name] = [accumulator_error(name, units[name], x, y) for x, y in products]
            told(done, len(chosen), name)
    records = [{**asdict(error), "spec": error.spec.name} for errors in kept.values() for error in errors]
    _keep(_stored() | {"errors": records})
    _write()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m studies.tensor_core_error", description=__doc__)
    parser.add_argument(
        "units", nargs="*", metavar="NAME", help="measure the errors of these units, or of all"
    )
    parser.add_argument("--cost", nargs="*", metavar="NAME", help="price these units, or all, instead")
    parser.add_argument("--write", action="store_true", help="only write the page of what is kept")
    chosen = parser.parse_args(arguments)
    if chosen.write:
        return exit_code_of("tensor_core_error", _write)
    if chosen.cost is not None:
        return exit_code_of("tensor_core_error", functools.partial(_price, chosen.cost))
    return exit_code_of("tensor_core_error", functools.partial(_measure, chosen.units))


if __name__ == "__main__":
    sys.exit(main())
