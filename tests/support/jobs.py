"""Jobs that end badly, in a module that worker processes can import."""

import os


class DyingJob:
    """Ends the process that runs it."""

    def run(self) -> None:
        os._exit(3)


class FailingJob:
    """Raises."""

    def run(self) -> None:
        raise ValueError("job must do well, not fail")
