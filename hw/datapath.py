"""What a unit computes in a cycle, as a row of steps between which pipeline registers may stand."""

import itertools
from typing import Any

from ..model import DotSpec
from .accumulate import ACCUMULATORS
from .config import Optimise, UnitConfig
from .leaves.round import NumberRange
from .steps.form import DatapathForm
from .steps.records import Step
from .steps.tensor_scale import tensor_scaled

__all__ = ["Datapath", "make_datapath"]


class Datapath:
    """The steps from a group's codes to a binary32 result: those that its accumulation says.

    The first step takes `Codes`, the last one gives a `Result`. A step that accumulates takes an
    `Accumulating`, one that multiplies results a `Scaling`.

    Args:
        spec: What to compute.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        order: See `DatapathForm`.
        decoded: See `DatapathForm`.
        whole: See `DatapathForm`.
        segment: See `DatapathForm`.

    Attributes:
        steps: The steps in order.
        widths: Widths inside, in bits.
        numbers: What is normalised and rounded: a term's exact numbers, or a window's.
    """

    def __init__(
        self,
        spec: DotSpec,
        *,
        optimise: Optimise,
        order: int,
        decoded: bool = False,
        whole: bool = False,
        segment: int | None = None,
    ) -> None:
        form = DatapathForm(
            spec=spec,
            fast=optimise == "delay",
            order=order,
            decoded=decoded,
            whole=whole,
            segment=segment,
        )
        plan = tensor_scaled(form, ACCUMULATORS[spec.accumulate].plan(form))
        self.spec = spec
        self.steps: list[Step[Any, Any]] = list(plan.steps)
        if spec.takes_c:
            # It passes every register before the accumulator.
            for step in itertools.takewhile(lambda step: not step.accumulates, self.steps):
                step.bits += spec.c_format.bits
        self.widths: dict[str, int] = dict(plan.widths)
        self.numbers: NumberRange = plan.numbers


def make_datapath(config: UnitConfig, *, decoded: bool = False) -> Datapath:
    """Return the datapath of one unit; `decoded` where it takes decoded elements."""
    return Datapath(
        config.spec,
        optimise=config.optimise,
        order=config.order,
        decoded=decoded,
        whole=config.stages == 1,
        segment=config.segment,
    )
