from collections.abc import Callable
from typing import TypeVar

_Method = TypeVar("_Method", bound=Callable[..., object])

def once_differentiable(method: _Method) -> _Method: ...
