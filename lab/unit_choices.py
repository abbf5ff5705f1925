"""Which units a run of the price lab measures, as lists of choices: every combination of them is a unit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, cast

from ..hw.config import Optimise, UnitConfig, keeps_carries, least_stages
from ..hw.dequantizer_config import DequantizerConfig
from ..hw.quantizer_config import QuantizerConfig
from ..model import DequantizerSpec, DotSpec, QuantizerSpec
from ..model.accumulate import ACCUMULATIONS
from ..model.dequantizer import OutputName
from ..model.formats import Format, require_format
from ..model.quantize import require_method
from ..model.quantizer import InputName, QuantizerMethod, QuantizerRounding
from ..model.spec import Accumulate

__all__ = [
    "COMPARED_ACCUMULATES",
    "COMPARED_SCALES",
    "DequantizerChoices",
    "PresetChoices",
    "QuantizerChoices",
    "UnitChoices",
]

COMPARED_SCALES: Final = ("ue4m3", "ue5m3")
"""The scale formats that are compared where none are asked for."""

COMPARED_ACCUMULATES: Final = ("none", "fp32", "exact")
"""The accumulations that are measured where none are asked for."""

# What one format, or two different ones for a and b, is called by.
FormatNames = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class UnitChoices:
    """Units to measure, as lists of choices: every combination of them is a unit.

    Attributes:
        elements: Element formats.
        scales: Scale formats; the first is what the others are compared with.
        block_sizes: Elements under one scale.
        blocks: Blocks taken at once.
        accumulates: Accumulations.
        guards: Guard bits; they matter to ``exact`` alone.
        stages: Register stages; None is the least there can be.
        optimise: Forms of the components, ``area`` or ``delay``.
        segments: Bits of the accumulator behind which a carry is kept, 0 for none; for ``exact`` alone.
        results: What results are.
        takes_c: Whether sums start at C; without effect where there are none.
        tensor_scales: Whether results are multiplied by a tensor scale; not where sums start at C, and not of
            results that are not binary32.
    """

    elements: Sequence[FormatNames] = ("e2m1",)
    scales: Sequence[FormatNames] = COMPARED_SCALES
    block_sizes: Sequence[int] = (16,)
    blocks: Sequence[int] = (1,)
    accumulates: Sequence[str] = COMPARED_ACCUMULATES
    guards: Sequence[int] = (16,)
    stages: Sequence[int | None] = (None,)
    optimise: Sequence[str] = ("area",)
    segments: Sequence[int] = (0,)
    results: Sequence[str] = ("binary32",)
    takes_c: Sequence[bool] = (False,)
    tensor_scales: Sequence[bool] = (False,)

    def units(self) -> list[UnitConfig]:
        """Return every combination; those that differ in what does not concern them are one.

        Raises:
            ValueError: If a choice is outside its domain or concerns none of the units, or a scale format is
                named twice.
        """
        _check_choices(self.optimise, self.scales)
        units: dict[UnitConfig, None] = {}
        combinations = product(
            self.elements,
            self.block_sizes,
            self.blocks,
            self.accumulates,
            self.guards,
            self.stages,
            self.optimise,
            self.segments,
            product(self.results, self.takes_c),
            product(self.scales, self.tensor_scales),
        )
        for (
            element,
            block_size,
            blocks,
            accumulate,
            guard,
            stages,
            form,
            segment,
            ends,
            scales,
        ) in combinations:
            (result, c), (scale, tensor_scale) = ends, scales
            accumulation = ACCUMULATIONS[accumulate]
            spec = DotSpec(
                element=element,
                scale=scale,
                block_size=block_size,
                blocks=blocks,
                accumulate=cast("Accumulate", accumulate),
                guard=guard if accumulation.guard else 16,
                result=result,
                takes_c=c and accumulation.starts_at_c,
                tensor_scale=tensor_scale,
            )
            unit = UnitConfig(
                spec,
                stages=least_stages(spec) if stages is None else stages,
                optimise=cast("Optimise", form),
                segment=(segment or None) if keeps_carries(spec) else None,
            )
            units[unit] = None
        self._require_effect(list(units))
        return list(units)

    def _require_effect(self, units: Sequence[UnitConfig]) -> None:
        """Raise ValueError for a choice that no unit has, as none of the accumulations has such a thing."""
        for name, choices, had in (
            ("guards", self.guards, {unit.spec.guard for unit in units}),
            ("segments", self.segments, {unit.segment or 0 for unit in units}),
            ("takes_c", self.takes_c, {unit.spec.takes_c for unit in units}),
        ):
            for choice in choices:
                if choice not in had:
                    accumulates = ", ".join(self.accumulates)
                    raise ValueError(
                        f"{name} must go with an accumulation that has them, not {choice} with {accumulates}"
                    )


@dataclass(frozen=True, kw_only=True)
class PresetChoices:
    """Published tensor cores to measure: what one step of each computes.

    Attributes:
        presets: Their names, see `DotSpec.preset`.
        takes_c: Whether sums start at C.
        tensor_scales: Whether results are multiplied by a tensor scale.
        stages: Register stages; None is the least there can be.
        optimise: Forms of the components, ``area`` or ``delay``.
    """

    presets: Sequence[str]
    takes_c: Sequence[bool] = (False,)
    tensor_scales: Sequence[bool] = (False,)
    stages: Sequence[int | None] = (None,)
    optimise: Sequence[str] = ("area",)

    def units(self) -> list[UnitConfig]:
        """Return every combination; presets that compute the same are one.

        Raises:
            ValueError: If a choice is outside its domain.
        """
        _check_forms(self.optimise)
        specs = [
            replace(DotSpec.preset(name), takes_c=c, tensor_scale=scaled)
            for name, c, scaled in product(self.presets, self.takes_c, self.tensor_scales)
        ]
        units = {
            UnitConfig(
                spec,
                stages=least_stages(spec) if stages is None else stages,
                optimise=cast("Optimise", form),
            ): None
            for spec, stages, form in product(specs, self.stages, self.optimise)
        }
        return list(units)


@dataclass(frozen=True, kw_only=True)
class QuantizerChoices:
    """Quantizers to measure, as lists of choices: every combination of them is a unit.

    A method that a scale format cannot have (``floor`` with ``ue4m3``) is left out for it. Of the units with
    the same elements, block size, input and form, the first is what the others are compared with: the one of
    the first method, scale, rounding and tensor scale.

    Attributes:
        elements: Element formats.
        scales: Scale formats.
        block_sizes: Elements under one scale.
        inputs: Formats of the numbers: ``bf16``, ``fp16``, ``fp32``.
        methods: How scales are chosen.
        roundings: How elements are rounded.
        tensor_scales: Whether there is a tensor scale.
        stages: Register stages; None is the one register of the outputs.
        optimise: Forms of the components, ``area`` or ``delay``.
        serials: Whether they take a number a cycle, and not a whole block.
    """

    elements: Sequence[str] = ("e2m1",)
    scales: Sequence[str] = COMPARED_SCALES
    block_sizes: Sequence[int] = (16,)
    inputs: Sequence[str] = ("bf16",)
    methods: Sequence[str] = ("absmax",)
    roundings: Sequence[str] = ("nearest_even",)
    tensor_scales: Sequence[bool] = (False,)
    stages: Sequence[int | None] = (None,)
    optimise: Sequence[str] = ("area",)
    serials: Sequence[bool] = (False,)

    def units(self) -> list[QuantizerConfig]:
        """Return every combination.

        Raises:
            ValueError: If a choice is outside its domain, a scale format is named twice, or a method fits
                none of the scale formats.
        """
        _check_choices(self.optimise, self.scales)
        ways = [
            (element, method, scale)
            for element in self.elements
            for method, scale in self._fitting(require_format("element", element, signed=True))
        ]
        combinations = product(
            self.block_sizes,
            self.inputs,
            self.stages,
            self.optimise,
            self.serials,
            self.tensor_scales,
            self.roundings,
            ways,
        )
        units: dict[QuantizerConfig, None] = {}
        for block_size, number, stages, form, serial, tensor_scale, rounding, way in combinations:
            element, method, scale = way
            spec = QuantizerSpec(
                element=element,
                scale=scale,
                block_size=block_size,
                input=cast("InputName", number),  # `QuantizerSpec` refuses what is none, here and below
                method=cast("QuantizerMethod", method),
                rounding=cast("QuantizerRounding", rounding),
                tensor_scale=tensor_scale,
            )
            unit = QuantizerConfig(
                spec,
                stages=1 if stages is None else stages,
                optimise=cast("Optimise", form),
                serial=serial,
            )
            units[unit] = None
        return list(units)

    def _fitting(self, element: Format) -> list[tuple[str, str]]:
        """Return the methods with the scale formats that each can have; each of both at least once."""
        found: list[tuple[str, str]] = []
        misfits: list[tuple[str, str, ValueError]] = []
        for method, scale in product(self.methods, self.scales):
            try:
                require_method(method, element, require_format("scale", scale, signed=False))
            except ValueError as misfit:
                misfits.append((method, scale, misfit))
            else:
                found.append((method, scale))
        for method, scale, misfit in misfits:
            if all(method != one for one, _ in found) or all(scale != one for _, one in found):
                raise misfit
        return found


@dataclass(frozen=True, kw_only=True)
class DequantizerChoices:
    """Dequantizers to measure, as lists of choices: every combination of them is a unit.

    Attributes:
        elements: Element formats.
        scales: Scale formats; the first is what the others are compared with.
        block_sizes: Elements under one scale.
        output_formats: Formats of the numbers: ``bf16``, ``fp32``.
        stages: Register stages; None is the one register of the output.
        optimise: Forms of the components, ``area`` or ``delay``.
    """

    elements: Sequence[str] = ("e2m1",)
    scales: Sequence[str] = COMPARED_SCALES
    block_sizes: Sequence[int] = (16,)
    output_formats: Sequence[str] = ("bf16",)
    stages: Sequence[int | None] = (None,)
    optimise: Sequence[str] = ("area",)

    def units(self) -> list[DequantizerConfig]:
        """Return every combination.

        Raises:
            ValueError: If a choice is outside its domain, or a scale format is named twice.
        """
        _check_choices(self.optimise, self.scales)
        combinations = product(
            self.elements, self.block_sizes, self.output_formats, self.stages, self.optimise, self.scales
        )
        units = {
            DequantizerConfig(
                DequantizerSpec(
                    element=element,
                    scale=scale,
                    block_size=block_size,
                    output=cast("OutputName", output),  # `DequantizerSpec` refuses what is none
                ),
                stages=1 if stages is None else stages,
                optimise=cast("Optimise", form),
            ): None
            for element, block_size, output, stages, form, scale in combinations
        }
        return list(units)


def _check_forms(optimise: Sequence[str]) -> None:
    if unknown := set(optimise) - {"area", "delay"}:
        raise ValueError(f"optimise must be area or delay, not {min(unknown)!r}")


def _check_choices(optimise: Sequence[str], scales: Sequence[FormatNames]) -> None:
    _check_forms(optimise)
    if len(set(scales)) != len(scales):
        named = (scale if isinstance(scale, str) else "x".join(scale) for scale in scales)
        raise ValueError(f"scales must differ, not be {', '.join(named)}")
