from typing import Any

from . import function as function

class Function:
    @classmethod
    def apply(cls, *values: Any) -> Any: ...
    @staticmethod
    def forward(*values: Any, **named: Any) -> Any: ...
    @staticmethod
    def backward(*values: Any, **named: Any) -> Any: ...
