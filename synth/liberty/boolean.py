"""Liberty's Boolean expressions."""

import functools
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

__all__ = ["CellFunction"]

_TOKEN: Final = re.compile(r"\s*([A-Za-z_0-9][\w.\[\]]*|[()!'*&+|^])\s*")
_Operator = Literal["name", "not", "and", "or", "xor"]


class _Node(NamedTuple):
    """An operator with its operands, or a name: a pin, ``0`` or ``1``."""

    operator: _Operator
    name: str = ""
    operands: tuple["_Node", ...] = ()

    def __str__(self) -> str:
        if self.operator == "name":
            return self.name
        if self.operator == "not":
            return f"!{self.operands[0]}"
        return f"({_SIGNS[self.operator].join(map(str, self.operands))})"


_SIGNS: Final[Mapping[_Operator, str]] = {"and": "*", "or": "+", "xor": "^"}
_JOIN: Final[Mapping[_Operator, Callable[[Any, Any], Any]]] = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}
# No gate's function is nested as deep; what reads one calls itself.
_DEPTH: Final = 40
_NEGATIONS: Final = re.compile(r"(?:!\s*){5}|(?:'\s*){5}")


class CellFunction:
    """A Liberty Boolean expression: ``!`` and postfix ``'`` bind tightest, then XOR, AND, OR.

    Args:
        text: The expression. Operands side by side are an AND too.

    Raises:
        ValueError: If it is none.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position = 0
        while position < len(text):
            token = _TOKEN.match(text, position)
            if token is None:
                raise ValueError(text)
            position = token.end()
            self._tokens.append(token[1])
        depths = itertools.accumulate({"(": 1, ")": -1}.get(token, 0) for token in self._tokens)
        if max(depths, default=0) > _DEPTH or _NEGATIONS.search(text):
            raise ValueError(text)
        self._position = 0
        self._root = self._or()
        if self._position != len(self._tokens):
            raise ValueError(text)

    def __str__(self) -> str:
        """The expression with every operator in parentheses, so that no order of binding matters."""
        return str(self._root)

    @property
    def names(self) -> frozenset[str]:
        """The names in it, without the constants."""
        return frozenset(_names(self._root)) - {"0", "1"}

    def evaluate(self, columns: Mapping[str, Any], every: Any) -> Any:
        """Return the truth table as an integer; `columns` holds that of each name, `every` that of 1.

        Anything that has Python's bitwise operators will do in an integer's place.

        Raises:
            ValueError: If it has a name that is not in `columns`.
        """
        if unknown := self.names - columns.keys():
            raise ValueError(f"{self._text}: {min(unknown)}")
        return _evaluated(self._root, {**columns, "0": every & ~every, "1": every}, every)

    # Each of these reads what its operator binds.

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _or(self) -> _Node:
        operands = [self._and()]
        while self._peek() in ("+", "|"):
            self._position += 1
            operands.append(self._and())
        return _joined("or", operands)

    def _and(self) -> _Node:
        operands = [self._xor()]
        while (token := self._peek()) and token not in ("+", "|", ")"):
            if token in ("*", "&"):
                self._position += 1
            operands.append(self._xor())
        return _joined("and", operands)

    def _xor(self) -> _Node:
        operands = [self._operand()]
        while self._peek() == "^":
            self._position += 1
            operands.append(self._operand())
        return _joined("xor", operands)

    def _operand(self) -> _Node:
        token = self._peek()
        self._position += 1
        if token == "!":
            return _Node("not", operands=(self._operand(),))
        if token == "(":
            node = self._or()
            if self._peek() != ")":
                raise ValueError(self._text)
            self._position += 1
        elif token and token not in "*&+|^')":
            node = _Node("name", token)
        else:
            raise ValueError(self._text)
        while self._peek() == "'":
            self._position += 1
            node = _Node("not", operands=(node,))
        return node


def _joined(operator: _Operator, operands: list[_Node]) -> _Node:
    return operands[0] if len(operands) == 1 else _Node(operator, operands=tuple(operands))


def _names(node: _Node) -> Iterator[str]:
    if node.operator == "name":
        yield node.name
    for operand in node.operands:
        yield from _names(operand)


def _evaluated(node: _Node, columns: Mapping[str, Any], every: Any) -> Any:
    if node.operator == "name":
        return columns[node.name]
    values = [_evaluated(operand, columns, every) for operand in node.operands]
    if node.operator == "not":
        return every & ~values[0]
    return functools.reduce(_JOIN[node.operator], values)
