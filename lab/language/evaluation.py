"""What ways to compute a model's products make of a text: a sweep that can be broken off and taken up."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ... import base, model
from ...base.source_digest import source_digest
from ...base.whole_files import write_whole
from ..quality import quantization_error
from . import arithmetic, configuration, transformer, weights
from .arithmetic import Arithmetic, QuantizedProducts, check_columns
from .dask_workers import run_on_cluster
from .model import LanguageModel
from .transformer import Transformer
from .windows import TextWindows
from .workers import run_jobs

__all__ = ["EvaluationProgress", "evaluate_text"]

EvaluationProgress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is, and what was done last."""

# Tokens that go through the model at a time: what is quantized for them is little beside their products, and
# their activations fit into memory.
_TOGETHER: Final = 2048


@dataclass(frozen=True, eq=False)
class _Job:
    """Some windows of the text under one arithmetic."""

    language_model: LanguageModel
    arithmetic: Arithmetic
    windows: npt.NDArray[np.int64]
    seed: int
    place: Path

    def run(self) -> None:
        """Compute the log likelihoods and keep them."""
        self.keep(self.compute())

    def compute(self) -> npt.NDArray[np.float64]:
        """Return the log likelihoods."""
        known = self.language_model.configuration
        products = None
        if self.arithmetic.quantization is not None:
            products = QuantizedProducts(self.arithmetic, known.layers, self.seed)
        return Transformer(known, self.language_model.weights, products).log_likelihoods(self.windows)

    def compute_elsewhere(self) -> npt.NDArray[np.float64]:
        """Return the log likelihoods, on a machine that may have another model under the path, or other code.

        Raises:
            OSError: If there is no model.
            ValueError: If model or code are others.
        """
        # The name under which results are kept tells both apart.
        digest = self.language_model.weights.digest()
        if self.place != _place(self.place.parent, digest, self.arithmetic, self.windows, self.seed):
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
    own = (arithmetic, configuration, transformer, weights)
    return source_digest(base, model, quantization_error, *own, also=versions)


def _place(
    folder: Path, digest: str, arithmetic: Arithmetic, windows: npt.NDArray[np.int64], seed: int
) -> Path:
    facts = [_code(), digest, asdict(arithmetic), windows.shape, seed]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + windows.tobytes())
    return folder / f"{key.hexdigest()}.json"


def evaluate_text(
    language_model: LanguageModel,
    text: TextWindows,
    ways: Sequence[Arithmetic],
    *,
    folder: Path,
    workers: int,
    cluster: str | None = None,
    seed: int = 0,
    progress: EvaluationProgress | None = None,
) -> list[npt.NDArray[np.float64]]:
    """Return the log likelihood of each scored token of a text under several ways to compute products.

    Each part that is done is kept on disk, and never computed again while model, text and code are the same.

    Args:
        language_model: The model.
        text: The windows.
        ways: How products are computed.
        folder: Where results are kept; made if need be.
        workers: Processes that work at once; 1 is this one.
        cluster: Address of a Dask scheduler whose workers do the work instead; each has the model under the
            same path.
        seed: Of rounding at random.
        progress: Told of each part that is done.

    Returns:
        Natural logarithms, one array for each way, in the text's order.

    Raises:
        OSError: If results cannot be kept, or no scheduler answers.
        RuntimeError: If a worker was killed, or Dask is not installed.
        ValueError: If there is no worker, blocks do not fit the model, a window is longer than it takes, or
            a worker of the cluster has other code or another model.
    """
    context, length = language_model.configuration.context, text.tokens.shape[1]
    if length > context:
        raise ValueError(f"window must be at most the model's {context} tokens, not {length}")
    largest = int(text.tokens.max())
    if largest >= language_model.configuration.vocabulary:
        known = language_model.configuration.vocabulary
        raise ValueError(f"tokens of the text must be below the model's {known}, not {largest}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    check_columns(language_model, ways)
    folder.mkdir(parents=True, exist_ok=True)
    step = max(1, _TOGETHER // length)
    parts = [text.tokens[start : start + step] for start in range(0, len(text.tokens), step)]
    digest = language_model.digest
    jobs = {
        (index, part): _Job(language_model, way, windows, seed, _place(folder, digest, way, windows, seed))
        for index, way in enumerate(ways)
        for part, windows in enumerate(parts)
    }
    found = {key: job.kept() for key, job in jobs.items()}
    missing = [key for key, values in found.items() if values is None]
    tell: EvaluationProgress = progress or (lambda *_: None)
    tell(len(jobs) - len(missing), len(jobs), "")
    todo = [jobs[key] for key in missing]
    running = run_on_cluster(todo, cluster) if cluster is not None and todo else run_jobs(todo, workers)
    for done, number in enumerate(running, 1):
        key = missing[number]
        found[key] = jobs[key].kept()
        if found[key] is None:
            raise OSError(f"results must stay where they are kept, in {str(folder)!r}, not vanish")
        tell(len(jobs) - len(missing) + done, len(jobs), ways[key[0]].label)
    results: list[npt.NDArray[np.float64]] = []
    for index, way in enumerate(ways):
        rows = [values for part in range(len(parts)) if (values := found[index, part]) is not None]
        scored = text.pick(np.concatenate(rows))
        if not np.isfinite(scored).all():
            raise ValueError(f"likelihoods must be finite, not as {way.label} makes them")
        results.append(scored)
    return results
