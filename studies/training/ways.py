"""The ways in which the model is trained: what its products take, and how they add."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from blockdot.frameworks.quantized_product import QuantizedProduct
from blockdot.model import DotSpec
from blockdot.model.formats import Rounding

__all__ = ["FLOAT", "WAYS", "Way", "chosen_ways", "way_of"]


@dataclass(frozen=True)
class Way:
    """How the linear layers multiply, forwards and backwards.

    Attributes:
        element: The format of elements; None for float32 products.
        scale: The format of scales.
        block_size: Elements under one scale.
        activations: Whether activations are quantized too, not weights and gradients alone.
        tensor_scale: Whether each operand is divided by a tensor scale first.
        gradients: How gradients are rounded. All else is rounded to nearest even.
        accumulate: How a unit adds; None for float32 products of what the codes are worth.
        fraction: Bits that aligned sums keep.
    """

    element: str | None = None
    scale: str = "ue8m0"
    block_size: int = 32
    activations: bool = False
    tensor_scale: bool = False
    gradients: Rounding = "nearest_even"
    accumulate: Literal["fp32", "exact", "aligned"] | None = None
    fraction: int = 35

    def _product(self, coded: Literal["both", "a", "b"], rounding: Rounding) -> QuantizedProduct:
        assert self.element is not None
        spec = DotSpec(
            element=self.element,
            scale=self.scale,
            block_size=self.block_size,
            accumulate=self.accumulate or "none",
            fraction=self.fraction,
        )
        return QuantizedProduct(
            spec,
            # Powers of two are chosen as the OCP's specification of microscaling formats does.
            method="floor" if self.scale == "ue8m0" else "absmax",
            tensor_scale=self.tensor_scale,
            rounding=(rounding, "nearest_even"),
            coded=coded,
            approximate=self.accumulate is None,
        )

    def products(self) -> tuple[QuantizedProduct, tuple[QuantizedProduct, QuantizedProduct]]:
        """Return the product of activations and weights, and those of the two gradients.

        The gradient of the activations is made of gradients and weights, that of the weights of gradients
        and activations.
        """
        return (
            self._product("both" if self.activations else "b", "nearest_even"),
            (
                self._product("both", self.gradients),
                self._product("both" if self.activations else "a", self.gradients),
            ),
        )

    @property
    def label(self) -> str:
        """The way in a few words."""
        if self.element is None:
            return "float32"
        words = [f"{self.element} {self.scale} N={self.block_size}"]
        words += ["tensor scale"] if self.tensor_scale else []
        words += ["activations too"] if self.activations else []
        words += ["nearest gradients"] if self.element == "e2m1" and self.gradients == "nearest_even" else []
        if self.accumulate is not None:
            bits = f" of {self.fraction} bits" if self.accumulate == "aligned" else ""
            words.append(f"{self.accumulate} sums{bits}")
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record."""
        return asdict(self)


def way_of(row: dict[str, Any]) -> Way:
    """Return the way that a stored run was trained in."""
    return Way(**{name: row[name] for name in Way().to_dict()})


FLOAT: Final = Way()
"""What the others are compared with."""

# What arXiv 2510.01863 trains with. Powers of two are shared by 32 elements, as the OCP's formats have it.
_BYTES: Final = ("e4m3", "e5m2", "e3m4")


def _one_byte(*, activations: bool) -> list[Way]:
    return [Way(element, activations=activations) for element in _BYTES]


def _fp4(scale: str, *, activations: bool = True, tensor_scale: bool = False) -> Way:
    size = 32 if scale == "ue8m0" else 16
    return Way("e2m1", scale, size, activations, tensor_scale, "stochastic")


WAYS: Final = (
    FLOAT,
    *_one_byte(activations=False),
    *_one_byte(activations=True),
    _fp4("ue4m3", tensor_scale=True),
    _fp4("ue5m3", tensor_scale=True),
    _fp4("ue8m0"),
    # Gradients are small: without a tensor scale, the scale format needs the exponents for them.
    _fp4("ue4m3"),
    _fp4("ue5m3"),
    Way("e2m1", "ue4m3", 16, activations=True, tensor_scale=True),
    # The bits of units, whose sums differ. Tensor cores of the Hopper generation keep 13 bits for FP8.
    Way("e4m3", activations=True, accumulate="fp32"),
    Way("e4m3", activations=True, accumulate="exact"),
    Way("e4m3", activations=True, accumulate="aligned", fraction=13),
    _fp4("ue4m3", activations=False, tensor_scale=True),
    _fp4("ue5m3", activations=False, tensor_scale=True),
    _fp4("ue8m0", activations=False),
)
"""Every way, float32 first, then what says most."""


def chosen_ways(words: Iterable[str]) -> list[Way]:
    """Return the ways that have every word in their labels.

    Raises:
        ValueError: If there is none.
    """
    words = list(words)
    found = [way for way in WAYS if all(word in way.label for word in words)]
    if not found:
        raise ValueError(f"only must be words of the ways' labels, not {' '.join(words)!r}")
    return found
