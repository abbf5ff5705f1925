"""What is put into a serial quantizer: the numbers of blocks, one after the other."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..hw import QuantizerConfig
from ..hw.configurations import Configuration
from ..model.quantizer import QuantizerSpec
from .quantizer_stimulus import QuantizerStimulus
from .unit_stimulus import Codes, UnitStimulus, codes_text, freeze

__all__ = ["SerialStimulus", "as_played", "in_series"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SerialStimulus(UnitStimulus):
    """The inputs of a serial quantizer's run in order, and when they are offered and results accepted.

    Arrays are checked, converted to the narrowest type and made read-only.

    Args:
        spec: What the unit computes; elements to nearest, no tensor scale.
        x: Input codes, shape (vectors,): those of whole blocks.
        offer: In which cycles an input may be offered, shape (cycles,), repeated for ever.
        accept: In which cycles a result is accepted, shape (cycles,), repeated for ever.
        source: What gives the same vectors and patterns again, if anything does.

    Raises:
        TypeError: If codes are not integers.
        ValueError: If blocks are not whole, a code has a bit above its width, or a pattern is never true.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("x",)

    spec: QuantizerSpec
    x: Codes

    def __post_init__(self) -> None:
        x = self.spec.input_format.check(self.x, "x")
        if x.ndim != 1 or len(x) % self.spec.block_size:
            raise ValueError(f"x must be one row of blocks of {self.spec.block_size}, not shaped {x.shape}")
        freeze(self, "x", x)
        self._set_alone()

    @property
    def vectors(self) -> int:
        """How many numbers there are."""
        return len(self.x)

    @cached_property
    def codes(self) -> tuple[Codes, Codes]:
        """What the model computes: element codes and, for each of them, its block's scale code."""
        size = self.spec.block_size
        elements, scales = self.spec.compute(self.x.reshape(-1, size))
        return elements.reshape(-1), np.repeat(scales, size)

    def expected(self) -> npt.NDArray[np.uint32]:
        """Return the bits of every result: the words of the element, of the scale, and of the last."""
        elements, scales = self.codes
        size = self.spec.block_size
        last = np.arange(len(elements)) % size == size - 1
        return np.stack([elements, scales, last], axis=1).astype(np.uint32)

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on the data port: by its name, shape (vectors, 1)."""
        return {"i_x": self.x.astype(np.uint32)[:, np.newaxis]}

    def result_text(self, bits: int) -> str:
        """Return a result as a reader wants to see it: the element code and the scale code."""
        element, scale = self.spec.element_format, self.spec.scale_format
        code, of_scale = np.array(bits & (1 << 32) - 1), np.array(bits >> 32 & (1 << 32) - 1)
        last = ", the last" if bits >> 64 else ""
        return f"scale {codes_text(scale, of_scale)}, element {codes_text(element, code)}{last}"

    def vector_text(self, vector: int) -> list[str]:
        """Return the lines that tell what a vector holds, and the block that it is of."""
        form, size = self.spec.input_format, self.spec.block_size
        block, at = divmod(vector, size)
        x = self.x[block * size : (block + 1) * size]
        hexes = " ".join(f"{int(code):0{form.bits // 4}x}" for code in x)
        values = " ".join(f"{value:.9g}" for value in form.to_float32(x))
        return [f"  vector {vector}: number {at} of block {block}: x {hexes} ({form.name}: {values})"]


def in_series(stimulus: QuantizerStimulus) -> SerialStimulus:
    """Return the same blocks one number after the other, with the same patterns.

    Raises:
        ValueError: If there are random bits or tensor scales, which a serial quantizer does not take.
    """
    if stimulus.random is not None or stimulus.g is not None:
        raise ValueError(
            f"stimulus must be of numbers alone for a serial quantizer, not {stimulus.spec.name}"
        )
    return SerialStimulus(
        spec=stimulus.spec,
        x=stimulus.x.reshape(-1),
        offer=stimulus.offer,
        accept=stimulus.accept,
        source=stimulus.source,
    )


def as_played(config: Configuration, stimulus: UnitStimulus) -> UnitStimulus:
    """Return a stimulus as the unit of a configuration takes it: in series where that is serial."""
    if isinstance(config, QuantizerConfig) and config.serial:
        assert isinstance(stimulus, QuantizerStimulus)
        return in_series(stimulus)
    return stimulus
