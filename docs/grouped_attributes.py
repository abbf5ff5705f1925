"""Docstrings as the site reads them: attributes that share a line and a text get a line each.

``a, b: The numbers.`` is how a docstring says it in short. griffe, which parses docstrings for the site,
takes one name a line, and would read the other names as a type.
"""

import re
from typing import Any, Final

import griffe

__all__ = ["GroupedAttributes"]

_GROUP: Final = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)$", re.MULTILINE)


class GroupedAttributes(griffe.Extension):
    """Gives each name of a group of attributes the text of the group."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Rewrite a class's docstring behind ``Attributes:``, before anything parses it."""
        if cls.docstring is None:
            return
        text, heading, attributes = cls.docstring.value.partition("Attributes:\n")
        cls.docstring.value = text + heading + _GROUP.sub(_apart, attributes)


def _apart(group: re.Match[str]) -> str:
    indentation, names, text = group.groups()
    return "\n".join(f"{indentation}{name}: {text}" for name in names.split(", "))
