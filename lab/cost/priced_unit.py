"""What can be priced, what each unit is compared with, and how reports name it."""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

from ...hw.config import UnitConfig
from ...hw.quantizer_config import QuantizerConfig

__all__ = ["PricedUnit", "bases_of", "key_parts", "kin_of", "unit_record"]

PricedUnit = UnitConfig | QuantizerConfig
"""A dot-product unit, a tile of them, or a quantizer."""

_Unit = TypeVar("_Unit", UnitConfig, QuantizerConfig, PricedUnit)


def kin_of(unit: PricedUnit) -> tuple[object, ...]:
    """Return what a unit has in common with all that it is compared with.

    Dot-product units differ in their scale format alone. Quantizers differ in how they choose scales and
    round: in scale format, method, rounding, and whether there is a tensor scale.
    """
    if isinstance(unit, QuantizerConfig):
        spec: object = ("quantizer", unit.spec.element, unit.spec.block_size, unit.spec.input)
    else:
        spec = replace(unit.spec, scale="ue4m3")
    return (spec, *(getattr(unit, field.name) for field in fields(unit) if field.name != "spec"))


def bases_of(units: Iterable[_Unit]) -> dict[_Unit, _Unit]:
    """Return what each unit is compared with: of those with the same `kin_of`, the first.

    The first ones themselves are left out.
    """
    first: dict[tuple[object, ...], _Unit] = {}
    return {unit: base for unit in units if (base := first.setdefault(kin_of(unit), unit)) != unit}


def key_parts(unit: PricedUnit, order: int) -> list[str]:
    """Return what tells the netlist of a unit in an order from every other."""
    flow = "" if unit.flow == "stream" else f" {unit.flow}"
    own = "" if isinstance(unit, QuantizerConfig) else f" {unit.tile} {unit.segment}"
    return [repr(unit.spec), f"{unit.stages} {unit.optimise}{own} {order}{flow}"]


def unit_record(unit: PricedUnit) -> dict[str, Any]:
    """Return a unit as reports give it: a JSON record with a column for each part of its specification.

    A quantizer's has null for what only dot-product units have, and columns of its own behind.
    """
    common = {"unit": unit.name, "spec": unit.spec.name}
    built = {"stages": unit.stages, "optimise": unit.optimise}
    if isinstance(unit, QuantizerConfig):
        quantizer = unit.spec
        return {
            **common,
            "element": [quantizer.element],
            "scale": [quantizer.scale],
            "block_size": quantizer.block_size,
            **dict.fromkeys(("blocks", "accumulate", "guard")),
            **built,
            **dict.fromkeys(("tile", "segment")),
            "input": quantizer.input,
            "method": quantizer.method,
            "rounding": quantizer.rounding,
            "tensor_scale": quantizer.tensor_scale,
        }
    spec = unit.spec
    return {
        **common,
        "element": [fmt.name for fmt in spec.elements],
        "scale": [fmt.name for fmt in spec.scales],
        "block_size": spec.block_size,
        "blocks": spec.blocks,
        "accumulate": spec.accumulate,
        "guard": spec.guard,
        **built,
        "tile": None if unit.tile is None else list(unit.tile),
        "segment": unit.segment,
    }
