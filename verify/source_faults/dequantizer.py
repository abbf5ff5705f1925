"""Faults in the source of dequantizers."""

from typing import Final

from .source_fault import SourceFault

__all__ = ["DEQUANTIZER_FAULTS"]

DEQUANTIZER_FAULTS: Final = tuple(
    SourceFault(component, name, "dequantizer_unit.py", right, wrong)
    for component, name, right, wrong in (
        ("scale", "every scale is half of what it is", "scale.bias - 1)", "scale.bias - 2)"),
        ("scale", "subnormal scales are not normalised", "decoded.exponent - zeros", "decoded.exponent"),
        (
            "scale",
            "3/2 times a significand never wraps",
            'wire(m, Mux(wraps, threefold[:-1], Cat(Const(0, 1), threefold[:-2])), "fraction_of_three")',
            'wire(m, Cat(Const(0, 1), threefold[:-2]), "fraction_of_three")',
        ),
        ("elements", "a half is 3/2", "code[0] & code[1:3].any(), f", "code[0], f"),
        ("elements", "a carry of 3/2 counts for 1 too", "three & before.wraps, kind", "before.wraps, kind"),
        ("elements", "a zero element is a half", "~before.zero & code[:3].any()", "~before.zero"),
        (
            "elements",
            "a scale of zero is a half of the least",
            "~before.zero & code[:3].any()",
            "code[:3].any()",
        ),
        (
            "elements",
            "a NaN has a sign",
            "Mux(before.nan, quiet,",
            "Mux(before.nan, quiet | code[3] << output.bits - 1,",
        ),
        ("elements", "what is infinite keeps its field", "| repeat(infinite, len(low))\n", "\n"),
        (
            "elements",
            "what is subnormal is not moved",
            "(moved & repeat(by_one, bits))",
            "(fraction & repeat(by_one, bits))",
        ),
    )
)
"""The faults of dequantizers, likewise."""
