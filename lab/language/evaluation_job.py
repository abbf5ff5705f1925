"""One part of an evaluation: some windows of a text under one arithmetic, computed once and kept."""

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ... import base, model
from ...base.source_digest import source_digest
from ...base.whole_files import write_whole
from ..quality import quantization_error
from . import arithmetic, attention, configuration, transformer, weights
from .arithmetic import Arithmetic, QuantizedProducts
from .configuration import ModelConfiguration
from .model import LanguageModel
from .transformer import Transformer

__all__ = ["EvaluationJob"]


@dataclass(frozen=True, eq=False)
class EvaluationJob:
    """Some windows of a text under one arithmetic.

    Attributes:
        language_model: The model.
        arithmetic: How its products are computed.
        windows: Tokens, shape (windows, length).
        seed: Of rounding at random.
        place: The file that keeps the result. Its name tells model, arithmetic, windows, seed and code.
    """

    language_model: LanguageModel
    arithmetic: Arithmetic
    windows: npt.NDArray[np.int64]
    seed: int
    place: Path

    @classmethod
    def of(
        cls,
        language_model: LanguageModel,
        digest: str,
        arithmetic: Arithmetic,
        windows: npt.NDArray[np.int64],
        seed: int,
        folder: Path,
    ) -> "EvaluationJob":
        """Return the job whose result is kept in a folder; `digest` is that of the weights' files."""
        place = _place(folder, digest, language_model.configuration, arithmetic, windows, seed)
        return cls(language_model, arithmetic, windows, seed, place)

    def run(self) -> None:
        """Compute the log likelihoods and keep them."""
        self.keep(self.compute())

    def compute(self) -> npt.NDArray[np.float64]:
        """Return the log likelihoods.

        Raises:
            ValueError: If a matrix cannot be quantized, or a likelihood is not finite.
        """
        known = self.language_model.configuration
        products = None
        if self.arithmetic.quantization is not None:
            products = QuantizedProducts(self.arithmetic, known.layers, self.seed)
        # Numpy's warnings would tell of what is not finite by lines of code.
        with np.errstate(all="ignore"):
            found = Transformer(known, self.language_model.weights, products).log_likelihoods(self.windows)
        if not np.isfinite(found).all():
            raise ValueError(f"likelihoods must be finite, not as {self.arithmetic.label} makes them")
        return found

    def compute_elsewhere(self) -> npt.NDArray[np.float64]:
        """Return the log likelihoods, on a machine that may have another model under the path, or other code.

        Raises:
            OSError: If there is no model.
            ValueError: If model or code are others.
        """
        # The name under which results are kept tells both apart.
        known, digest = self.language_model.configuration, self.language_model.weights.digest()
        if self.place != _place(self.place.parent, digest, known, self.arithmetic, self.windows, self.seed):
            raise ValueError(
                "blockdot, numpy and the model must be on every worker of the cluster as they are here, "
                f"the model under {str(self.language_model.path)!r}"
            )
        return self.compute()

    def keep(self, found: npt.NDArray[np.float64]) -> None:
        """Keep the log likelihoods."""
        record = {"arithmetic": asdict(self.arithmetic), "log_likelihoods": found.tolist()}
        write_whole(self.place, json.dumps(record) + "\n")

    def kept(self) -> npt.NDArray[np.float64] | None:
        """Return what was computed and kept before; None for nothing, or what is no whole file."""
        try:
            record = json.loads(self.place.read_text("utf-8"))
            found = np.array(record["log_likelihoods"], np.float64)
        except (OSError, ValueError, LookupError, TypeError):
            return None
        wanted = (self.windows.shape[0], self.windows.shape[1] - 1)
        return found if found.shape == wanted else None


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a hash of what decides about the figures but for the job: sources, and numpy."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy",)]
    own = (arithmetic, attention, configuration, transformer, weights)
    return source_digest(base, model, quantization_error, *own, also=versions)


def _place(
    folder: Path,
    digest: str,
    shape: ModelConfiguration,
    arithmetic: Arithmetic,
    windows: npt.NDArray[np.int64],
    seed: int,
) -> Path:
    # Two folders may have the same weights, and another base of rotations in their config.json.
    facts = [_code(), digest, asdict(shape), asdict(arithmetic), windows.shape, seed]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + windows.tobytes())
    return folder / f"{key.hexdigest()}.json"
