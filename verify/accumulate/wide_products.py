"""Products of elements whose codes are too wide to try every pair: their significands alone are tried."""

from functools import partial

from ...model import DotSpec, Format
from ..proofs.cut_step import DescribedPart, PartClaim, StepParts
from ..proofs.description_text import DescriptionModule

__all__ = ["MOST_CODE_BITS", "product_parts"]

MOST_CODE_BITS = 13
"""Of two codes that are this wide every pair is tried."""


def product_parts(spec: DotSpec) -> StepParts | None:
    """Return how a step that multiplies elements is cut, each product a term; None where it need not be.

    The hidden bit of a significand is a wire. What it is, and the product of the significands with any hidden
    bits, are looked at one after the other: a product has few inputs then.
    """
    if max(fmt.bits for fmt in spec.elements) <= MOST_CODE_BITS:
        return None

    def operands(k: int, m: DescriptionModule) -> list[tuple[str, Format]]:
        """Add the codes of a product; return their wires, and the formats."""
        for side, fmt in zip("ab", spec.elements, strict=True):
            m.wire(side, fmt.bits, f"i_{side}[{fmt.bits * k} +: {fmt.bits}]")
        return list(zip("ab", spec.elements, strict=True))

    def hidden(k: int, m: DescriptionModule) -> None:
        both = operands(k, m)
        for side, fmt in both:
            m.give(f"{side}_normal", f"{side}[{fmt.bits - 2}:{fmt.mantissa_bits}] != 0")
        m.give(f"negative_{k}", " ^ ".join(f"{side}[{fmt.bits - 1}]" for side, fmt in both))

    def product(k: int, m: DescriptionModule) -> None:
        both = operands(k, m)
        for side, _ in both:
            m.give(f"{side}_normal", f"i_{side}_normal")
        significands = (f"{{i_{side}_normal, {side}[{fmt.mantissa_bits - 1}:0]}}" for side, fmt in both)
        m.give(f"magnitude_{k}", " * ".join(significands))

    parts: list[DescribedPart] = []
    for k in range(spec.blocks * spec.block_size):
        bits = (f"term_{k}.a_normal", f"term_{k}.b_normal")
        parts += [
            DescribedPart(taken={}, given=(*bits, f"o_negative_{k}"), describe=partial(hidden, k)),
            DescribedPart(
                taken={"a_normal": 1, "b_normal": 1},
                fed=bits,
                given=(f"o_magnitude_{k}",),
                describe=partial(product, k),
            ),
        ]
    claim = PartClaim(
        leaf="element product",
        claim="every pair of codes: sign, and the exact product of the significands",
        parts=parts,
    )
    others = ("element_exponent_", "exponent_", "significand_", "nan", "infinite")
    return StepParts(wires=("a_normal", "b_normal"), claims=[claim], others=others)
