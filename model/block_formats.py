"""What the specifications of units that make blocks, or unmake them, have in common: formats and size."""

from dataclasses import dataclass
from functools import cached_property

from ..base.argument_checks import require_int
from . import formats
from .formats import Format

__all__ = ["BlockFormats"]


@dataclass(frozen=True, init=False)
class BlockFormats:
    """The two formats of a block, by name, and how many elements it has."""

    element: str
    scale: str
    block_size: int

    def _set_block(self, element: str | Format, scale: str | Format, block_size: int) -> None:
        """Set the formats and the size; the constructor of a frozen specification calls this first.

        Raises:
            TypeError: If a parameter is of the wrong kind.
            ValueError: If there is no such format, or the size is no power of two from 2 to 128.
        """
        of_element = formats.require_format("element", element, signed=True)
        of_scale = formats.require_format("scale", scale, signed=False)
        # The formats themselves are kept as well: they go along to another process.
        self._set(
            element=of_element.name,
            scale=of_scale.name,
            element_format=of_element,
            scale_format=of_scale,
            block_size=require_int("block_size", block_size),
        )
        if self.block_size not in (2, 4, 8, 16, 32, 64, 128):
            raise ValueError(f"block_size must be a power of two from 2 to 128, not {self.block_size}")

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @cached_property
    def element_format(self) -> Format:
        """The element format."""
        return formats.get(self.element)

    @cached_property
    def scale_format(self) -> Format:
        """The scale format."""
        return formats.get(self.scale)
