"""Rounding binary32 to 16 bits, against numpy and ml_dtypes."""

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from blockdot.hw.leaves.narrow import Narrow
from blockdot.model.aligned_sum import RESULTS

TYPES = {"binary16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def numbers(rng: np.random.Generator, exponents: range) -> np.ndarray:
    """Bits of numbers of every exponent, at and beside ties of the last places, and what is no number."""
    bits = []
    for field in (0, *exponents, 254, 255):
        for low in (0, 1, 2, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0x1FFFF, 0x7FF000, 0x7FFFFF):
            bits += [field << 23 | low, field << 23 | low | 1 << 31]
    return np.concatenate([np.array(bits, np.uint32), rng.integers(0, 1 << 32, 50_000, dtype=np.uint32)])


@pytest.mark.parametrize("name", TYPES)
def test_every_kind_of_number_is_rounded_as_numpy_rounds_it(
    name: str, rng: np.random.Generator, evaluate_many: Callable
) -> None:
    form = RESULTS[name]
    low = 127 - form.fields.bias
    bits = numbers(rng, range(max(low - 14, 1), low + 33) if low else range(1, 254, 9))
    given = bits.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # of signaling NaN
        expected = given.astype(TYPES[name]).view(np.uint16).astype(np.int64)
        modelled = form.encode(form.rounded(given.astype(np.float64)))
    quiet = (2 * form.fields.infinity_field + 1) << form.fields.fraction_bits - 1
    expected[np.isnan(given)] = quiet
    found = evaluate_many(Narrow(form.fields), [(int(one),) for one in bits])
    np.testing.assert_array_equal([result for (result,) in found], expected)
    finite = ~np.isnan(given)
    np.testing.assert_array_equal(modelled[finite], expected[finite])
