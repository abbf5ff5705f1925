"""The command in a process of its own, for tests that have large packages loaded."""

import subprocess
import sys


def blockdot(*arguments: object) -> None:
    """Run it, and see that it ends well."""
    command = [sys.executable, "-c", "from blockdot.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
