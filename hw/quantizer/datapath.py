"""What a quantizer computes in a cycle, as a row of steps between which pipeline registers may stand."""

from collections.abc import Sequence
from typing import Any

from ...model.quantizer import QuantizerSpec
from ..config import Optimise
from ..steps.records import Step
from .divided_scale import DivideStep, EstimateStep, TensorScaleProductStep
from .element_rounding import CompareStep, ElementCodeStep
from .form import QuantizerForm, least_bits
from .four_over_six import four_over_six_steps
from .largest_magnitude import largest_steps, searched_bits
from .midpoints import MidpointsStep
from .scale_choice import ScaleStep
from .stochastic_rounding import DitherStep, RoundDitheredStep

__all__ = ["QuantizerDatapath"]


def element_steps(form: QuantizerForm) -> tuple[Step[Any, Any], ...]:
    """Return the steps from the `ChosenScale` to the `QuantizedBlock`."""
    if form.spec.stochastic:
        return (MidpointsStep(form), DitherStep(form), RoundDitheredStep(form))
    return (MidpointsStep(form), CompareStep(form), ElementCodeStep(form))


class QuantizerDatapath:
    """The steps from a block's numbers, `BlockInputs`, to its codes, a `QuantizedBlock`.

    Args:
        spec: What to compute.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        order: Seed of the order in which elements enter trees.

    Attributes:
        steps: The steps in order.
        widths: Widths inside, in bits.
    """

    def __init__(self, spec: QuantizerSpec, *, optimise: Optimise, order: int) -> None:
        form = QuantizerForm(spec=spec, fast=optimise == "delay", order=order)
        self.spec = spec
        rest: tuple[Step[Any, Any], ...]
        if spec.method == "four_over_six":
            rest = four_over_six_steps(form)
            if spec.stochastic:
                rest = (*rest, *element_steps(form))
        elif spec.tensor_scale and form.scale.mantissa_bits:
            rest = (EstimateStep(form), DivideStep(form), TensorScaleProductStep(form), *element_steps(form))
        else:
            rest = (ScaleStep(form), *element_steps(form))
        self.steps: Sequence[Step[Any, Any]] = (*largest_steps(form), *rest)
        bits, sticky = searched_bits(form)
        self.widths = {
            "magnitude": form.magnitude_bits,
            "searched_magnitude": form.input.exponent_bits + bits + sticky,
            ("shifted_fraction" if spec.stochastic else "midpoint_fraction"): form.element_fraction_bits,
            "midpoint_exponent": least_bits(form),
        }
