"""What is put into a dequantizer unit: element codes and scale codes."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from ..model.dequantizer import DequantizerSpec
from .unit_stimulus import (
    Codes,
    StimulusSource,
    UnitStimulus,
    as_results,
    codes_text,
    draw_patterns,
    freeze,
    pack,
    require_drawn,
)

__all__ = ["DequantizerStimulus", "bulk", "directed", "random"]

# How often `bulk` stalls.
_STALLED: Final = 1 / 4


@dataclass(frozen=True, kw_only=True, eq=False)
class DequantizerStimulus(UnitStimulus):
    """The inputs of a dequantizer's run in order, and when they are offered and results accepted.

    Arrays are checked, converted to the narrowest type and made read-only.

    Args:
        spec: What the unit computes.
        codes: Element codes, shape (vectors, N).
        scales: Scale codes, shape (vectors,).
        offer: In which cycles an input may be offered, shape (cycles,), repeated for ever.
        accept: In which cycles a result is accepted, shape (cycles,), repeated for ever.
        source: What gives the same vectors and patterns again, if anything does.

    Raises:
        TypeError: If codes are not integers.
        ValueError: If shapes do not fit, a code has a bit above its width, there is no vector, or a pattern
            is never true.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("codes", "scales")

    spec: DequantizerSpec
    codes: Codes
    scales: Codes

    def __post_init__(self) -> None:
        spec = self.spec
        codes = spec.element_format.check(self.codes, "codes")
        if codes.ndim != 2 or codes.shape[1] != spec.block_size:
            raise ValueError(
                f"codes must be shaped (vectors, {spec.block_size}) for {spec.name}, not {codes.shape}"
            )
        scales = spec.scale_format.check(self.scales, "scales")
        if scales.shape != codes.shape[:1]:
            raise ValueError(f"scales must be shaped {codes.shape[:1]} to fit codes, not {scales.shape}")
        freeze(self, "codes", codes)
        freeze(self, "scales", scales)
        self._set_alone()

    @property
    def vectors(self) -> int:
        """How many blocks there are."""
        return len(self.codes)

    @cached_property
    def numbers(self) -> Codes:
        """What the model computes: codes of the numbers, shape (vectors, N)."""
        return self.spec.compute(self.codes, self.scales)

    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result: the words of the numbers, or the one word of each."""
        return as_results(pack(self.numbers, self.spec.output_format.bits))

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port: by its name, shape (vectors, words), see `pack`."""
        return {
            "i_codes": pack(self.codes, self.spec.element_format.bits),
            "i_scale": pack(self.scales[:, np.newaxis], self.spec.scale_format.bits),
        }

    def result_text(self, bits: int) -> str:
        """Return a result as a reader wants to see it: the numbers."""
        form = self.spec.output_format
        mask = (1 << form.bits) - 1
        codes = [bits >> k * form.bits & mask for k in range(self.spec.block_size)]
        values = form.to_float32(np.array(codes, form.dtype))
        hexes = " ".join(f"{code:0{form.bits // 4}x}" for code in codes)
        return f"{hexes} ({form.name}: {' '.join(f'{value:.9g}' for value in values)})"

    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds."""
        element, scale = self.spec.element_format, self.spec.scale_format
        return [
            f"  vector {vector}: scale {codes_text(scale, self.scales[vector])}, "
            f"codes {codes_text(element, self.codes[vector])}"
        ]


def random(spec: DequantizerSpec, vectors: int, *, seed: int, stalls: bool = True) -> DequantizerStimulus:
    """Return random stimulus: element codes and scale codes uniform over all there are.

    Args:
        spec: What the unit computes.
        vectors: How many blocks, at least 1.
        seed: Seed of everything random here; not negative.
        stalls: Whether there are gaps between inputs, and back-pressure.

    Returns:
        The stimulus; the same arguments give the same one.

    Raises:
        ValueError: If `vectors` is below 1, or `seed` below 0.
    """
    require_drawn(vectors, seed)
    rng = np.random.default_rng([seed, 4])
    made = DequantizerStimulus(
        spec=spec,
        codes=rng.integers(0, 1 << spec.element_format.bits, (vectors, spec.block_size), np.uint16),
        scales=rng.integers(0, 1 << spec.scale_format.bits, vectors, np.uint16),
        source=StimulusSource(kind="random", count=vectors, seed=seed, stalls=stalls),
    )
    return replace(made, **draw_patterns(rng)) if stalls else made


def bulk(spec: DequantizerSpec, vectors: int, *, seed: int) -> DequantizerStimulus:
    """Return what `random` draws; a quarter of the seeds give gaps and back-pressure.

    Args:
        spec: What the unit computes.
        vectors: How many blocks, at least 8.
        seed: Seed of everything random here; not negative.

    Raises:
        ValueError: If `vectors` is below 8, or `seed` below 0.
    """
    require_drawn(vectors, seed, least=8)
    stalls = np.random.default_rng([seed, 5]).random() < _STALLED
    return random(spec, vectors, seed=seed, stalls=bool(stalls))


def directed(spec: DequantizerSpec) -> DequantizerStimulus:
    """Return blocks in which every element code meets every scale code, in every lane."""
    elements, scales = 1 << spec.element_format.bits, 1 << spec.scale_format.bits
    lanes = np.arange(spec.block_size, dtype=np.uint16)
    turn = np.arange(elements, dtype=np.uint16)[:, np.newaxis] + lanes
    return DequantizerStimulus(
        spec=spec,
        codes=np.tile(turn % np.uint16(elements), (scales, 1)),
        scales=np.repeat(np.arange(scales, dtype=np.uint16), elements),
        source=StimulusSource(kind="directed"),
    )
