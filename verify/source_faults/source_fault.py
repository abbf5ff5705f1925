"""A fault in the generator's source: one line of it changed into another."""

from dataclasses import dataclass

__all__ = ["SourceFault"]


@dataclass(frozen=True)
class SourceFault:
    """A fault in the source.

    Attributes:
        component: The component that it is in.
        name: What it is.
        file: The file, from ``hw`` on.
        right: What stands there, once.
        wrong: What is put in its place.
    """

    component: str
    name: str
    file: str
    right: str
    wrong: str
