"""What a case may come to, and what is a fault."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
from blockdot.synth.yosys import SynthesisError

__all__ = ["LIMIT_S", "FuzzError", "limited", "named_refusal", "refusal", "require_same_values"]

LIMIT_S: Final = 20
"""How many seconds of the processor one case may take."""


class FuzzError(RuntimeError):
    """A case came out as it must not."""


def refusal(work: Callable[[], object]) -> str | None:
    """Return the line by which work was refused; None if it was done. Any other error is a fault."""
    try:
        work()
    except (OSError, ValueError, SynthesisError) as error:
        line = str(error)
        if "\n" in line or not line.strip():
            raise FuzzError(f"a refusal must be one line, not {line!r}") from error
        return line
    return None


def named_refusal(line: str, *names: str) -> str:
    """Return ``refused``, having seen that the line by which a file was refused has one of the names."""
    if not any(name in line for name in names):
        raise FuzzError(f"a refusal must name {' or '.join(names)}, not be {line!r}")
    return "refused"


def require_same_values(name: str, ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.generic]) -> None:
    """Raise FuzzError unless values are those of another reader, as float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = theirs.astype(np.float32)
    if ours.shape != wanted.shape or not np.array_equal(ours, wanted, equal_nan=True):
        raise FuzzError(f"{name} must have the values that the package reads")


@contextmanager
def limited() -> Iterator[None]:
    """Raise FuzzError in what takes more of the processor than `LIMIT_S`."""

    def late(*_: object) -> None:
        raise FuzzError(f"a case must end within {LIMIT_S} s of the processor")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
