"""Error messages, held to their last character."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def whole(message: str) -> str:
    """A pattern that matches just this message."""
    return f"^{re.escape(message)}$"


def untyped(value: object) -> Any:
    """The value itself, for arguments that a type checker refuses and a function must take or refuse."""
    return value


def check_messages(cases: Iterable[tuple[type[Exception], str, Callable[[], object]]]) -> None:
    """Each call must raise that very error with that very message."""
    for error, message, call in cases:
        with pytest.raises(error, match=whole(message)) as caught:
            call()
        assert caught.type is error
