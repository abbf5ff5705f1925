"""How the terms of ``aligned`` that are sums of products are described."""

from collections.abc import Sequence

from ...model import DotSpec
from ..proofs.description_text import DescriptionModule, aligned_exponents
from .aligned_text import PlacedTerm, TermLimits, add_terms, before_reading, keep_sum, largest_exponent

__all__ = ["add_blocks", "block_limits", "read_blocks"]


def block_limits(spec: DotSpec, width: int) -> TermLimits:
    """Return what is known of terms of so many bits, and of their sums."""
    reading = aligned_exponents(spec)
    scales = sum(fmt.mantissa_bits for fmt in spec.scales)
    return TermLimits(
        spec=spec,
        count=spec.blocks * spec.block_size // spec.unit_size,
        width=width,
        most=(1 << width) - 1,
        point=scales - sum(fmt.quantum_exponent for fmt in spec.elements),
        least=reading.least,
        greatest=reading.greatest,
        zero=reading.zero,
    )


def read_blocks(
    m: DescriptionModule, limits: TermLimits, only: Sequence[int] | None = None
) -> list[PlacedTerm]:
    """Add the exponents of terms, as they are given and as they read; return the terms.

    A term that is exactly zero is shifted by any distance, and reads the exponent of a zero.

    Args:
        m: The module.
        limits: What is known of the terms.
        only: Numbers of the terms to look at; all of them where it is None.
    """
    reading = aligned_exponents(limits.spec)
    placed: list[PlacedTerm] = []
    for t, name in enumerate(name for name in m.inputs if name.startswith("exponent_")):
        if only is not None and t not in only:
            continue
        m.wire(f"given_{t}", 14, f"$signed(i_{name})" if reading.code < 0 else f"i_{name}", signed=True)
        zero = f"(given_{t} == {reading.code} & i_magnitude_{t} == 0)"
        m.assume(f"(i_nan | (given_{t} >= {reading.least} & given_{t} <= {reading.greatest}) | {zero})")
        m.wire(f"exponent_{t}", 14, f"given_{t} == {reading.code} ? {reading.zero} : given_{t}", signed=True)
        placed.append((f"term_{t}", f"i_magnitude_{t}", limits.point, f"given_{t}", f"i_negative_{t}"))
    return placed


def add_blocks(m: DescriptionModule, spec: DotSpec) -> None:
    """Describe the sum of terms that are sums of products, each cut off at the largest exponent."""
    width, kept = m.inputs["magnitude_0"], spec.fraction
    limits = block_limits(spec, width)
    result = before_reading(m, spec, limits.zero)
    placed = read_blocks(m, limits)
    largest = largest_exponent(m, [f"exponent_{t}" for t in range(limits.count)], limits)
    bits = max(width + kept, result.fields.fraction_bits + 1 + kept)
    add_terms(m, spec, placed, largest, bits=bits, whole=bits + 1 + limits.count.bit_length())
    keep_sum(m, limits)
