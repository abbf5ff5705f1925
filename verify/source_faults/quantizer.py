"""Faults in the source of quantizers."""

from typing import Final

from .source_fault import SourceFault

__all__ = ["QUANTIZER_FAULTS"]

QUANTIZER_FAULTS: Final = (
    SourceFault(
        "largest",
        "the digits below do not count",
        "quantizer/largest_magnitude.py",
        "found = Cat(any_of([one[0] & live for one, live in zip(wanted, alive, strict=True)]), found)",
        "found = Cat(any_of([one[0] for one in wanted]), found)",
    ),
    SourceFault(
        "scale",
        "ties of scales go down",
        "quantizer/scale_choice.py",
        "equal = 1 if threshold.included else below",
        "equal = below",
    ),
    SourceFault(
        "scale",
        "a subnormal scale's tie goes up",
        "quantizer/scale_choice.py",
        "passes_constant(m, largest, at, int(exact and threshold.included), name)",
        "passes_constant(m, largest, at, int(exact), name)",
    ),
    SourceFault(
        "scale",
        "no underflow is prevented",
        "quantizer/scale_choice.py",
        'passed[0] = wire(m, largest.any(), "above_zero")',
        "pass",
    ),
    SourceFault(
        "scale",
        "ceil rounds up from three halves on",
        "quantizer/scale_choice.py",
        "fraction[-1] & (fraction[:-1].any() | below)",
        "fraction[-1]",
    ),
    SourceFault(
        "midpoints",
        "a product that wraps is not shifted",
        "quantizer/midpoints.py",
        "below = Mux(product[-1], product[:-1], Cat(Const(0, 1), product[:-2]))",
        "below = Cat(Const(0, 1), product[:-2])",
    ),
    SourceFault(
        "compare",
        "ties of elements go down",
        "quantizer/element_rounding.py",
        "equal = below if factor in (1, 5) else 1",
        "equal = below",
    ),
    SourceFault(
        "compare",
        "ties of elements go up",
        "quantizer/element_rounding.py",
        "equal = below if factor in (1, 5) else 1",
        "equal = 1",
    ),
    SourceFault(
        "compare",
        "a multiple is told as if it never wrapped",
        "quantizer/element_rounding.py",
        "(one & ~(above & wrap)) | ~(above | wrap)",
        "one | ~above",
    ),
    SourceFault(
        "round",
        "a code of zero is not held back",
        "quantizer/element_rounding.py",
        "magnitude & repeat(before.inside[k] & live, 3)",
        "magnitude & repeat(live, 3)",
    ),
    SourceFault(
        "round",
        "what is beyond all scales is not the largest",
        "quantizer/element_rounding.py",
        "magnitude = magnitude | repeat(before.beyond[k], 3)",
        "pass",
    ),
    SourceFault(
        "round",
        "elements of a block with a NaN are kept",
        "quantizer/element_rounding.py",
        'return wire(m, ~void, "live")',
        'return wire(m, Const(1), "live")',
    ),
    SourceFault(
        "dither",
        "a magnitude one binade above the scale is not doubled where its significand is less",
        "quantizer/stochastic_rounding.py",
        "Mux(grows, not_less, ~low[0])",
        "Mux(far, not_less, ~low[0])",
    ),
    SourceFault(
        "dither",
        "random bits are not multiplied by the scale's last bit",
        "quantizer/stochastic_rounding.py",
        "row = random & repeat(fraction[i], len(random))",
        "row = random & repeat(fraction[i] if i else Const(0), len(random))",
    ),
    SourceFault(
        "round",
        "a magnitude of 8 scales and more is not the largest",
        "quantizer/stochastic_rounding.py",
        'wire(m, magnitude | repeat(before.largest[k], 3), f"rounded_{k}")',
        'wire(m, magnitude, f"rounded_{k}")',
    ),
    SourceFault(
        "round",
        "a sum that equals a multiple does not reach it",
        "quantizer/stochastic_rounding.py",
        """                    1,
                    f"at_least""",
        """                    0,
                    f"at_least""",
    ),
    SourceFault(
        "candidates",
        "S4 is never in the next binade",
        "quantizer/four_over_six/candidates.py",
        "doubled = wire(m, six.least[0] ^ four.least[0],",
        "doubled = wire(m, Const(0),",
    ),
    SourceFault(
        "error_sums",
        "three times a magnitude is twice it",
        "quantizer/four_over_six/error_sums.py",
        'twice = wire(m, threefold & larger, f"twice_{k}")',
        'twice = wire(m, Const(0), f"twice_{k}")',
    ),
    SourceFault(
        "choose",
        "equal errors take S4",
        "quantizer/four_over_six/choice.py",
        "take_away(columns, i, of_four & repeat(bit, len(of_four)))",
        "take_away(columns, i, of_four & repeat(bit, len(of_four))); columns.put_constant(-(not i))",
    ),
    SourceFault(
        "choose",
        "a scale of zero is not replaced",
        "quantizer/four_over_six/choice.py",
        "takes_four = takes_four | ~six.scale.any()",
        "pass",
    ),
)
"""The faults of quantizers, likewise."""
