"""GGUF files, through the package of that name: the extra ``gguf``."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...base.external_tools import ToolError

__all__ = ["GGUF_TYPES", "gguf_tensors", "gguf_values"]

GGUF_TYPES: Final = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0"),
    *(
        "MXFP4",
        "NVFP4",
        "IQ2_XXS",
        "IQ2_XS",
        "IQ2_S",
        "IQ3_XXS",
        "IQ3_S",
        "IQ1_S",
        "IQ1_M",
        "IQ4_NL",
        "IQ4_XS",
    ),
)
"""The quantized types of which the package knows what they are worth."""


def _package() -> Any:
    try:
        # By name, as whoever checks the types need not have it.
        return import_module("gguf")
    except ModuleNotFoundError as error:
        raise ToolError(
            "gguf must be installed to read .gguf files, not missing: pip install 'blockdot[gguf]'"
        ) from error


def gguf_tensors(path: Path) -> list[Any]:
    """Return the package's records of a file's tensors, in the file's order.

    Raises:
        ToolError: If the package is missing.
        ValueError: If it does not take the file for one.
    """
    return list(_package().GGUFReader(path).tensors)


def gguf_values(tensor: Any) -> npt.NDArray[np.float32]:
    """Return what a tensor is worth, as the package computes it in float32.

    Raises:
        NotImplementedError: If the package cannot.
    """
    values = np.asarray(_package().quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
    # The file has the shortest step first.
    return values.reshape([int(length) for length in tensor.shape[::-1]])
