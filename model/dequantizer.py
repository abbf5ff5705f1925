"""The specification of a dequantizer unit: what numbers it makes of a block's codes, and by which name."""

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from ..base.chunks import CHUNK
from .block_formats import BlockFormats
from .formats import Format
from .quantizer import INPUTS, InputFormat

__all__ = ["DEQUANTIZER_OUTPUTS", "DequantizerSpec", "OutputName"]

OutputName = Literal["bf16", "fp32"]

DEQUANTIZER_OUTPUTS: Final[tuple[OutputName, ...]] = get_args(OutputName)
"""Formats of the numbers that a dequantizer gives."""

_NAME: Final = re.compile(
    r"dequantize_(?P<element>[a-z0-9]+)_(?P<scale>[a-z0-9_]+)_n(?P<block_size>\d+)_(?P<output>[a-z0-9]+)"
)


@dataclass(frozen=True, init=False)
class DequantizerSpec(BlockFormats):
    """What numbers a dequantizer unit makes of a block's codes: each element times the scale.

    A product is rounded once to the output format, to nearest, ties to even, subnormal numbers kept; what is
    too large becomes infinite. ``e2m1`` elements under any scale format are exact but for that. A product of
    zero has the element's sign. A NaN, of the scale or of an element, and an infinity times zero give the
    quiet NaN without a sign; there is no other.

    On finite codes that is what `BlockTensor.dequantize` gives without a tensor scale.

    Args:
        element: Element format, by name or as a `Format`, which is registered then. What is kept is the name.
        scale: Scale format, likewise.
        block_size: Elements under one scale: a power of two from 2 to 128.
        output: Format of the numbers: ``bf16`` or ``fp32``.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    output: OutputName

    def __init__(
        self,
        *,
        element: str | Format = "e2m1",
        scale: str | Format = "ue4m3",
        block_size: int = 16,
        output: OutputName = "bf16",
    ) -> None:
        self._set_block(element, scale, block_size)
        self._set(output=output)
        if output not in DEQUANTIZER_OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(DEQUANTIZER_OUTPUTS)}, not {output!r}")

    @property
    def name(self) -> str:
        """The stable short name, such as ``dequantize_e2m1_ue4m3_n16_bf16``."""
        return f"dequantize_{self.element}_{self.scale}_n{self.block_size}_{self.output}"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the specification of that `name`.

        Raises:
            ValueError: If `name` is not a specification's name, or a part of it is not allowed.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"specification must read like dequantize_e2m1_ue4m3_n16_bf16, not {name!r}")
        part = match.groupdict()
        return cls(
            element=part["element"],
            scale=part["scale"],
            block_size=int(part["block_size"]),
            output=part["output"],  # type: ignore[arg-type]  # the constructor refuses what is none
        )

    @property
    def output_format(self) -> InputFormat:
        """The format of the numbers."""
        return INPUTS[self.output]

    def compute(self, codes: npt.ArrayLike, scales: npt.ArrayLike) -> npt.NDArray[np.unsignedinteger]:
        """Compute what the unit computes, bit for bit.

        Args:
            codes: Element codes, shape (..., N).
            scales: Scale codes, shape (...).

        Returns:
            Codes of the numbers, shape (..., N): uint16 for ``bf16``, uint32 for ``fp32``.

        Raises:
            TypeError: If codes are not integers.
            ValueError: If shapes do not fit, or a code has a bit above its width.
        """
        elements = self.element_format.check(np.asarray(codes), "codes")
        of_blocks = self.scale_format.check(np.asarray(scales), "scales")
        size = self.block_size
        if not elements.ndim or elements.shape[-1] != size:
            raise ValueError(f"codes must be shaped (..., {size}) for {self.name}, not {elements.shape}")
        lead = elements.shape[:-1]
        if of_blocks.shape != lead:
            raise ValueError(f"scales must be shaped {lead} to fit codes, not {of_blocks.shape}")
        rows = math.prod(lead)
        flat, of_rows = elements.reshape(rows, size), of_blocks.reshape(rows)
        found = np.empty(flat.shape, self.output_format.dtype)
        nan = self.output_format.infinity_code | 1 << self.output_format.mantissa_bits - 1
        step = max(1, CHUNK // size)
        for start in range(0, rows, step):
            part = slice(start, start + step)
            # At most 8 and 6 bits, and no bit below 2**-147: every product is a float32 number, or too large
            # for one. So bf16 is rounded once.
            with np.errstate(invalid="ignore", over="ignore"):
                factors = self.scale_format.values[of_rows[part], np.newaxis]
                values = (self.element_format.values[flat[part]] * factors).astype(np.float32)
            made = self.output_format.encode(values)
            made[np.isnan(values)] = nan
            found[part] = made
        return found.reshape(elements.shape)
