"""From a binary32 sum to a narrower result."""

from typing import Any

from amaranth.hdl import Module

from ..hierarchy import add_submodule
from ..leaves.narrow import Narrow
from ..step_delays import StepDelay
from .form import DatapathForm
from .records import Result, Step

__all__ = ["NarrowStep", "narrowed"]


class NarrowStep(Step[Result, Result]):
    """Round a binary32 sum to the format of the results."""

    def __init__(self, form: DatapathForm) -> None:
        self.fields = form.spec.result_format.fields
        # A shift is there where exponents differ.
        shifts = form.spec.result_format.fields.exponent_bits < form.spec.sum_format.fields.exponent_bits
        super().__init__("narrow", StepDelay(24 if shifts else 12), self.fields.bits)

    def build(self, m: Module, platform: object, before: Result) -> Result:
        narrow = Narrow(self.fields)
        add_submodule(m, platform, "narrow", narrow)
        m.d.comb += narrow.number.eq(before.result)
        return Result(narrow.result)


def narrowed(form: DatapathForm) -> list[Step[Any, Any]]:
    """Return the steps from a binary32 sum to the result: none where that is the sum."""
    return [NarrowStep(form)] if form.spec.rounds_at_end else []
