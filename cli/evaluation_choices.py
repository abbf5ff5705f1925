"""The ways of quantizing a language model that the options of ``blockdot evaluate`` ask for."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..lab.language.arithmetic import LEFT_ALONE, OPERANDS, Arithmetic, LeftAlone, Operands, combine
from ..lab.quality.quantization_error import Quantization, combinations
from ..model import DotSpec
from ..model.formats import Rounding
from ..model.quantize import Method, QuantizeRecipe
from ..model.spec import Accumulate

__all__ = ["EvaluationChoices", "left_alone_of", "operands_of"]

_SCALES: Final = ("ue4m3", "ue5m3")
_SIZES: Final = (8, 16)


@dataclass(frozen=True, kw_only=True)
class EvaluationChoices:
    """What the options ask for; None where one was not given."""

    element: Sequence[str] | None
    scale: Sequence[str] | None
    block_size: Sequence[int] | None
    methods: Sequence[str]
    rounding: Rounding
    tensor_scales: Sequence[bool]
    recipe: QuantizeRecipe | None
    operands: Sequence[Operands]
    activation_methods: Sequence[Method | None]
    accumulates: Sequence[Accumulate] | None
    blocks: int
    guard: int
    fraction: int
    narrows: Sequence[int]
    left_alone: tuple[LeftAlone, ...]

    def ways(self) -> list[Arithmetic]:
        """Return the sweep."""
        ways = self._quantizations(
            self.element or ["e2m1"],
            self.scale or (_SCALES[:1] if self.recipe else _SCALES),
            self.block_size or ([16] if self.recipe else _SIZES),
        )
        return combine(
            ways,
            self.operands,
            self.accumulates or ["none"],
            activation_methods=self.activation_methods,
            blocks=self.blocks,
            guard=self.guard,
            fraction=self.fraction,
            narrows=self.narrows,
            left_alone=self.left_alone,
        )

    def of_presets(self, names: Sequence[str]) -> list[Arithmetic]:
        """Return the sweep over published tensor cores.

        Raises:
            ValueError: If there is none of a name.
        """
        found: dict[Arithmetic, None] = {}
        for name in names:
            spec = DotSpec.preset(name)
            ways = self._quantizations([str(spec.element)], [str(spec.scale)], [spec.block_size])
            sweep = combine(
                ways,
                self.operands,
                [spec.accumulate],
                activation_methods=self.activation_methods,
                blocks=spec.blocks,
                fraction=spec.fraction,
                preset=name,
                narrows=self.narrows,
                left_alone=self.left_alone,
            )
            found |= dict.fromkeys(sweep)
        return list(found)

    def _quantizations(
        self, elements: Sequence[str], scales: Sequence[str], block_sizes: Sequence[int]
    ) -> list[Quantization]:
        return [
            way
            for element, scaled in itertools.product(elements, self.tensor_scales)
            for way in combinations(
                scales,
                block_sizes,
                self.methods,
                element,
                self.rounding,
                tensor_scale=scaled,
                recipe=self.recipe,
            )
        ]


def operands_of(names: Sequence[str] | None) -> list[Operands]:
    """Return what is quantized; nothing where that follows from the accumulation."""
    for name in names or ():
        if name not in OPERANDS:
            raise ValueError(f"operands must be one of {', '.join(OPERANDS)}, not {name!r}")
    return [name for name in OPERANDS if name in (names or ())]


def left_alone_of(names: Sequence[str] | None) -> tuple[LeftAlone, ...]:
    """Return what is left in float32."""
    if not names:
        return ("embeddings", "head")
    for name in names:
        if name not in (*LEFT_ALONE, "nothing"):
            raise ValueError(f"leave must be one of nothing, {', '.join(LEFT_ALONE)}, not {name!r}")
    if "nothing" in names and set(names) != {"nothing"}:
        raise ValueError(f"leave must be nothing alone, not {', '.join(names)}")
    return tuple(name for name in LEFT_ALONE if name in names)
