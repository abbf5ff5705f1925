"""``blockdot quantize``: the error that block formats make on real tensors."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Annotated, Any

import typer

from ..lab.error import QuantizationError, TensorStatistics, measure, statistics
from ..model.files import list_tensors, read_tensor, split_source
from .console import console, print_json, progress_bar, table
from .options import ElementOption, JsonOption

__all__ = ["quantize"]


def quantize(
    tensors: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="A .npy, .npz or .safetensors file, or one tensor of it.",
            show_default=False,
        ),
    ],
    element: ElementOption = "e2m1",
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale", help="Format of the block scales; repeat it to compare. [default: ue4m3, ue5m3]"
        ),
    ] = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option("--block-size", help="Elements under one scale; repeat it to compare. [default: 16]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Quantize tensors in blocks along their last axis and report the error.

    The error is the mean squared error over sigma squared, sigma being the tensor's root mean square. Of a
    whole file, the tensors with two or more axes are taken; what is left out, and why, is said at the end.
    """
    scales, sizes = scale or ["ue4m3", "ue5m3"], block_size or [16]
    names, left_out = _choose(tensors, max(sizes))
    rows: list[tuple[str, tuple[int, ...], TensorStatistics, list[QuantizationError]]] = []
    with progress_bar("quantizing", len(names)) as report:
        for done, name in enumerate(names):
            report(done, detail=name)
            x = read_tensor(name)
            known = statistics(x)
            errors = [
                measure(x, element=element, scale=one, block_size=size, sigma=known.sigma)
                for one, size in product(scales, sizes)
            ]
            rows.append((name, x.shape, known, errors))
    if json:
        print_json(
            {
                "element": element,
                "tensors": [
                    {"tensor": name, "shape": shape, **asdict(known), "errors": [asdict(e) for e in errors]}
                    for name, shape, known, errors in rows
                ],
                "left_out": left_out,
            }
        )
        return
    _print(rows, left_out)


def _choose(tensors: str, block_size: int) -> tuple[list[str], dict[str, str]]:
    """Return the tensors to take, as ``FILE:NAME``, and those left out with the reason for each."""
    path, asked = split_source(tensors)
    if asked is not None:
        return [tensors], {}
    infos = list_tensors(path)
    if len(infos) == 1:
        return [tensors], {}
    names, left_out = [], {}
    for info in infos:
        if not info.readable:
            left_out[info.name] = f"its type is {info.dtype}"
        elif len(info.shape) < 2:
            left_out[info.name] = "it has fewer than two axes"
        elif info.shape[-1] % block_size:
            left_out[info.name] = f"its last axis has {info.shape[-1]} elements, no multiple of {block_size}"
        else:
            names.append(f"{tensors}:{info.name}")
    if not names:
        raise ValueError(
            f"{tensors} must hold a floating-point tensor of two axes or more whose last axis is a multiple "
            f"of {block_size}, but none of its {len(infos)} tensors is one"
        )
    return names, left_out


def _print(
    rows: Sequence[tuple[str, tuple[int, ...], TensorStatistics, list[QuantizationError]]],
    left_out: dict[str, str],
) -> None:
    out = console()
    configurations = [f"{e.scale} N={e.block_size}>" for e in rows[0][3]]
    made = table("MSE / sigma^2", "tensor", "shape", "sigma>", "crest>", *configurations)
    for name, shape, known, errors in rows:
        short = name.rpartition(":")[2] if ":" in name else name
        made.add_row(
            short,
            "x".join(map(str, shape)),
            f"{known.sigma:.4g}",
            f"{known.crest:.1f}",
            *(f"{error.mse:.5f}" for error in errors),
        )
    if len(rows) > 1:
        made.add_section()
        weights = [known.elements for _, _, known, _ in rows]
        made.add_row(
            f"all {len(rows)}, by elements",
            f"{sum(weights)}",
            "",
            "",
            *(f"{_mean([r[3][i].mse for r in rows], weights):.5f}" for i in range(len(configurations))),
        )
    out.print(made)
    blocks = table("Blocks whose scale is zero (all is lost) / subnormal", "", *configurations)
    elements: list[Any] = [known.elements for _, _, known, _ in rows]
    for title, attribute in (("zero", "zero_blocks"), ("subnormal", "subnormal_blocks")):
        shares = [
            _mean([getattr(r[3][i], attribute) for r in rows], elements) for i in range(len(configurations))
        ]
        blocks.add_row(title, *(f"{100 * share:.3f} %" for share in shares))
    out.print(blocks)
    if left_out:
        reasons: dict[str, int] = {}
        for reason in left_out.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        out.print("left out: " + "; ".join(f"{count}, as {reason}" for reason, count in reasons.items()))


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
