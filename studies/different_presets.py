"""The published tensor cores that differ: presets that compute the same count once."""

from blockdot.model import DotSpec
from blockdot.model.presets import PRESETS

__all__ = ["different_presets"]


def different_presets() -> dict[str, DotSpec]:
    """Return the specification of each preset that differs from all before it, by its name."""
    found: dict[DotSpec, str] = {}
    for name, preset in PRESETS.items():
        found.setdefault(preset.spec, name)
    return {name: spec for spec, name in found.items()}
