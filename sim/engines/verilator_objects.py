"""Compiles for Verilator's make, and keeps the objects of Verilator's own library.

Run by path, ``python -P verilator_objects.py FOLDER COMPILER ARGUMENT...``: make calls it in place of the
compiler, as the variable ``OBJCACHE`` tells it to. Every simulator that Verilator builds has the same few
files of its library compiled into it, which takes longer than a small unit does; here they are compiled once
for each FOLDER. All else is compiled as ever. It imports nothing of the project, so that it starts at once.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["compile_or_copy"]


def _library_source(arguments: Sequence[str]) -> Path | None:
    """Return the one source of a compilation, if it is a file of Verilator's library."""
    sources = [Path(argument) for argument in arguments if argument.endswith(".cpp")]
    if "-c" not in arguments or "-o" not in arguments or len(sources) != 1:
        return None
    (source,) = sources
    # Those of the library include no header that Verilator makes for a design.
    here = source.is_absolute() and source.parent.name == "include" and source.name.startswith("verilated")
    return source if here else None


def compile_or_copy(folder: Path, command: Sequence[str]) -> int:
    """Carry out a compilation, or copy what the same one gave before.

    Args:
        folder: Where objects are kept; made if need be. It is of one version of Verilator.
        command: The compiler and its arguments.

    Returns:
        The compiler's exit code.
    """
    source = _library_source(command)
    if source is None:
        return subprocess.run(command, check=False).returncode
    output = Path(command[command.index("-o") + 1])
    key = "\0".join([*command, _identity(command[0]), source.read_text("utf-8")])
    kept = folder / f"{output.stem}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.o"
    if kept.is_file():
        shutil.copyfile(kept, output)
        return 0
    status = subprocess.run(command, check=False).returncode
    if not status:
        _put(output, kept)
    return status


def _identity(compiler: str) -> str:
    """Return what tells a compiler from another of the same name."""
    path = Path(shutil.which(compiler) or compiler).resolve()
    if not path.is_file():
        return compiler
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def _put(made: Path, kept: Path) -> None:
    """Keep a file, in its place whole: two builds may be at it."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".object-") as beside:
        shutil.copyfile(made, Path(beside) / kept.name).replace(kept)


if __name__ == "__main__":
    sys.exit(compile_or_copy(Path(sys.argv[1]), sys.argv[2:]))
