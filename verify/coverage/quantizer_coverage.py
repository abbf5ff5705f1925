"""What a test of a quantizer should have met: thresholds, midpoints, lanes, special blocks, and choices."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...model import QuantizerSpec
from ...model.quantizer import InputFormat
from ...model.scale_selection import ScaleRule
from ...sim.quantizer_stimulus import QuantizerStimulus, scale_thresholds, step_parts
from ...sim.stream_rules import Response
from .bins import Bin
from .coverage import BinsSeen
from .quantizer_scale_bins import scaled_bins, scaled_bins_met

__all__ = ["QuantizerCoverage"]

_Ints = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]

_TURNS: Final = {
    "stays": (-(1 << 17), -2),
    "just stays": (-1, -1),
    "just goes up": (0, 0),
    "goes up": (1, 1 << 17),
}
"""What becomes of a lower neighbour, by what its part of a step and its random bits exceed a step by."""

_PLACES: Final = ("below", "at", "above")


def _neighbours(form: InputFormat, values: _Doubles) -> tuple[_Ints, _Ints, _Ints]:
    """Return the codes of the numbers below, at and above positive values; -1 where there is none."""
    with np.errstate(over="ignore"):
        near = form.encode(values.astype(np.float32)).astype(np.int64)
    exact = form.to_float32(near.astype(form.dtype)).astype(np.float64)
    top = form.infinity_code - 1
    below = np.where(exact < values, near, near - 1)
    at = np.where(exact == values, near, -1)
    above = np.where(exact > values, near, near + 1)
    inside = near <= top
    return tuple(np.where(inside & (one <= top), one, -1) for one in (below, at, above))  # type: ignore[return-value]  # three


def _thresholds(spec: QuantizerSpec) -> dict[str, _Doubles]:
    """Return the thresholds of scales by what they are called here."""
    found = scale_thresholds(spec)
    return {"scale" if len(found) == 1 else f"scale of {top:g}": values for top, values in found.items()}


class QuantizerCoverage(BinsSeen[QuantizerStimulus]):
    """What stimuli of a quantizer have met of all that there is to meet.

    Args:
        spec: What the unit computes. Where there is a tensor scale, thresholds and midpoints are those times
            it, and what cannot be met under a tensor scale of 1 is left out.

    Attributes:
        spec: The same.
    """

    def __init__(self, spec: QuantizerSpec) -> None:
        self.spec = spec
        form = spec.input_format
        # For each threshold and place the code of the largest magnitude that is there.
        self._at: dict[tuple[str, str], int] = {}
        bins: list[Bin] = []
        reached: set[int] = {0, form.infinity_code - 1}
        for group, values in _thresholds(spec).items():
            for place, codes in zip(_PLACES, _neighbours(form, values), strict=True):
                for k, code in enumerate(codes.tolist()):
                    name = f"{place} the threshold to {k + 1:#04x}"
                    bins.append(Bin(group, name, "" if code >= 0 else f"no {form.name} number is there"))
                    self._at[group, name] = code
                    reached.add(max(code, 0))
        alone = np.zeros((len(reached), spec.block_size), form.dtype)
        alone[:, 0] = sorted(reached)
        draws = np.zeros(alone.shape, np.uint16) if spec.stochastic else None
        told = set(spec.compute(alone, draws, 1.0 if spec.tensor_scale else None)[1].tolist())
        bins += [
            Bin("scale code", f"{code:#04x}", "" if code in told else f"no {form.name} number leads to it")
            for code in range(spec.scale_format.largest_code + 1)
        ]
        element = spec.element_format
        bins += [Bin("element code", f"{code:#x}") for code in element.codes.tolist()]
        self._magnitudes = np.unique(np.abs(element.values[element.codes]))
        self._middles = (self._magnitudes[1:] + self._magnitudes[:-1]) / 2
        bins += [
            Bin("midpoint", f"{sign}{middle:g} {place}")
            for middle in self._middles
            for sign in "+-"
            for place in _PLACES
        ]
        if spec.stochastic:
            bins += [
                Bin("random", f"{sign}{lower:g} {what}")
                for lower in self._magnitudes[:-1]
                for sign in "+-"
                for what in _TURNS
            ]
        bins += [
            Bin("largest", f"lane {lane} {sign}") for lane in range(spec.block_size) for sign in ("+", "-")
        ]
        bins += [Bin("block", name, why) for name, why in self._blocks().items()]
        if spec.method == "four_over_six":
            bins += [Bin("choice", name, why) for name, why in self._choices().items()]
        if spec.tensor_scale:
            bins = [one for one in bins if not one.unreachable]
            bins += scaled_bins(spec)
        super().__init__(bins)

    def _values(self, codes: npt.NDArray[Any]) -> _Doubles:
        return self.spec.input_format.to_float32(codes.astype(self.spec.input_format.dtype)).astype(
            np.float64
        )

    def _blocks(self) -> dict[str, str]:
        spec, form = self.spec, self.spec.input_format
        least, most = self._values(np.array([1, form.infinity_code - 1])).tolist()
        scale = spec.scale_format
        first = min(float(values[0]) for values in _thresholds(spec).values())
        zero = (
            "" if scale.zero_code is not None and spec.method != "prevent_zero" and least <= first else None
        )
        top = 4 if spec.method == "four_over_six" else spec.element_format.largest
        return {
            "zeros alone": "",
            "subnormal numbers alone": "",
            "the largest finite number": "",
            "+Inf": "",
            "-Inf": "",
            "NaN": "",
            "beyond the largest scale": ""
            if most > scale.largest * top
            else f"no {form.name} number is so large",
            "a scale of zero, and numbers": "no scale of zero is chosen for them" if zero is None else "",
        }

    def _choices(self) -> dict[str, str]:
        scale, form = self.spec.scale_format, self.spec.input_format
        no_zero = scale.zero_code is None
        far = not no_zero and float(self._values(np.array([1]))[0]) > 3 * scale.smallest
        return {
            "S6 of two": "",
            "S4 of two": "",
            "both are one": "",
            "S6 is zero and S4 is not": "there is no such scale"
            if no_zero
            else f"no {form.name} number is so small"
            if far
            else "",
            "equal errors": "not driven: errors are compared in float64 here" if form.name == "fp32" else "",
        }

    def add(self, stimulus: QuantizerStimulus, response: Response | None = None) -> None:
        """Note what a stimulus meets; for the same specification. No bin is of what a unit answers."""
        del response
        self.note(
            (one, vector, count)
            for group, name, vector, count in self._see(stimulus)
            if (one := self._known.get((group, name)))
        )

    def _see(self, stimulus: QuantizerStimulus) -> Iterator[tuple[str, str, int, int]]:
        spec, form = self.spec, self.spec.input_format
        magnitude = (stimulus.x & form.dtype.type((1 << form.bits - 1) - 1)).astype(np.int64)
        negative = stimulus.x >> form.dtype.type(form.bits - 1) != 0
        elements, scales = stimulus.codes
        largest = magnitude.max(axis=1)
        finite = largest < form.infinity_code
        rows = np.flatnonzero(finite)

        def tell(group: str, name: str, met: npt.NDArray[np.bool_]) -> Iterator[tuple[str, str, int, int]]:
            found = np.flatnonzero(met)
            if len(found):
                yield group, name, int(found[0]), len(found)

        codes, first, counts = np.unique(largest[rows], return_index=True, return_counts=True)
        seen = {
            code: (int(rows[at]), count)
            for code, at, count in zip(codes.tolist(), first.tolist(), counts.tolist(), strict=True)
        }
        g = stimulus.g
        if g is None:
            for (group, name), code in self._at.items():
                if code in seen:
                    yield group, name, *seen[code]
        else:
            yield from self._at_scaled(largest, finite, g.astype(np.float64))
            for (group, name), met in scaled_bins_met(spec, magnitude, elements, scales, g).items():
                yield from tell(group, name, met & finite)
        for code in np.unique(scales[rows]).tolist():
            yield from tell("scale code", f"{code:#04x}", finite & (scales == code))
        for code in np.unique(elements).tolist():
            yield from tell("element code", f"{code:#x}", finite & (elements == code).any(axis=1))
        factor = np.where(finite, np.nan_to_num(spec.scale_format.values[scales]), 0)
        whole = 1.0 if g is None else g.astype(np.float64)
        factor = factor * whole
        for middle in self._middles:
            values = np.where(factor > 0, factor, 1) * middle
            for place, beside in zip(_PLACES, _neighbours(form, values), strict=True):
                there = (magnitude == beside[:, np.newaxis]) & (finite & (factor > 0))[:, np.newaxis]
                for sign, which in (("+", ~negative), ("-", negative)):
                    yield from tell(
                        "midpoint", f"{middle:g}".join((sign, f" {place}")), (there & which).any(axis=1)
                    )
        if stimulus.random is not None:
            yield from self._turned(stimulus, scales, negative)
        alone = finite & ((magnitude == largest[:, np.newaxis]).sum(axis=1) == 1)
        for lane in range(spec.block_size):
            mine = alone & (magnitude[:, lane] == largest)
            yield from tell("largest", f"lane {lane} +", mine & ~negative[:, lane])
            yield from tell("largest", f"lane {lane} -", mine & negative[:, lane])
        infinite = magnitude == form.infinity_code
        top = 4 if spec.method == "four_over_six" else spec.element_format.largest
        blocks = {
            "zeros alone": largest == 0,
            "subnormal numbers alone": (largest > 0) & (largest < 1 << form.mantissa_bits),
            "the largest finite number": largest == form.infinity_code - 1,
            "+Inf": (infinite & ~negative).any(axis=1),
            "-Inf": (infinite & negative).any(axis=1),
            "NaN": (magnitude > form.infinity_code).any(axis=1),
            "beyond the largest scale": finite
            & (self._values(np.where(finite, largest, 0)) > spec.scale_format.largest * top * whole),
            "a scale of zero, and numbers": finite & (largest > 0) & (spec.scale_format.values[scales] == 0),
        }
        for name, met in blocks.items():
            yield from tell("block", name, met)
        if spec.method == "four_over_six":
            for name, met in self._chosen(stimulus, rows, scales[rows]).items():
                whole = np.zeros(stimulus.vectors, np.bool_)
                whole[rows] = met
                yield from tell("choice", name, whole)

    def _at_scaled(
        self, largest: _Ints, finite: npt.NDArray[np.bool_], g: _Doubles
    ) -> Iterator[tuple[str, str, int, int]]:
        """Yield which thresholds times tensor scales largest magnitudes are at or beside."""
        form = self.spec.input_format
        quotients = self._values(np.where(finite, largest, 0)) / g
        for group, values in _thresholds(self.spec).items():
            after = np.searchsorted(values, quotients)
            for near in (after - 1, after):
                index = np.clip(near, 0, len(values) - 1)
                beside = _neighbours(form, values[index] * g)
                for place, codes in zip(_PLACES, beside, strict=True):
                    there = finite & (near == index) & (codes == largest)
                    for k in np.unique(index[there]).tolist():
                        met = np.flatnonzero(there & (index == k))
                        yield group, f"{place} the threshold to {k + 1:#04x}", int(met[0]), len(met)

    def _turned(
        self, stimulus: QuantizerStimulus, scales: npt.NDArray[Any], negative: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[str, str, int, int]]:
        """Yield which elements go up by their random bits, and which by the last one of them."""
        assert stimulus.random is not None
        step = 1 << self.spec.random_bits
        lower, part = step_parts(self.spec, stimulus.x, scales, stimulus.g)
        over = part + stimulus.random - step
        for index, magnitude in enumerate(self._magnitudes[:-1]):
            for sign, which in (("+", ~negative), ("-", negative)):
                for what, (low, high) in _TURNS.items():
                    met = (lower == index) & which & (over >= low) & (over <= high)
                    found = np.flatnonzero(met.any(axis=1))
                    if len(found):
                        yield "random", f"{sign}{magnitude:g} {what}", int(found[0]), len(found)

    def _chosen(
        self, stimulus: QuantizerStimulus, rows: _Ints, taken: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """Return which of the rows meet each choice between two scales."""
        spec = self.spec
        x = spec.input_format.to_float32(stimulus.x[rows])
        g = 1.0 if stimulus.g is None else stimulus.g[rows].astype(np.float64)
        rule = ScaleRule(spec.element_format, spec.scale_format, tensor_scale=g)
        values, largest = spec.scale_format.values, np.abs(x).max(axis=1)
        both = [rule.round_scales(largest, top) for top in (6.0, 4.0)]
        errors = []
        for codes in both:
            factor = (values[codes] * g)[:, np.newaxis]
            made = spec.element_format.values[rule.compared(x, codes)] * factor
            # Exact for bf16 and fp16: numbers of a block that are not rounded to zero span few binades.
            errors.append((made * (made - 2 * x.astype(np.float64))).sum(axis=1))
        two = both[0] != both[1]
        return {
            "S6 of two": two & (taken == both[0]),
            "S4 of two": two & (taken == both[1]),
            "both are one": ~two,
            "S6 is zero and S4 is not": (values[both[0]] == 0) & (values[both[1]] != 0),
            "equal errors": two & (errors[0] == errors[1]),
        }
