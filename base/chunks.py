"""How much of an array is worked on at a time."""

from typing import Final

__all__ = ["CHUNK"]

CHUNK: Final = 1 << 16
"""Values worked on at a time unless something asks for another number: arrays of so many fit into a cache."""
