"""What the commands of studies have in common: progress, and how they end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from blockdot.lab.cost.jobs import Progress
from rich.console import Console
from rich.progress import Progress as Bars

__all__ = ["exit_code_of", "progress_bars"]


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Progress]]:
    """Show bars on the standard error output; what is given makes one for a word on what comes next."""
    with Bars(console=Console(stderr=True)) as bars:

        def bar(what: str) -> Progress:
            task = bars.add_task(what)
            return lambda done, count, _: bars.update(task, completed=done, total=count)

        yield bar


def exit_code_of(name: str, work: Callable[[], int | None], kept: str = "what was measured is kept") -> int:
    """Do a command's work and return its exit code; what went wrong is one line behind the command's name.

    Args:
        name: The command's name.
        work: Its work; gives the exit code where that is not 0.
        kept: What an interruption leaves.
    """
    try:
        return work() or 0
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; {kept}", file=sys.stderr)
        return 130
