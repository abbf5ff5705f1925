"""Published tensor cores by name: the specification of one step of each.

After MMA-Sim (arXiv 2511.10909, its refactored code). A step takes as many products as the instruction's
hardware adds at once; where K is larger, steps are chained, as the groups of a sum are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from .spec import DotSpec

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True)
class Preset:
    """A published tensor core.

    Attributes:
        generation: The generations that have it.
        what: Elements and result.
        spec: What a step of it computes.
    """

    generation: str
    what: str
    spec: DotSpec


def _plain(products: int, fraction: int, zero_exponent: int, result: str, element: str) -> DotSpec:
    """Return the step of a machine without scales."""
    facts: dict[str, Any] = {"block_size": products, "fraction": fraction, "result": result}
    return DotSpec(
        element=element,
        scale="none",
        accumulate="aligned",
        term_size=1,
        zero_exponent=zero_exponent,
        **facts,
    )


def _all() -> Iterator[tuple[str, Preset]]:
    def plain(
        generation: str,
        elements: str,
        products: int,
        fraction: int,
        results: dict[str, int],
    ) -> Iterator[tuple[str, Preset]]:
        for element in elements.split():
            for result, zero_exponent in results.items():
                short = "-fp16" if result == "binary16" else ""
                spec = _plain(products, fraction, zero_exponent, result, element)
                name = f"{generation.lower()}-{element}{short}"
                yield name, Preset(generation, f"{element} to {result}", spec)

    yield from plain("Volta", "fp16", 4, 23, {"binary32": -131, "binary16": -20})
    yield from plain("Turing", "fp16", 8, 24, {"binary32": -132, "binary16": -21})
    for generation in ("Ampere", "Ada"):
        yield from plain(generation, "tf32", 4, 24, {"binary32": -132})
        yield from plain(generation, "bf16 fp16", 8, 24, {"binary32": -132})
    yield from plain("Ada", "e4m3 e5m2", 16, 13, {"e8m13": -132, "binary16": -21})
    for generation in ("Hopper", "Blackwell"):
        yield from plain(generation, "tf32", 8, 25, {"binary32": -133})
        yield from plain(generation, "bf16 fp16", 16, 25, {"binary32": -133})
    yield from plain("Hopper", "e4m3 e5m2", 32, 13, {"e8m13": -133, "binary16": -133})
    yield from plain("Blackwell", "e4m3 e5m2 e2m3 e3m2 e2m1", 32, 25, {"binary32": -133})
    for element in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1"):
        spec = DotSpec(
            element=element,
            scale="ue8m0",
            block_size=32,
            accumulate="aligned",
            fraction=25,
            term_size=1,
            zero_exponent=-133,
        )
        yield f"blackwell-mx-{element}", Preset("Blackwell", f"{element} under ue8m0 for the step", spec)
    for name, scale in (("mxfp4", "ue8m0"), ("nvfp4", "ue4m3")):
        spec = DotSpec(element="e2m1", scale=scale, block_size=16, blocks=4, accumulate="aligned")
        yield f"blackwell-{name}", Preset("Blackwell", f"e2m1 under {scale} for each 16", spec)


PRESETS: Final[dict[str, Preset]] = dict(_all())
"""By name."""


def preset(name: str) -> DotSpec:
    """Return the specification of a published tensor core.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}")
    return PRESETS[name].spec
