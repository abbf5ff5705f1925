"""Boolean expressions of a Liberty file as functions that Python runs fast."""

from collections.abc import Callable, Iterable
from typing import Any

from .liberty import CellFunction

__all__ = ["compiled_function"]


def compiled_function(text: str, pins: Iterable[str]) -> Callable[..., int]:
    """Return an expression as a function of the integer of ones and then of the pins in their order.

    The bits of each integer are independent cases.
    """
    symbols: dict[str, Any] = {pin: _Symbol(f"p{place}") for place, pin in enumerate(pins)}
    result = CellFunction(text).evaluate(symbols, _Symbol("every"))
    # A constant function is the integer 0, or the integer of ones itself.
    body = result.text if isinstance(result, _Symbol) else "0"
    arguments = ", ".join(["every", *(symbol.text for symbol in symbols.values())])
    return eval(f"lambda {arguments}: {body}", {})


class _Symbol:
    """Stands for an integer in a Boolean expression, and writes the expression down."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __and__(self, other: "_Symbol") -> "_Symbol":
        return _Symbol(f"({self.text} & {other.text})")

    def __or__(self, other: "_Symbol") -> "_Symbol":
        return _Symbol(f"({self.text} | {other.text})")

    def __xor__(self, other: "_Symbol") -> "_Symbol":
        return _Symbol(f"({self.text} ^ {other.text})")

    def __invert__(self) -> "_Symbol":
        return _Symbol(f"~{self.text}")
