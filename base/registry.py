"""Things that can be added by name: what a module knows is asked for here, and nothing matches a name."""

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by name, in the order in which they were added.

    Args:
        what: What a name stands for, as an error message says it.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._things: dict[str, T] = {}

    def register(self, name: str, thing: T) -> None:
        """Add a thing.

        Raises:
            ValueError: If there is one of that name.
        """
        if name in self._things:
            raise ValueError(f"{self.what} must have a new name, not {name!r}")
        self._things[name] = thing

    def unregister(self, name: str) -> None:
        """Take a thing away that was added.

        Raises:
            ValueError: If there is none of that name.
        """
        self[name]
        del self._things[name]

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise ValueError(f"{self.what} must be one of {', '.join(self._things)}, not {name!r}")
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._things))
