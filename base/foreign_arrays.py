"""Arrays of other packages as numpy's: torch tensors, types of ml_dtypes, whatever has DLPack.

Nothing of those packages is imported: a tensor brings its package along.
"""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_array", "as_codes"]


def _torch(values: Any) -> Any | None:
    """Return a torch tensor without its gradient, on the CPU; None for anything else."""
    if type(values).__module__.partition(".")[0] != "torch" or not hasattr(values, "detach"):
        return None
    return values.detach().cpu()


def _plain(values: Any) -> npt.NDArray[Any]:
    """Return an array of whatever numpy takes, and of what has DLPack alone."""
    if hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
        return np.from_dlpack(values)
    return np.asarray(values)


def as_array(values: Any) -> npt.NDArray[Any]:
    """Return numbers as a numpy array; without a copy where there need be none.

    A torch tensor may require its gradient. One of a type that numpy has not, such as bfloat16, becomes
    float32, which holds all its values.

    Args:
        values: Numbers: an array of any package, or whatever `numpy.asarray` takes.

    Raises:
        TypeError: If torch cannot say what values a tensor has, as of two elements in a byte.
    """
    tensor = _torch(values)
    if tensor is None:
        return _plain(values)
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind.endswith("_x2"):
        raise TypeError(f"a tensor of {kind} must be taken as codes, not as numbers")
    if kind == "bfloat16" or kind.startswith("float8"):
        tensor = tensor.float()
    return tensor.numpy()


def as_codes(codes: Any) -> tuple[npt.NDArray[Any], str | None]:
    """Return codes as a numpy array of integers, and the name of the number type that they came in.

    An array of ml_dtypes' or torch's 4-, 6- or 8-bit floating-point numbers holds codes: its bytes.

    Args:
        codes: Integers, or numbers of such a type.

    Returns:
        An array, and the type's name such as ``float8_e4m3fn``; None of integers, and of what is no codes.
    """
    tensor = _torch(codes)
    if tensor is not None:
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind.startswith(("float8_", "float4_")):
            return tensor.view(sys.modules["torch"].uint8).numpy(), kind
        return tensor.numpy(), None
    array = _plain(codes)
    if array.dtype.itemsize == 1 and array.dtype.kind not in "iub" and array.dtype.fields is None:
        return array.view(np.uint8), array.dtype.name
    return array, None
