"""``none``: each group gives a result."""

from ..steps.form import DatapathForm, DatapathPlan
from ..steps.narrowing import narrowed
from ..steps.rounding import normalised_group
from .accumulator import Accumulator

__all__ = ["NONE"]


def _plan(form: DatapathForm) -> DatapathPlan:
    group = normalised_group(form)
    return DatapathPlan([*group.steps, group.round, *narrowed(form)], group.widths, group.round.numbers)


NONE = Accumulator(plan=_plan)
