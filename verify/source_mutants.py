"""Faults in the generator's own source, by component and by name: are the units they make found out?

Each is one line of the source changed into another, in a copy from which a process of its own
generates a unit.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from .. import base, hw, model
from ..hw import DequantizerConfig, QuantizerConfig, to_verilog
from ..hw.configurations import Configuration
from ..hw.stream_unit import StreamUnit
from ..sim.unit_stimulus import UnitStimulus
from .netlist_mutants import Fate, Mutant, agree, built, examine_mutant, play, stimuli_for
from .proofs.solver import Network, network

__all__ = ["DEQUANTIZER_FAULTS", "FAULTS", "QUANTIZER_FAULTS", "SourceFault", "plant"]


@dataclass(frozen=True)
class SourceFault:
    """A fault in the source.

    Attributes:
        component: The component that it is in.
        name: What it is.
        file: The file, from ``hw`` on.
        right: What stands there, once.
        wrong: What is put in its place.
    """

    component: str
    name: str
    file: str
    right: str
    wrong: str


FAULTS: Final = (
    SourceFault(
        "element", "sign of a product is that of a", "leaves/element.py", "self.a[3] ^ self.b[3]", "self.a[3]"
    ),
    SourceFault(
        "element", "a gate of the small product", "leaves/element.py", "gate(~(g9 ^ g8))", "gate(~(g9 | g8))"
    ),
    SourceFault(
        "element",
        "a decoded subnormal has a hidden bit",
        "leaves/element.py",
        'wire(m, code[1:3].any(), "normal")',
        'wire(m, code[0:3].any(), "normal")',
    ),
    SourceFault(
        "decode",
        "a subnormal scale has exponent 0",
        "leaves/decode.py",
        "Cat(field[0] | ~normal, field[1:])",
        "Cat(field[0], field[1:])",
    ),
    SourceFault(
        "decode",
        "every scale has a hidden bit",
        "leaves/decode.py",
        "return Decoded(negative, Cat(mantissa, normal), exponent",
        "return Decoded(negative, Cat(mantissa, Const(1)), exponent",
    ),
    SourceFault("scale", "NaN of a alone counts", "leaves/scale.py", "nan = a.nan | b.nan", "nan = a.nan"),
    SourceFault(
        "scale",
        "exponent of a counts twice",
        "leaves/scale.py",
        "total = a.exponent + b.exponent",
        "total = a.exponent + a.exponent",
    ),
    SourceFault(
        "compressor",
        "a full adder's carry lacks a and b",
        "leaves/bits.py",
        "(a & b) | (half & c)",
        "half & c",
    ),
    SourceFault(
        "compressor",
        "a half adder's carry is its sum",
        "leaves/bits.py",
        'wire(m, a & b, f"{name}_carry")',
        'wire(m, a ^ b, f"{name}_carry")',
    ),
    SourceFault(
        "compressor",
        "a negative product lacks the one of its negation",
        "leaves/compressor.py",
        "    columns.put_all(0, count)\n",
        "",
    ),
    SourceFault(
        "term",
        "a negative sum lacks the one of its negation",
        "leaves/multiply.py",
        "columns.put_all(0, [negative & bit for bit in significand])",
        "pass",
    ),
    SourceFault(
        "window",
        "a window one place up",
        "steps/windows.py",
        "least_exponent=exponent_range(*spec.scales)[0]",
        "least_exponent=exponent_range(*spec.scales)[0] - 1",
    ),
    SourceFault(
        "normalise",
        "subnormals are normalised",
        "leaves/round.py",
        "(exponent + (top_field - 1))",
        "(exponent + top_field)",
    ),
    SourceFault(
        "normalise",
        "a zero has the field of a number",
        "leaves/round.py",
        "field & repeat(top, len(field))",
        "field",
    ),
    SourceFault("round", "ties go up", "leaves/round.py", "up = tie & (more | fraction[0])", "up = tie"),
    SourceFault(
        "round", "ties go down", "leaves/round.py", "up = tie & (more | fraction[0])", "up = tie & more"
    ),
    SourceFault(
        "round",
        "nothing is rounded up",
        "leaves/round.py",
        "packed = (packed + up)",
        "packed = (packed + Const(0))",
    ),
    SourceFault(
        "round",
        "a negation lacks its one where bits were lost",
        "leaves/round.py",
        "Mux(more, tie, tie | fraction[0])",
        "Mux(more, tie, tie & fraction[0])",
    ),
    SourceFault(
        "normalise",
        "minus one is taken for zero",
        "leaves/round.py",
        "digits = Cat(Const(0, 1), self.value[:-1])",
        "digits = Cat(Const(1, 1), self.value[:-1])",
    ),
    SourceFault(
        "normalise",
        "what a shifter drops is not looked at",
        "leaves/bits.py",
        "lost = lost | (~take & value[:dropped].any())",
        "lost = lost | (take & value[:dropped].any())",
    ),
    SourceFault(
        "round",
        "a sum of zero keeps a sign",
        "leaves/round.py",
        "negative = self.negative & (self.nonzero | asked)",
        "negative = self.negative",
    ),
    SourceFault(
        "round",
        "NaN is not quiet",
        "leaves/round.py",
        "Const(0, fraction_bits - 1), self.nan,",
        "Const(0, fraction_bits - 1), Const(0),",
    ),
    SourceFault(
        "adder",
        "the sticky bit is lost",
        "accumulate/binary32_adders.py",
        "addend = wire(m, Cat(sticky, aligned)",
        "addend = wire(m, Cat(Const(0), aligned)",
    ),
    SourceFault(
        "adder",
        "a difference lacks its carry",
        "accumulate/binary32_adders.py",
        "list(addend), subtract, self.adder)",
        "list(addend), Const(0), self.adder)",
    ),
    SourceFault(
        "adder",
        "operands are swapped by exponent alone",
        "accumulate/binary32_adders.py",
        "self.a[:31] < self.b[:31]",
        "self.a[FRACTION_BITS:31] < self.b[FRACTION_BITS:31]",
    ),
    SourceFault(
        "adder",
        "opposite infinities are no NaN",
        "accumulate/binary32_adders.py",
        "nan[0] | nan[1] | (infinite[0] & infinite[1] & subtract)",
        "nan[0] | nan[1]",
    ),
    SourceFault(
        "adder",
        "an exact zero has the sign of a",
        "accumulate/binary32_adders.py",
        "Mux(zero, self.a[31] & self.b[31], large[31])",
        "Mux(zero, self.a[31], large[31])",
    ),
    SourceFault(
        "exact",
        "a window is not sign-extended",
        "accumulate/window_adder.py",
        "repeat(self.window[-1], guard)",
        "repeat(Const(0), guard)",
    ),
    SourceFault(
        "exact", "NaN sticks for ever", "accumulate/exact.py", "(accumulator_nan & keep)", "accumulator_nan"
    ),
    SourceFault(
        "exact",
        "a sum does not start anew",
        "accumulate/exact.py",
        "accumulator & repeat(keep, len(accumulator))",
        "accumulator",
    ),
    SourceFault(
        "exact",
        "a sum that waits adds its window",
        "accumulate/exact.py",
        "window & repeat(enable, len(window))",
        "window",
    ),
    SourceFault(
        "exact",
        "a kept carry outlives its sum",
        "accumulate/exact.py",
        "carries & repeat(keep, len(carries))",
        "carries",
    ),
    SourceFault(
        "exact",
        "the lowest kept carry is lost",
        "accumulate/window_adder.py",
        "Cat(*kept[:-1])",
        "Cat(0, *kept[1:-1])",
    ),
    SourceFault(
        "aligned",
        "the sum so far is not aligned",
        "accumulate/aligned_adder.py",
        "(largest - exponent)[: self._distance_bits]",
        "(largest - largest)[: self._distance_bits]",
    ),
    SourceFault(
        "aligned",
        "what is too large is not infinite",
        "accumulate/aligned_adder.py",
        "special | field[:exponent_bits].all() | field[exponent_bits:].any()",
        "special",
    ),
    SourceFault(
        "products",
        "a product of zero has an exponent",
        "leaves/product_term.py",
        "self.exponent.eq(exponent & repeat(nonzero, len(self.exponent)))",
        "self.exponent.eq(exponent)",
    ),
    SourceFault(
        "products",
        "the exponent of a counts twice",
        "leaves/product_term.py",
        "(a.exponent + b.exponent)[: len(self.exponent)]",
        "(a.exponent + a.exponent)[: len(self.exponent)]",
    ),
    SourceFault(
        "products",
        "a block of zeros is ahead",
        "accumulate/aligned_products.py",
        "Mux(there & (level < count), count, level)",
        "Mux(level < count, count, level)",
    ),
    SourceFault(
        "products",
        "what is far is shifted as if it were near",
        "accumulate/aligned_products.py",
        "count[:bits] | repeat(far, bits)",
        "count[:bits]",
    ),
    SourceFault(
        "products",
        "the least bit of a sum is not kept",
        "accumulate/aligned_adder.py",
        "kept = shift_right(m, placed, distance, ",
        "kept = shift_right(m, placed & ~1, distance, ",
    ),
    SourceFault(
        "aligned",
        "zeros have the exponent of their scales",
        "steps/terms.py",
        "Mux(wire(m, nonzero, name), scale.exponent, aligned.zero_code)",
        "scale.exponent",
    ),
    SourceFault(
        "aligned",
        "zeros under a scale of zero have its exponent",
        "steps/terms.py",
        ".any() & scale.nonzero",
        ".any()",
    ),
    SourceFault(
        "control",
        "an input that ends no sum gives a result",
        "pipeline.py",
        "before = before & last",
        "before = before | last",
    ),
    SourceFault(
        "control",
        "an accumulator takes what is not valid",
        "pipeline.py",
        "first, move & before",
        "first, move",
    ),
    SourceFault(
        "control",
        "what is refused is not kept",
        "pipeline.py",
        "m.d.sync += spare_full.eq(offered & ~ready)",
        "m.d.sync += spare_full.eq(0)",
    ),
)
"""The faults; one whose line a unit does not use makes the unit itself, and is equivalent."""

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
        "quantizer/four_over_six.py",
        "doubled = wire(m, six.least[0] ^ four.least[0],",
        "doubled = wire(m, Const(0),",
    ),
    SourceFault(
        "error_sums",
        "three times a magnitude is twice it",
        "quantizer/four_over_six.py",
        'twice = wire(m, threefold & larger, f"twice_{k}")',
        'twice = wire(m, Const(0), f"twice_{k}")',
    ),
    SourceFault(
        "choose",
        "equal errors take S4",
        "quantizer/four_over_six.py",
        "_take_away(columns, i, of_four & repeat(bit, len(of_four)))",
        "_take_away(columns, i, of_four & repeat(bit, len(of_four))); columns.put_constant(-(not i))",
    ),
    SourceFault(
        "choose",
        "a scale of zero is not replaced",
        "quantizer/four_over_six.py",
        "takes_four = takes_four | ~six.scale.any()",
        "pass",
    ),
)
"""The faults of quantizers, likewise."""

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

_EMIT: Final = """
import sys
from blockdot.hw import to_verilog
from blockdot.hw.configurations import parse_configuration
sys.stdout.write(to_verilog(parse_configuration(sys.argv[1]).build()).text)
"""
_RANDOM: Final = 2000
_SECONDS: Final = 120


def _folder(package: ModuleType) -> Path:
    assert package.__file__ is not None
    return Path(package.__file__).parent


def _emit(unit: Configuration, fault: SourceFault) -> str | None:
    """Return the Verilog that the faulty generator emits; None if it emits none."""
    with tempfile.TemporaryDirectory(prefix="blockdot-fault-") as name:
        package = Path(name) / "blockdot"
        package.mkdir()
        (package / "__init__.py").write_text("")
        for one in (base, model, hw):
            shutil.copytree(
                _folder(one), package / _folder(one).name, ignore=shutil.ignore_patterns("__pycache__")
            )
        path = package / "hw" / fault.file
        text = path.read_text(encoding="utf-8")
        if text.count(fault.right) != 1:
            raise ValueError(
                f"{fault.file} must have {fault.right!r} once, not {text.count(fault.right)} times"
            )
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _EMIT, unit.name],
            cwd=name,
            env={**os.environ, "PYTHONPATH": name},
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        return done.stdout if done.returncode == 0 else None


def plant(
    unit: Configuration,
    *,
    faults: Sequence[SourceFault] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Mutant, ...]:
    """Generate a unit with each fault of the source that makes another unit of it, and find the faults.

    Args:
        unit: How the unit is built.
        faults: The faults; by default all of the unit's kind.
        progress: Is told how many faults are done, of how many.

    Returns:
        What became of each; without those that leave the unit as it is, as it has no use for their lines.

    Raises:
        ToolError: If pyosys is missing.
        SynthesisError: If Yosys fails.
    """
    if faults is None:
        faults = _faults_of(unit)
    component = built(unit)
    text = to_verilog(component).text
    right = network({"unit.v": text}, component.name)
    stimuli = stimuli_for(unit, _RANDOM, 0)
    planted: list[Mutant] = []
    for k, fault in enumerate(faults):
        emitted = _emit(unit, fault)
        if emitted != text:
            planted.append(
                Mutant(fault.component, fault.name, _fate(component, right, emitted, stimuli), None)
            )
        progress(k + 1, len(faults))
    return tuple(planted)


def _faults_of(unit: Configuration) -> Sequence[SourceFault]:
    """Return the faults of the unit's kind."""
    match unit:
        case QuantizerConfig():
            return QUANTIZER_FAULTS
        case DequantizerConfig():
            return DEQUANTIZER_FAULTS
        case _:
            return FAULTS


def _fate(unit: StreamUnit, right: Network, emitted: str | None, stimuli: Sequence[UnitStimulus]) -> Fate:
    if emitted is None:
        return "killed"  # there is no unit to be tested
    wrong = network({"unit.v": emitted}, unit.name)
    if any(not agree(play(wrong, unit, stimulus)[1], stimulus) for stimulus in stimuli):
        return "killed"
    return examine_mutant(unit, right, wrong)
