"""What can be priced, what each unit is compared with, and how reports name it."""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

from ...hw.config import UnitConfig
from ...hw.dequantizer_config import DequantizerConfig
from ...hw.quantizer_config import QuantizerConfig

__all__ = ["PricedUnit", "bases_of", "key_parts", "kin_of", "unit_record"]

PricedUnit = UnitConfig | QuantizerConfig | DequantizerConfig
"""A dot-product unit, a tile of them, a quantizer, or a dequantizer."""

_Unit = TypeVar("_Unit", UnitConfig, QuantizerConfig, DequantizerConfig, PricedUnit)


def kin_of(unit: PricedUnit) -> tuple[object, ...]:
    """Return what a unit has in common with all that it is compared with.

    Dequantizers differ in their scale format alone; dot-product units in that, and whether there is a tensor
    scale. Quantizers differ in how they
    choose scales and round: in scale format, method, rounding, and whether there is a tensor scale.
    """
    if isinstance(unit, QuantizerConfig):
        spec: object = ("quantizer", unit.spec.element, unit.spec.block_size, unit.spec.input)
    elif isinstance(unit, DequantizerConfig):
        spec = ("dequantizer", unit.spec.element, unit.spec.block_size, unit.spec.output)
    else:
        spec = replace(unit.spec, scale="ue4m3", tensor_scale=False)
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
    own = f" {unit.tile} {unit.segment}" if isinstance(unit, UnitConfig) else ""
    if isinstance(unit, QuantizerConfig) and unit.serial:
        own = " serial"
    return [repr(unit.spec), f"{unit.stages} {unit.optimise}{own} {order}{flow}"]


def unit_record(unit: PricedUnit) -> dict[str, Any]:
    """Return a unit as reports give it: a JSON record with a column for each part of its specification.

    That of a quantizer or a dequantizer has null for what only dot-product units have, and columns of its own
    behind.
    """
    common: dict[str, Any] = {"unit": unit.name, "spec": unit.spec.name}
    built = {"stages": unit.stages, "optimise": unit.optimise}
    if not isinstance(unit, UnitConfig):
        common |= {"element": [unit.spec.element], "scale": [unit.spec.scale]}
        common |= {"block_size": unit.spec.block_size, **dict.fromkeys(("blocks", "accumulate", "guard"))}
        common |= {**built, **dict.fromkeys(("tile", "segment"))}
        if isinstance(unit, DequantizerConfig):
            return {**common, "output": unit.spec.output}
        quantizer = unit.spec
        return {
            **common,
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
        "tensor_scale": spec.tensor_scale,
    }
