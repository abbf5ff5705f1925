from collections.abc import Iterable
from typing import Any

from torch import Tensor

class AdamW:
    param_groups: list[dict[str, Any]]
    def __init__(self, parameters: Iterable[Tensor], *, lr: float, betas: tuple[float, float]) -> None: ...
    def zero_grad(self) -> None: ...
    def step(self) -> None: ...
