from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, dtype

class Module:
    def named_modules(self) -> Iterator[tuple[str, Module]]: ...
    def register_forward_pre_hook(self, hook: Callable[[Module, Any], None]) -> Any: ...
    def extra_repr(self) -> str: ...

class Linear(Module):
    in_features: int
    out_features: int
    weight: Tensor
    bias: Tensor | None
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: dtype | None = None,
    ) -> None: ...
    def forward(self, input: Tensor) -> Tensor: ...
