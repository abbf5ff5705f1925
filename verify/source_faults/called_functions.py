"""Which functions of the generator's source take part in making a unit.

A fault inside a function that is never called leaves the unit as it is, and need not be tried.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from .source_fault import SourceFault

__all__ = ["CalledFunction", "called_functions", "may_matter", "run_program"]

CalledFunction = tuple[str, str, int]
"""File, from the package on; name; and first line, decorators among them."""

_CALLS: Final = """
import json
import sys

calls = set()


def note(frame, event, _):
    if event == "call":
        code = frame.f_code
        calls.add((code.co_filename, code.co_name, code.co_firstlineno))


sys.setprofile(note)
exec(sys.argv.pop(1))
sys.setprofile(None)
sys.stderr.write(json.dumps(sorted(calls)))
"""


def run_program(
    package: Path, program: str, arguments: Sequence[str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which finds a package where it is told.

    Args:
        package: The folder of the package.
        program: The program, in Python.
        arguments: Its arguments.
        seconds: How long it may take.
    """
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def called_functions(
    package: Path, program: str, arguments: Sequence[str], seconds: float
) -> frozenset[CalledFunction]:
    """Return the functions of a package that a program calls, from its first import on; see `run_program`.

    Raises:
        RuntimeError: If the program fails.
    """
    done = run_program(package, _CALLS, [program, *arguments], seconds)
    if done.returncode:
        raise RuntimeError(f"the program must end with exit code 0, not {done.returncode}: {done.stderr}")
    root = package.resolve()
    found: set[CalledFunction] = set()
    for file, name, line in json.loads(done.stderr.splitlines()[-1]):
        path = Path(file).resolve()
        if path.is_relative_to(root):
            found.add((path.relative_to(root).as_posix(), name, line))
    return frozenset(found)


def _bodies(tree: ast.Module) -> Iterator[tuple[int, int, str, int]]:
    """Yield for each function where its body begins and ends, its name, and its first line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            last = node.body[-1].end_lineno
            assert last is not None
            yield node.body[0].lineno, last, node.name, first


def may_matter(fault: SourceFault, source: str, called: Collection[CalledFunction]) -> bool:
    """Say whether a fault may change what is made: it is in no function, or in one that is called.

    Args:
        fault: The fault.
        source: The text of its file.
        called: The functions that are called.
    """
    changed = fault.right.strip()
    start = source.index(changed, source.index(fault.right))
    first_line = source.count("\n", 0, start) + 1
    last_line = first_line + changed.count("\n")
    around = [one for one in _bodies(ast.parse(source)) if one[0] <= first_line and last_line <= one[1]]
    # All functions around it must run for it to run.
    return all((f"hw/{fault.file}", name, first) in called for _, _, name, first in around)
