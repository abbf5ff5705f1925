"""Products of float32 matrices by way of codes: how operands are quantized, and what multiplies them."""

from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_bool
from ..model import BlockTensor, DotSpec, quantize
from ..model.accumulate import ACCUMULATIONS
from ..model.formats import Rounding
from ..model.quantize import Method
from ..model.recipes import QuantizeRecipe

__all__ = ["CODED", "Coded", "QuantizedProduct"]

Coded = Literal["both", "a", "b"]

CODED: Final[tuple[Coded, ...]] = ("both", "a", "b")
"""Which operands of a product are quantized."""


@dataclass(frozen=True)
class QuantizedProduct:
    """How ``A @ B.T`` of float32 matrices A (M, K) and B (N', K) is computed from codes.

    Both are quantized in blocks along K by `blockdot.model.quantize`, in the formats and block size that
    `spec` has for a and for b, and multiplied by `blockdot.model.matmul`: the result has the bits of the
    unit. `matmul` works in tiles: beside operands and result it takes a few megabytes.

    Each option that `quantize` has is one value, or a pair of values where A and B differ.

    Args:
        spec: What the unit computes.
        method: How scales are chosen.
        tensor_scale: Whether the operand is divided by a tensor scale first. That of activations or gradients
            is made for all that a layer is given at once.
        rounding: Of elements and scales.
        recipe: Whose bits the codes are to have; None for those of `method`.
        coded: Which operands are quantized. A unit takes codes of both, so that ``a`` or ``b`` alone goes
            with `approximate`.
        approximate: Whether a float32 product of the values that the codes are worth takes the place of the
            unit's. That is faster. Its operands are the unit's to the bit, but its sums are not: it rounds
            where and in the order that the framework likes. What `spec` says of accumulation has no effect
            then.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or they do not go together.
    """

    spec: DotSpec
    _: KW_ONLY
    method: Method | tuple[Method, Method] = "absmax"
    tensor_scale: bool | tuple[bool, bool] = False
    rounding: Rounding | tuple[Rounding, Rounding] = "nearest_even"
    recipe: QuantizeRecipe | tuple[QuantizeRecipe | None, QuantizeRecipe | None] | None = None
    coded: Coded = "both"
    approximate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.spec, DotSpec):
            raise TypeError(f"spec must be a DotSpec, not {type(self.spec).__name__}")
        if self.coded not in CODED:
            raise ValueError(f"coded must be one of {', '.join(CODED)}, not {self.coded!r}")
        if self.coded != "both" and not self.approximate:
            raise ValueError(
                f"coded must be 'both' unless approximate is True, as units take codes of both, "
                f"not {self.coded!r}"
            )
        if not (self.approximate or self.spec.accumulates):
            sums = ", ".join(name for name in ACCUMULATIONS if ACCUMULATIONS[name].sums)
            raise ValueError(f"spec must have an accumulation that sums groups, {sums}, not be {self.spec}")
        if self.spec.scales[0].name == "none":
            raise ValueError(f"spec must have a scale format to quantize with, not be {self.spec}")
        for name in ("method", "tensor_scale", "rounding", "recipe"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != 2:
                raise ValueError(f"{name} must be one value or a pair of them, not {value!r}")
        require_bool("approximate", self.approximate)
        for index in (0, 1):
            require_bool("tensor_scale", self._option("tensor_scale", index))
            if self.codes(index):
                # What does not go together is refused here, not where the first tensor comes.
                self.quantize(
                    np.zeros((1, self.spec.block_size), np.float32), index, np.random.default_rng(0)
                )

    def codes(self, index: int) -> bool:
        """Return whether an operand is quantized: A is 0, B is 1."""
        return self.coded in ("both", "ab"[index])

    def _option(self, name: str, index: int) -> Any:
        value = getattr(self, name)
        return value[index] if isinstance(value, tuple) else value

    @property
    def draws(self) -> bool:
        """Whether an operand is rounded at random."""
        return any(self.codes(index) and self._option("rounding", index) == "stochastic" for index in (0, 1))

    @property
    def group(self) -> int:
        """What K must be a multiple of."""
        return self.spec.block_size * (1 if self.approximate else self.spec.blocks)

    @cached_property
    def label(self) -> str:
        """The specification's name, and each option that is not as by default."""
        words = [self.spec.name]
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value != one.default and one.name != "approximate":
                words.append(f"{one.name}={value!r}")
        words += ["approximate: sums are not the unit's"] if self.approximate else []
        return ", ".join(words)

    def quantize(self, values: npt.NDArray[np.float32], index: int, rng: np.random.Generator) -> BlockTensor:
        """Quantize an operand, A is 0 and B is 1, along its last axis.

        Raises:
            TypeError: What `blockdot.model.quantize` raises.
            ValueError: What `blockdot.model.quantize` raises.
        """
        return quantize(
            values,
            self.spec.elements[index],
            self.spec.scales[index],
            self.spec.block_size,
            self._option("method", index),
            self._option("tensor_scale", index),
            rounding=self._option("rounding", index),
            rng=rng,
            recipe=self._option("recipe", index),
        )

    def check_length(self, name: str, length: int) -> None:
        """Refuse a K that units do not take.

        Args:
            name: What a message calls it.
            length: K.

        Raises:
            ValueError: If it is no multiple of a group, or there are more groups than a sum may have.
        """
        if length % self.group:
            raise ValueError(f"{name} must be a multiple of {self.group} for {self.spec}, not {length}")
        most = None if self.approximate else self.spec.most_groups
        if most is not None and length > most * self.group:
            raise ValueError(f"{name} must be at most {most * self.group} for {self.spec}, not {length}")
