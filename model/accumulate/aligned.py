"""``aligned``: terms and sum at the largest exponent, cut off."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..aligned_sum import AlignedSum, read_exponents, term_supports, whole_and_tail
from .accumulation import Accumulation

if TYPE_CHECKING:  # a specification asks for its accumulation
    from ..spec import DotSpec

__all__ = ["ALIGNED", "AlignedProductSums", "AlignedSums", "aligned_sum"]


def aligned_sum(spec: "DotSpec", shape: tuple[int, ...]) -> AlignedSum:
    """Return the sums of an array of dot products of that shape."""
    # The significands of two scales are below 4, and so are those of two elements, where these count.
    if spec.term_size == 1:
        largest = 16.0 * spec.blocks * spec.block_size
    else:
        quantum = sum(fmt.quantum_exponent for fmt in spec.elements)
        largest = 4.0 * spec.blocks * spec.largest_sum * 2.0**quantum
    return AlignedSum(
        shape,
        fraction=spec.fraction,
        largest_term=largest,
        zero_exponent=spec.zero_exponent,
        result=spec.sum_format,
    )


class AlignedSums:
    """Groups and sum at one exponent, cut off: `AlignedSum`."""

    def __init__(self, spec: "DotSpec", shape: tuple[int, ...]) -> None:
        self._spec = spec
        self._sum = aligned_sum(spec, shape)
        self._exponents = [read_exponents(fmt) for fmt in spec.scales]

    def start(self, c: npt.NDArray[np.float32]) -> None:
        """See `StartedSums`."""
        self._sum.start(c)

    def add(self, *codes: npt.NDArray[np.unsignedinteger]) -> None:
        """See `GroupSums`."""
        spec = self._spec
        *elements, a_scale, b_scale = codes
        units = spec.block_size // spec.unit_size
        a, b = (array.reshape(*array.shape[:-2], -1, spec.unit_size) for array in elements)
        a_scale, b_scale = (np.repeat(array, units, axis=-1) for array in (a_scale, b_scale))
        # (..., groups, terms, pieces of a term)
        terms = spec.block_terms(a, b, a_scale, b_scale).reshape(*a_scale.shape, -1)
        support_a, support_b = (
            term_supports(element, scale, array, scales)
            for element, scale, array, scales in zip(
                spec.elements, spec.scales, (a, b), (a_scale, b_scale), strict=True
            )
        )
        read = self._exponents[0][a_scale] + self._exponents[1][b_scale]
        read[(support_a & support_b) == 0] = spec.zero_exponent
        exponents = read.max(axis=-1)
        whole, tail = whole_and_tail([terms[..., p] for p in range(terms.shape[-1])])
        for g in range(exponents.shape[-1]):
            tails = [] if tail is None else list(np.moveaxis(tail[..., g, :], -1, 0))
            self._sum.add(list(np.moveaxis(whole[..., g, :], -1, 0)), exponents[..., g], tails)

    def result(self) -> npt.NDArray[np.float32]:
        """See `GroupSums`."""
        return self._sum.result()


class AlignedProductSums:
    """The same of terms that are single products, with the exponents of their elements as well."""

    def __init__(self, spec: "DotSpec", shape: tuple[int, ...]) -> None:
        self._spec = spec
        self._sum = aligned_sum(spec, shape)
        self._exponents = [read_exponents(fmt) for fmt in spec.elements + spec.scales]

    def start(self, c: npt.NDArray[np.float32]) -> None:
        """See `StartedSums`."""
        self._sum.start(c)

    def add(self, *codes: npt.NDArray[np.unsignedinteger]) -> None:
        """See `GroupSums`."""
        formats = self._spec.elements + self._spec.scales
        # The scales of a block go with all its elements.
        spread = [*codes[:2], *(array[..., np.newaxis] for array in codes[2:])]
        a, b, a_scale, b_scale = (fmt.values[array] for fmt, array in zip(formats, spread, strict=True))
        with np.errstate(invalid="ignore"):
            # At most 11 bits each, or 4 and two scales: exact.
            terms = a * b * (a_scale * b_scale) + 0.0
        read = np.zeros(terms.shape, np.int16)
        for table, array in zip(self._exponents, spread, strict=True):
            read += table[array]
        read[terms == 0] = self._spec.zero_exponent
        terms, read = (array.reshape(*array.shape[:-2], -1) for array in (terms, read))
        largest = read.max(axis=-1)
        for g in range(terms.shape[-2]):
            self._sum.add(list(np.moveaxis(terms[..., g, :], -1, 0)), largest[..., g])

    def result(self) -> npt.NDArray[np.float32]:
        """See `GroupSums`."""
        return self._sum.result()


def _sums(spec: "DotSpec", shape: tuple[int, ...]) -> AlignedSums | AlignedProductSums:
    return AlignedProductSums(spec, shape) if spec.term_size == 1 else AlignedSums(spec, shape)


ALIGNED = Accumulation(
    meaning="as in tensor cores",
    sums=_sums,
    fraction=True,
    sum_formats=("binary32", "e8m13", "binary16"),
    end_formats=("bfloat16",),
    starts_at_c=True,
)
