"""The inputs of a quantizer's run."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...base.argument_checks import cast_exactly, require_codes
from ...model import QuantizerSpec
from ..unit_stimulus import Codes, UnitStimulus, codes_text, draw_patterns, freeze, pack

__all__ = ["QuantizerStimulus", "draw_random_bits", "from_numbers"]


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizerStimulus(UnitStimulus):
    """The inputs of a quantizer's run in order, and when they are offered and results accepted.

    Arrays are checked, converted to the narrowest type and made read-only.

    Args:
        spec: What the unit computes.
        x: Input codes, shape (vectors, N).
        random: Under ``stochastic`` the random bits, integers of the same shape; else None.
        g: The tensor scale of each block, float32, shape (vectors,), where there is one; else None.
        offer: In which cycles an input may be offered, shape (cycles,), repeated for ever.
        accept: In which cycles a result is accepted, shape (cycles,), repeated for ever.
        source: What gives the same vectors and patterns again, if anything does.

    Raises:
        TypeError: If codes are not integers.
        ValueError: If shapes do not fit, a code has a bit above its width, there is no vector, or a pattern
            is never true.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("x", "random", "g")

    spec: QuantizerSpec
    x: Codes
    random: Codes | None = None
    g: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        spec = self.spec
        x = spec.input_format.check(self.x, "x")
        if x.ndim != 2 or x.shape[1] != spec.block_size:
            raise ValueError(f"x must be shaped (vectors, {spec.block_size}) for {spec.name}, not {x.shape}")
        freeze(self, "x", x)
        for name, used in (("random", spec.stochastic), ("g", spec.tensor_scale)):
            if (getattr(self, name) is not None) != used:
                raise ValueError(f"{name} must {'be given' if used else 'be None'} for {spec.name}")
        if self.random is not None:
            draws = require_codes("random", self.random, spec.random_bits, f"{spec.random_bits}-bit numbers")
            if draws.shape != x.shape:
                raise ValueError(f"random must be shaped {x.shape} to fit x, not {draws.shape}")
            freeze(self, "random", draws.astype(np.uint16, copy=False))
        if self.g is not None:
            g = cast_exactly(self.g, np.float32, "g")
            if g.shape != x.shape[:1]:
                raise ValueError(f"g must be shaped {x.shape[:1]} to fit x, not {g.shape}")
            freeze(self, "g", g)
        self._set_alone()

    @property
    def vectors(self) -> int:
        """How many blocks there are."""
        return len(self.x)

    @cached_property
    def codes(self) -> tuple[Codes, Codes]:
        """What the model computes: element codes, shape (vectors, N), and scale codes, shape (vectors,)."""
        return self.spec.compute(self.x, self.random, self.g)

    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result: the words of the element codes, then that of the scale code."""
        elements, scales = self.codes
        return np.concatenate(
            [
                pack(elements, self.spec.element_format.bits),
                pack(scales[:, np.newaxis], self.spec.scale_format.bits),
            ],
            axis=1,
        )

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port: by its name, shape (vectors, words), see `pack`."""
        words = {"i_x": pack(self.x, self.spec.input_format.bits)}
        if self.random is not None:
            words["i_random"] = pack(self.random, self.spec.random_bits)
        if self.g is not None:
            words["i_g"] = self.g.view(np.uint32)[:, np.newaxis]
        return words

    def result_text(self, bits: int) -> str:
        """Return a result as a reader wants to see it: element codes and the scale code."""
        element, scale = self.spec.element_format, self.spec.scale_format
        words = -(-self.spec.block_size * element.bits // 32)
        mask = (1 << element.bits) - 1
        elements = np.array([bits >> k * element.bits & mask for k in range(self.spec.block_size)])
        of_scale = codes_text(scale, np.array(bits >> 32 * words))
        return f"scale {of_scale}, elements {codes_text(element, elements)}"

    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds."""
        form = self.spec.input_format
        x = self.x[vector]
        hexes = " ".join(f"{int(code):0{form.bits // 4}x}" for code in x)
        values = " ".join(f"{value:.9g}" for value in form.to_float32(x))
        lines = [f"  vector {vector}: x {hexes} ({form.name}: {values})"]
        if self.random is not None:
            lines.append("    random " + " ".join(f"{int(draw):x}" for draw in self.random[vector]))
        if self.g is not None:
            g = self.g[vector]
            lines.append(f"    g {int(g.view(np.uint32)):#010x} ({g!s})")
        return lines


def from_numbers(
    spec: QuantizerSpec,
    x: npt.ArrayLike,
    *,
    g: float | None = None,
    seed: int | None = None,
    stalls: int | None = None,
) -> QuantizerStimulus:
    """Return the stimulus of given numbers, such as a tensor's.

    Args:
        spec: What the unit computes.
        x: Input codes, shaped (..., N); blocks in the order of the leading indices.
        g: The tensor scale, where there is one.
        seed: Seed of the random bits, where there are any.
        stalls: Seed of gaps between inputs and of back-pressure; None for neither.
    """
    codes = np.asarray(x).reshape(-1, spec.block_size)
    made = QuantizerStimulus(
        spec=spec,
        x=codes,
        random=draw_random_bits(spec, codes.shape, np.random.default_rng(seed)),
        g=None if g is None else np.full(len(codes), g, np.float32),
    )
    return made if stalls is None else replace(made, **draw_patterns(np.random.default_rng(stalls)))


def draw_random_bits(spec: QuantizerSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Codes | None:
    """Draw random bits, where the specification has any."""
    return rng.integers(0, 1 << spec.random_bits, shape, np.uint16) if spec.stochastic else None
