"""What ways to compute a model's products make of a text: a sweep that can be broken off and taken up."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .arithmetic import Arithmetic, check_columns
from .dask_workers import run_on_cluster
from .evaluation_job import EvaluationJob
from .model import LanguageModel
from .windows import TextWindows
from .workers import run_jobs

__all__ = ["TOKENS_TOGETHER", "EvaluationProgress", "evaluate_text"]

EvaluationProgress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is, and what was done last."""

# What is quantized for so many is little beside their products, and their activations fit into memory.
TOKENS_TOGETHER: Final = 2048
"""Tokens that go through the model at a time."""


def evaluate_text(
    language_model: LanguageModel,
    text: TextWindows,
    ways: Sequence[Arithmetic],
    *,
    folder: Path,
    workers: int,
    cluster: str | None = None,
    seed: int = 0,
    tokens_together: int = TOKENS_TOGETHER,
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
        tokens_together: Tokens of one part, but at least a window's: what is computed and kept at once.
        progress: Told of each part that is done.

    Returns:
        Natural logarithms, one array for each way, in the text's order.

    Raises:
        OSError: If results cannot be kept, or no scheduler answers.
        RuntimeError: If a worker was killed, or Dask is not installed.
        ValueError: If there is no worker, blocks do not fit the model, a window is longer than it takes, or
            a worker of the cluster has other code or another model, or a
            likelihood is not finite.
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
    step = max(1, tokens_together // length)
    parts = [text.tokens[start : start + step] for start in range(0, len(text.tokens), step)]
    digest = language_model.digest
    jobs = {
        (index, part): EvaluationJob.of(language_model, digest, way, windows, seed, folder)
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
    for index in range(len(ways)):
        rows = [values for part in range(len(parts)) if (values := found[index, part]) is not None]
        results.append(text.pick(np.concatenate(rows)))
    return results
