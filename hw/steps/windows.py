"""From terms to a group's value in fixed point."""

from typing import Any

from amaranth.hdl import Module, Signal, Value

from ...model import DotSpec
from .. import step_delays
from ..hierarchy import add_submodule
from ..leaves.compressor import Columns
from ..leaves.multiply import WindowShift
from ..leaves.round import NumberRange
from ..leaves.scale import exponent_bits, exponent_range
from .form import DatapathForm
from .records import Step, Terms, Window, Windows
from .terms import TermForm, signed_steps

__all__ = ["group_bits", "window_numbers", "window_steps"]


def group_bits(spec: DotSpec) -> int:
    """Return the width of a group's value in fixed point."""
    return spec.window_bits + (spec.blocks - 1).bit_length()


def window_numbers(spec: DotSpec, bits: int) -> NumberRange:
    """Return the numbers of a window of so many bits, to be normalised."""
    return NumberRange(
        magnitude_bits=bits - 1, exponent_bits=0, exponents=(0, 0), offset=spec.quantum_exponent
    )


def window_steps(form: DatapathForm) -> tuple[list[Step[Any, Any]], dict[str, int]]:
    """Return the steps from `Codes` to a `Window`, and the widths inside."""
    spec = form.spec
    terms = TermForm(form=form, lanes=spec.block_size)
    placed: list[Step[Any, Any]] = (
        [PlaceStep(form)] if spec.blocks == 1 else [PlaceBlocksStep(form), JoinStep(form)]
    )
    return [*signed_steps(terms), *placed], terms.widths | {"window": spec.window_bits}


def _place(m: Module, platform: object, spec: DotSpec, before: Terms, j: int) -> Value:
    shift = WindowShift(
        term_bits=spec.term_bits,
        exponent_bits=exponent_bits(*spec.scales),
        least_exponent=exponent_range(*spec.scales)[0],
        window_bits=spec.window_bits,
    )
    add_submodule(m, platform, f"place_{j}", shift)
    m.d.comb += [shift.term.eq(before.term[j]), shift.exponent.eq(before.exponents[j])]
    return shift.window


class PlaceStep(Step[Terms, Window]):
    """Shift the one block's term to its place in fixed point."""

    def __init__(self, form: DatapathForm) -> None:
        self.spec = form.spec
        super().__init__("place", step_delays.place(exponent_bits(*self.spec.scales)), self.spec.window_bits)

    def build(self, m: Module, platform: object, before: Terms) -> Window:
        return Window(before.special, _place(m, platform, self.spec, before, 0))


class PlaceBlocksStep(Step[Terms, Windows]):
    """Shift each block's term to its place in fixed point."""

    def __init__(self, form: DatapathForm) -> None:
        self.spec = form.spec
        bits = self.spec.blocks * self.spec.window_bits
        super().__init__("place", step_delays.place(exponent_bits(*self.spec.scales)), bits)

    def build(self, m: Module, platform: object, before: Terms) -> Windows:
        blocks = range(self.spec.blocks)
        return Windows(before.special, tuple(_place(m, platform, self.spec, before, j) for j in blocks))


class JoinStep(Step[Windows, Window]):
    """Add the blocks of a group."""

    def __init__(self, form: DatapathForm) -> None:
        self.form = form
        bits = group_bits(form.spec)
        super().__init__("join", step_delays.join(bits, form.spec.blocks, fast=form.fast), bits)

    def build(self, m: Module, platform: object, before: Windows) -> Window:
        form = self.form
        columns = Columns(group_bits(form.spec), order=form.order, balanced=form.fast)
        top = form.spec.window_bits - 1
        for window in before.window:
            # The sign bit has negative weight: -s * 2**k is ~s * 2**k - 2**k.
            columns.put_all(0, window[:top])
            columns.put(top, ~window[top])
            columns.put_constant(-1 << top)
        group = Signal(columns.width, name="group")
        m.d.comb += group.eq(columns.total(m, form.adder))
        return Window(before.special, group)
