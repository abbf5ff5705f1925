"""The specification of a quantizer unit: what codes it makes of a block, and by which name."""

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import cast_exactly, require_bool, require_codes, require_int
from ..base.chunks import CHUNK
from .block_formats import BlockFormats
from .formats import Format
from .quantize import quantize, require_method
from .scale_selection import SELECTIONS, Blocks, ScaleRule

__all__ = [
    "INPUTS",
    "QUANTIZER_METHODS",
    "QUANTIZER_ROUNDINGS",
    "InputFormat",
    "InputName",
    "QuantizerMethod",
    "QuantizerRounding",
    "QuantizerSpec",
]

InputName = Literal["bf16", "fp16", "fp32"]
QuantizerMethod = Literal["absmax", "prevent_zero", "four_over_six", "floor", "ceil"]
QuantizerRounding = Literal["nearest_even", "stochastic"]

QUANTIZER_METHODS: Final[tuple[QuantizerMethod, ...]] = get_args(QuantizerMethod)
"""Methods of `quantize` that a unit has."""

QUANTIZER_ROUNDINGS: Final[tuple[QuantizerRounding, ...]] = get_args(QuantizerRounding)
"""How a unit rounds elements."""

_NAME: Final = re.compile(
    r"quantize_(?P<input>[a-z0-9]+)_(?P<element>[a-z0-9]+)_(?P<scale>[a-z0-9_]+)_n(?P<block_size>\d+)"
    r"_(?P<method>[a-z_]+?)(?:_stochastic(?P<random_bits>\d+))?(?P<tensor_scale>_tensor)?"
)


@dataclass(frozen=True)
class InputFormat:
    """A format of IEEE 754's kind that a quantizer takes: sign, exponent, mantissa, from the top bit.

    Attributes:
        name: The name it is known by.
        exponent_bits: Width of the exponent field; all ones are infinity (mantissa zero) or NaN.
        mantissa_bits: Width of the mantissa field.
    """

    name: InputName
    exponent_bits: int
    mantissa_bits: int

    @property
    def bits(self) -> int:
        """Width of a code."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is subtracted from the exponent field."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def infinity_code(self) -> int:
        """The code of +Inf: the least magnitude that is no finite number."""
        return ((1 << self.exponent_bits) - 1) << self.mantissa_bits

    @property
    def dtype(self) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
        """How codes are kept in memory."""
        return np.dtype(np.uint16) if self.bits == 16 else np.dtype(np.uint32)

    def check(self, codes: npt.ArrayLike, name: str = "codes") -> npt.NDArray[np.unsignedinteger]:
        """Return `codes` as this format's dtype, having seen that no bit above the format is set.

        Raises:
            TypeError: If `codes` are not integers.
            ValueError: If a code is outside 0 to ``2**bits - 1``.
        """
        return require_codes(name, codes, self.bits, f"{self.name} codes").astype(self.dtype, copy=False)

    def to_float32(self, codes: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float32]:
        """Return the values of `codes`, of this format's dtype; each is one of float32."""
        match self.name:
            case "bf16":
                return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
            case "fp16":
                with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
                    return np.ascontiguousarray(codes).view(np.float16).astype(np.float32)
            case "fp32":
                return np.ascontiguousarray(codes).view(np.float32)

    def encode(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.unsignedinteger]:
        """Return the codes of float32 values, rounded to nearest, ties to even; a NaN becomes a quiet one."""
        match self.name:
            case "bf16":
                bits = np.ascontiguousarray(values).view(np.uint32)
                up = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
                rounded = np.where(np.isnan(values), bits | np.uint32(0x400000), bits + up)
                return (rounded >> np.uint32(16)).astype(np.uint16)
            case "fp16":
                with np.errstate(over="ignore", invalid="ignore"):
                    return values.astype(np.float16).view(np.uint16)
            case "fp32":
                return np.ascontiguousarray(values).view(np.uint32)


INPUTS: Final[dict[InputName, InputFormat]] = {
    fmt.name: fmt
    for fmt in (InputFormat("bf16", 8, 7), InputFormat("fp16", 5, 10), InputFormat("fp32", 8, 23))
}
"""The input formats by name."""


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


@dataclass(frozen=True, init=False)
class QuantizerSpec(BlockFormats):
    """What codes a quantizer unit makes of a block of numbers: nothing else, and nothing less.

    On finite input they are the codes that `quantize` gives with the same arguments, bit for bit, but for
    ``stochastic`` rounding, which is stated below. A block with a NaN or an infinity in it gets the scale
    format's NaN, and element codes 0. Subnormal inputs count in full.

    ``stochastic``: the scale is chosen as under ``nearest_even``. An element x under the scale S (times g)
    lies between two neighbours; it becomes the lower magnitude of the two, plus one step where
    ``floor(2**random_bits * position) + random >= 2**random_bits``. `position`, from 0 to 1, says exactly
    how far ``|x| / S`` stands between the neighbours. Each lane has random bits of its own: element k's are
    ``i_random[random_bits * k + random_bits - 1 : random_bits * k]``, and all of them belong to the block
    that is offered beside them. A magnitude at or beyond the element format's largest becomes the largest,
    whatever the random bits are; -1.984 under a scale of 1 in ``int8`` still has a neighbour, -2.

    Args:
        element: Element format, by name or as a `Format`, which is registered then. What is kept is the name.
        scale: Scale format, likewise; one with a NaN.
        block_size: Elements under one scale: a power of two from 2 to 128.
        input: Format of the numbers: ``bf16``, ``fp16`` or ``fp32``.
        method: How a block's scale is chosen; one of `QUANTIZER_METHODS`, which `quantize` explains.
        rounding: Of elements: ``nearest_even`` or ``stochastic``.
        random_bits: Random bits of one element under ``stochastic``: from 1 to 16. Without effect
            otherwise, where it reads 8.
        tensor_scale: Whether a scale g of the whole tensor, a binary32 number, comes with each block.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain, or does not go with another.
    """

    input: InputName
    method: QuantizerMethod
    rounding: QuantizerRounding
    random_bits: int
    tensor_scale: bool

    def __init__(
        self,
        *,
        element: str | Format = "e2m1",
        scale: str | Format = "ue4m3",
        block_size: int = 16,
        input: InputName = "bf16",
        method: QuantizerMethod = "absmax",
        rounding: QuantizerRounding = "nearest_even",
        random_bits: int = 8,
        tensor_scale: bool = False,
    ) -> None:
        self._set_block(element, scale, block_size)
        self._set(
            input=input,
            method=method,
            rounding=rounding,
            random_bits=require_int("random_bits", random_bits),
            tensor_scale=tensor_scale,
        )
        _require_one_of("input", input, tuple(INPUTS))
        _require_one_of("method", method, QUANTIZER_METHODS)
        _require_one_of("rounding", rounding, QUANTIZER_ROUNDINGS)
        require_method(method, self.element_format, self.scale_format)
        if self.scale_format.nan_code is None:
            raise ValueError(f"scale must have a NaN, for blocks with one in them, not be {self.scale!r}")
        # Up to here a quotient by S * g rounded to float64 has the same position, to the last of these bits.
        if not 1 <= self.random_bits <= 16:
            raise ValueError(f"random_bits must be from 1 to 16, not {self.random_bits}")
        object.__setattr__(self, "tensor_scale", require_bool("tensor_scale", tensor_scale))
        # One name, one specification: what has no effect must not tell two apart.
        if rounding == "nearest_even":
            object.__setattr__(self, "random_bits", 8)

    # Names.

    @property
    def name(self) -> str:
        """The stable short name, such as ``quantize_bf16_e2m1_ue4m3_n16_absmax``.

        ``_stochastic8`` follows, with the random bits, under ``stochastic``; then ``_tensor`` where there is
        a tensor scale.
        """
        random = f"_stochastic{self.random_bits}" if self.rounding == "stochastic" else ""
        tensor = "_tensor" if self.tensor_scale else ""
        formats_ = f"{self.input}_{self.element}_{self.scale}"
        return f"quantize_{formats_}_n{self.block_size}_{self.method}{random}{tensor}"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the specification of that `name`.

        Raises:
            ValueError: If `name` is not a specification's name, or a part of it is not allowed.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"specification must read like quantize_bf16_e2m1_ue4m3_n16_absmax, not {name!r}"
            )
        part = match.groupdict()
        return cls(
            element=part["element"],
            scale=part["scale"],
            block_size=int(part["block_size"]),
            input=part["input"],  # type: ignore[arg-type]  # the constructor refuses what is none
            method=part["method"],  # type: ignore[arg-type]  # the same
            rounding="stochastic" if part["random_bits"] else "nearest_even",
            random_bits=int(part["random_bits"] or 8),
            tensor_scale=part["tensor_scale"] is not None,
        )

    # The formats.

    @property
    def input_format(self) -> InputFormat:
        """The input format."""
        return INPUTS[self.input]

    @property
    def stochastic(self) -> bool:
        """Whether elements are rounded by random bits."""
        return self.rounding == "stochastic"

    # The numbers.

    def tensor_scale_of(self, values: npt.ArrayLike) -> float | None:
        """Return the g that `quantize` gives a tensor of these values; None where there is none."""
        if not self.tensor_scale:
            return None
        return quantize(
            values,
            element=self.element,
            scale=self.scale,
            block_size=self.block_size,
            method=self.method,
            tensor_scale=True,
        ).tensor_scale

    def compute(
        self,
        x: npt.ArrayLike,
        random: npt.ArrayLike | None = None,
        g: npt.ArrayLike | None = None,
    ) -> tuple[npt.NDArray[np.unsignedinteger], npt.NDArray[np.unsignedinteger]]:
        """Compute what the unit computes, bit for bit.

        Args:
            x: Input codes, shape (..., N): uint16 for ``bf16`` and ``fp16``, uint32 for ``fp32``.
            random: Under ``stochastic`` the random bits of each element, integers below
                ``2**random_bits`` of the same shape; else None.
            g: Where there is a tensor scale, what `x` is divided by before all else: positive finite float32
                values, shape (...) or one for all; else None. Quotients by g are not rounded on their own.

        Returns:
            Element codes, shape (..., N), and scale codes, shape (...).

        Raises:
            TypeError: If codes are not integers, or g is no real number.
            ValueError: If shapes do not fit, a code has a bit above its width, g is no positive finite
                float32 value, or `random` or `g` is missing or has no use.
        """
        codes = self.input_format.check(x, "x")
        size = self.block_size
        if not codes.ndim or codes.shape[-1] != size:
            raise ValueError(f"x must be shaped (..., {size}) for {self.name}, not {codes.shape}")
        lead = codes.shape[:-1]
        rows = math.prod(lead)
        for name, value, used in (("random", random, self.stochastic), ("g", g, self.tensor_scale)):
            if (value is not None) != used:
                rule = "be given" if used else "be None"
                raise ValueError(f"{name} must {rule} for {self.name}")
        draws = None
        if random is not None:
            draws = require_codes("random", random, self.random_bits, f"{self.random_bits}-bit numbers")
            if draws.shape != codes.shape:
                raise ValueError(f"random must be shaped {codes.shape} to fit x, not {draws.shape}")
            draws = draws.reshape(rows, size)
        factors = 1.0 if g is None else self._factors(g, lead)

        flat = codes.reshape(rows, size)
        elements = np.empty(flat.shape, self.element_format.dtype)
        scales = np.empty(rows, self.scale_format.dtype)
        step = max(1, CHUNK // size)
        for start in range(0, rows, step):
            part = slice(start, start + step)
            elements[part], scales[part] = self._compute_rows(
                self.input_format.to_float32(flat[part]),
                None if draws is None else draws[part],
                factors[part] if isinstance(factors, np.ndarray) else factors,
            )
        return elements.reshape(codes.shape), scales.reshape(lead)

    def _factors(self, g: npt.ArrayLike, lead: tuple[int, ...]) -> float | npt.NDArray[np.float64]:
        """Return g as one number for all rows, or one for each."""
        values = cast_exactly(g, np.float32, "g")
        if not (np.isfinite(values) & (values > 0)).all():
            wrong = values[~(np.isfinite(values) & (values > 0))].flat[0]
            raise ValueError(f"g must be positive and finite, not {float(wrong)}")
        if not values.ndim:
            return float(values)
        if values.shape != lead:
            raise ValueError(f"g must be one number or shaped {lead} to fit x, not {values.shape}")
        return values.reshape(-1).astype(np.float64)

    def _compute_rows(
        self,
        x: npt.NDArray[np.float32],
        random: npt.NDArray[np.integer] | None,
        g: float | npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.unsignedinteger], npt.NDArray[np.unsignedinteger]]:
        """Return the element codes and scale codes of blocks, one a row."""
        blocks = Blocks.of(x)
        wrong = ~np.isfinite(blocks.largest)
        if wrong.any():
            # A block of zeros in its place: any finite one would do.
            x = np.where(wrong[:, np.newaxis], np.float32(0), x)
            blocks = Blocks(x, np.where(wrong, np.float32(0), blocks.largest))
        rule = ScaleRule(self.element_format, self.scale_format, tensor_scale=g)
        scales = SELECTIONS[self.method](rule, blocks)
        if random is None:
            elements = rule.encode(x, scales)
        else:
            elements = rule.encode_drawn(x, scales, random, self.random_bits)
        elements[wrong] = 0
        nan = self.scale_format.nan_code
        assert nan is not None
        scales[wrong] = nan
        return elements, scales
