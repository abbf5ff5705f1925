"""Linear layers of PyTorch whose products are a unit's, forwards and, where that is asked for, backwards."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from ..base.argument_checks import require_finite
from ..model import BlockTensor, DotSpec, matmul
from .quantized_product import QuantizedProduct

__all__ = ["BackwardProducts", "QuantizedLinear", "quantize_model"]

BackwardProducts = (
    QuantizedProduct | DotSpec | tuple[QuantizedProduct | DotSpec | None, QuantizedProduct | DotSpec | None]
)
"""The products of the gradients of a layer's input and of its weight: one for both, or a pair."""

_KINDS: Final = (torch.float32, torch.bfloat16, torch.float16)

_Values = npt.NDArray[np.float32]


def _forward_product(product: object) -> QuantizedProduct:
    if isinstance(product, DotSpec):
        return QuantizedProduct(product)
    if not isinstance(product, QuantizedProduct):
        raise TypeError(f"product must be a DotSpec or a QuantizedProduct, not {type(product).__name__}")
    return product


def _backward_products(backward: object) -> tuple[QuantizedProduct | None, QuantizedProduct | None]:
    pair = backward if isinstance(backward, tuple) else (backward, backward)
    if len(pair) != 2:
        raise ValueError(f"backward must be one product or a pair of them, not {len(pair)}")
    found: list[QuantizedProduct | None] = []
    for one in pair:
        if isinstance(one, DotSpec):
            found.append(QuantizedProduct(one, rounding=("stochastic", "nearest_even")))
        elif one is None or isinstance(one, QuantizedProduct):
            found.append(one)
        else:
            raise TypeError(
                f"backward must be a DotSpec, a QuantizedProduct or None, not {type(one).__name__}"
            )
    return found[0], found[1]


def _check_kind(name: str, tensor: torch.Tensor) -> None:
    if tensor.dtype not in _KINDS:
        raise TypeError(f"{name} must be float32, bfloat16 or float16, not {_short(tensor.dtype)}")


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _values(tensor: torch.Tensor) -> _Values:
    """Return a tensor as float32, which holds every value of the kinds that are taken."""
    return tensor.detach().to(torch.float32).numpy()


def _float_product(a: _Values, b: _Values) -> torch.Tensor:
    # Where autocast is on, it would round the operands to 16 bits.
    with torch.autocast("cpu", enabled=False):
        return torch.from_numpy(a) @ torch.from_numpy(b).T


def _multiply(
    product: QuantizedProduct, a: _Values, b: _Values, rng: np.random.Generator, names: tuple[str, str]
) -> tuple[torch.Tensor, _Values | BlockTensor, _Values | BlockTensor]:
    """Return ``a @ b.T``, float32, and the operands that were multiplied; messages call them by `names`."""

    def coded(index: int, values: _Values) -> _Values | BlockTensor:
        if not product.codes(index):
            return values
        try:
            return product.quantize(values, index, rng)
        except ValueError:
            require_finite(values, names[index])
            raise

    left, right = coded(0, a), coded(1, b)
    if isinstance(left, BlockTensor) and isinstance(right, BlockTensor) and not product.approximate:
        return torch.from_numpy(matmul(product.spec, left, right)), left, right
    left, right = (one.dequantize() if isinstance(one, BlockTensor) else one for one in (left, right))
    return _float_product(left, right), left, right


def _whole_groups(values: _Values, group: int) -> _Values:
    """Return a matrix with columns of zeros added that fill the last group: there is one at least."""
    columns = values.shape[1]
    missing = max(1, -(-columns // group)) * group - columns
    return np.pad(values, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(values)


def _gradient(
    product: QuantizedProduct, gradient: _Values, other: _Values, seed: list[int], name: str
) -> torch.Tensor:
    """Return ``gradient @ other.T`` as `product` computes it; messages call `other` by `name`."""
    a, b = (_whole_groups(values, product.group) for values in (gradient, other))
    return _multiply(product, a, b, np.random.default_rng(seed), ("gradient of the result", name))[0]


def _kept(
    tensor: torch.Tensor, values: _Values, used: _Values | BlockTensor, product: QuantizedProduct | None
) -> torch.Tensor:
    """Return what a gradient takes of an operand: what was multiplied, unless `product` makes its own codes.

    Args:
        tensor: The operand.
        values: The same in float32, one row for each dot product.
        used: What was multiplied.
        product: That of the gradient; None for float32.
    """
    if product is not None or used is values:
        return tensor
    return torch.from_numpy(used.dequantize() if isinstance(used, BlockTensor) else used)


class _StraightThrough(torch.autograd.Function):
    """``x @ weight.T + bias`` by way of codes, whose gradient takes quantization for the identity."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        product: QuantizedProduct,
        backward: tuple[QuantizedProduct | None, QuantizedProduct | None],
        seed: int,
    ) -> torch.Tensor:
        """Return the product, with the bias added in float32, as a tensor of the input's kind."""
        rows, weights = _values(x).reshape(-1, x.shape[-1]), _values(weight)
        rng = np.random.default_rng([seed, 0])
        result, *used = _multiply(product, rows, weights, rng, ("input", "weight"))
        if bias is not None:
            result += bias.detach().to(torch.float32)
        of_input, of_weight = backward
        ctx.save_for_backward(
            _kept(x, rows, used[0], of_weight) if ctx.needs_input_grad[1] else None,
            _kept(weight, weights, used[1], of_input) if ctx.needs_input_grad[0] else None,
        )
        ctx.backward_products, ctx.seed, ctx.kinds = backward, seed, (x.dtype, weight.dtype)
        ctx.bias_kind = None if bias is None else bias.dtype
        return result.reshape(*x.shape[:-1], len(weights)).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the input, the weight and the bias."""
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_input, of_weight = ctx.backward_products
        of_x = of_w = of_bias = None
        rows = _values(gradient).reshape(-1, gradient.shape[-1])
        if ctx.needs_input_grad[0]:
            turned = _values(weight).T
            if of_input is None:
                of_x = _float_product(rows, turned)
            else:
                of_x = _gradient(of_input, rows, turned, [ctx.seed, 1], "weight")
            of_x = of_x.reshape(*gradient.shape[:-1], len(turned)).to(ctx.kinds[0])
        if ctx.needs_input_grad[1]:
            turned = _values(x).reshape(-1, x.shape[-1]).T
            if of_weight is None:
                of_w = _float_product(rows.T, turned)
            else:
                of_w = _gradient(of_weight, rows.T, turned, [ctx.seed, 2], "input")
            of_w = of_w.to(ctx.kinds[1])
        if ctx.needs_input_grad[2]:
            of_bias = torch.from_numpy(rows.sum(axis=0)).to(ctx.bias_kind)
        return of_x, of_w, of_bias, None, None, None


def _stand_back(_module: torch.nn.Module, _inputs: Any) -> None:
    """Do nothing. torch's fused encoder layers read weights and never call a layer, unless it has a hook."""


class QuantizedLinear(torch.nn.Linear):
    """A linear layer whose product is a unit's: ``x @ weight.T`` by way of codes, and the bias in float32.

    Parameters stay as they are, in float32, bfloat16 or float16: an optimizer trains them, and a state_dict
    is that of `torch.nn.Linear`. The weight is quantized anew at each call. The result is of the input's
    kind.

    The gradient is straight-through: quantization counts as the identity. With G the gradient of the result,
    that of the input is ``G @ weight``, and that of the weight ``G.T @ x``. Where `backward` is None, both
    are float32 products with what the forward product multiplied. Otherwise G and the weight, or G and the
    input, are quantized in blocks along the axis that is summed over: the layer's outputs, or the rows of x.
    Zeros fill the last group there. G is A of `QuantizedProduct`; what it is multiplied by is B.

    Rounding at random takes its seeds from torch: `torch.manual_seed` makes a run repeat.

    Args:
        in_features: Length of a row of the input.
        out_features: Length of a row of the result.
        product: The forward product: the input is A of `QuantizedProduct`, the weight is B. A `DotSpec`
            stands for one with its defaults. With ``approximate=True`` it is faster, and sums are not the
            unit's.
        bias: Whether there is a bias.
        backward: The products that give the gradients: None for float32, one for both, or a pair, for the
            input's gradient and for the weight's, each of which may be None. A `DotSpec` stands for a
            `QuantizedProduct` that rounds G at random and the other operand to nearest even.
        device: See `torch.nn.Linear`; codes are made on the CPU alone.
        dtype: See `torch.nn.Linear`.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If units do not take rows of that length, or a parameter is outside its domain.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        product: QuantizedProduct | DotSpec,
        *,
        bias: bool = True,
        backward: BackwardProducts | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self._take(_forward_product(product), _backward_products(backward))

    def _take(
        self, product: QuantizedProduct, backward: tuple[QuantizedProduct | None, QuantizedProduct | None]
    ) -> None:
        product.check_length("in_features", self.in_features)
        _check_kind("weight", self.weight)
        self.product, self.backward_products = product, backward
        self.register_forward_pre_hook(_stand_back)

    def _seed(self) -> int:
        """Return what draws are made from: of torch's where there are any."""
        used = (self.product, *(self.backward_products if torch.is_grad_enabled() else ()))
        return int(torch.randint(1 << 62, ())) if any(one is not None and one.draws for one in used) else 0

    # numpy's functions have other bits where torch.compile translates them.
    @torch.compiler.disable
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the layer's result for an input of shape (..., in_features).

        Raises:
            TypeError: If the input or the weight is not float32, bfloat16 or float16.
            ValueError: If one is not on the CPU, the input has another length, or a value is not finite.
        """
        for name, tensor in (("input", input), ("weight", self.weight)):
            _check_kind(name, tensor)
            if tensor.device.type != "cpu":
                raise ValueError(f"{name} must be on the CPU, not on {tensor.device}")
        if not input.ndim or input.shape[-1] != self.in_features:
            raise ValueError(
                f"input must have {self.in_features} values along its last axis, "
                f"not shape {tuple(input.shape)}"
            )
        result = _StraightThrough.apply(
            input, self.weight, self.bias, self.product, self.backward_products, self._seed()
        )
        assert isinstance(result, torch.Tensor)
        return result

    def weight_codes(self) -> BlockTensor:
        """Return the weight as codes: those of the next product, unless they are drawn at random."""
        return self.product.quantize(_values(self.weight), 1, np.random.default_rng([self._seed(), 0]))

    def extra_repr(self) -> str:
        """Say how large it is and how it multiplies."""
        of_input, of_weight = self.backward_products
        words = [super().extra_repr(), self.product.label]
        if self.backward_products != (None, None):
            told = dict.fromkeys("float32" if one is None else one.label for one in (of_input, of_weight))
            words.append(f"backward: {' and '.join(told)}")
        return "; ".join(words)


def quantize_model(
    model: torch.nn.Module,
    product: QuantizedProduct | DotSpec,
    *,
    backward: BackwardProducts | None = None,
    leave_alone: Sequence[str] = (),
) -> tuple[str, ...]:
    """Turn each `torch.nn.Linear` of a model into a `QuantizedLinear`, in place.

    A layer stays the object that it was: its parameters, its hooks, and whoever else holds it stay as well.
    Layers of a class derived from `torch.nn.Linear` are left alone, and so are weights that are multiplied
    elsewhere, such as those of `torch.nn.MultiheadAttention`. A second call with other names left alone gives
    the layers that are left another product.

    Args:
        model: The model, or a layer alone.
        product: See `QuantizedLinear`.
        backward: See `QuantizedLinear`.
        leave_alone: Names of layers that are not to be quantized, as ``model.named_modules()`` has them, such
            as ``lm_head``; ``*`` stands for any letters, as in ``layers.0.*``.

    Returns:
        The names of the layers that were turned.

    Raises:
        TypeError: If a parameter, or a layer's weight, is of the wrong kind.
        ValueError: If a name to leave alone is none of a linear layer, if units do not take rows of a layer's
            length, or if no layer is left. Nothing is turned then.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if isinstance(leave_alone, str):
        raise TypeError(f"leave_alone must be a sequence of names, not {leave_alone!r}")
    for pattern in leave_alone:
        if not isinstance(pattern, str):
            raise TypeError(f"leave_alone must hold names, not {pattern!r}")
    forwards, backwards = _forward_product(product), _backward_products(backward)
    linear = {name: one for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)}
    for pattern in leave_alone:
        if not any(fnmatchcase(name, pattern) for name in linear):
            raise ValueError(f"leave_alone must name linear layers of the model, not {pattern!r}")
    turned = {
        name: one
        for name, one in linear.items()
        if type(one) is torch.nn.Linear and not any(fnmatchcase(name, pattern) for pattern in leave_alone)
    }
    if not turned:
        raise ValueError("model must have a torch.nn.Linear that is not left alone, not none")
    for name, one in turned.items():
        _check_kind(f"weight of {name or 'the layer'}", one.weight)
        try:
            forwards.check_length(f"in_features of {name or 'the layer'}", one.in_features)
        except ValueError as error:
            if not name:
                raise
            raise ValueError(f"{error}; leave_alone=[{name!r}] leaves it as it is") from None
    for one in turned.values():
        one.__class__ = QuantizedLinear
        assert isinstance(one, QuantizedLinear)
        one._take(forwards, backwards)  # noqa: SLF001  of this module's own class
    return tuple(turned)
