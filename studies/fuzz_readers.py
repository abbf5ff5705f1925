"""Damaged files, by the thousand, into the readers of cell libraries and of tensors.

``python -m studies.fuzz_readers --minutes 60`` goes on for so long. Each case is one of these:

``liberty-damaged``
    A library in which up to three places are damaged. It is read, or refused by one line that names the file
    or the cell.
``liberty-rewritten``
    A library written in another way: comments, line ends, strings with braces in them. It is read, and the
    timing of a small netlist is the same to the last digit.
``liberty-untimed``
    A library in which an output that the netlist uses has no timing. The netlist's timing is refused by a
    line that names the cell.
``safetensors``
    A file in which up to three bytes, or a part of the header, are damaged. It is read where the safetensors
    package reads it, to the same values, and refused by one line where the package refuses it. A type that
    the package does not know is the exception: here it is listed, and not read.
``npy``
    The same with numpy's own reader of .npy files.

A case is settled by its kind, its number and the seed: ``--case safetensors:1234`` does one of them again.
"""

import argparse
import json
import random
import re
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
from blockdot.model.io.tensor_files import list_tensors, read_tensor
from blockdot.synth.cell_models import CellModels
from blockdot.synth.liberty import Library, LibrarySource
from blockdot.synth.mapped_netlist import CellInstance, MappedNetlist
from blockdot.synth.neutral_library import liberty_text
from blockdot.synth.static_timing import analyse
from blockdot.synth.yosys import SynthesisError

from .commands import exit_code_of, progress_bars

__all__ = ["KINDS", "FuzzError", "fuzz", "main", "run_case"]

_FILE: Final = "cells.lib"
_PIECES: Final = (
    *'"{}();:,!-\\\n\xff\0',
    "/*",
    "*/",
    "//",
    "\\\n",
    "1e9",
    "0",
    "nan",
    "inf",
    "area",
    "cell (X) {",
    "timing () {",
    "values",
    "pin (A, B) {",
    'function : "A ^";',
    "scalar",
    "linear",
)
# Two gates in a row between registers, and one from an input to an output.
_NETLIST: Final = MappedNetlist(
    {"clk": (0,), "a": (1,), "b": (2,)},
    {"y": (8,)},
    (
        CellInstance("DFF_X1", {"CK": 0, "D": 1, "Q": 3}),
        CellInstance("NAND2_X1", {"A": 3, "B": 2, "Y": 4}),
        CellInstance("XOR2_X1", {"A": 4, "B": 3, "Y": 5}),
        CellInstance("DFF_X1", {"CK": 0, "D": 5, "Q": 6}),
        CellInstance("INV_X1", {"A": 6, "Y": 8}),
    ),
)


class FuzzError(RuntimeError):
    """A case came out as it must not."""


@cache
def _cells() -> str:
    """Return a library of the cells that the netlist has, and a few more."""
    text = liberty_text()
    kept = [text[: text.index("  cell (")]]
    for name in ("INV_X1", "BUF_X1", "NAND2_X1", "NOR2_X1", "XOR2_X1", "DFF_X1"):
        start = text.index(f"  cell ({name})")
        kept.append(text[start : _end_of_group(text, start)])
    return "".join(kept) + "\n}\n"


def _end_of_group(text: str, start: int) -> int:
    """Return the place behind the group that begins at `start`, in a text without comments."""
    depth = 0
    for match in re.finditer("[{}]", text[start:]):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return start + match.end()
    raise ValueError("a group must end")


def _read_library(text: str) -> CellModels:
    library = Library.parse(LibrarySource(_FILE, text.encode("latin-1")))
    assert library.mapping_text
    models = CellModels(library)
    for cell in library.cells.values():
        if cell.usable:
            assert models[cell.name]
    return models


@cache
def _right_period() -> float:
    return analyse(_NETLIST, _read_library(_cells())).period


def _refusal(work: Callable[[], object]) -> str | None:
    """Return the line by which work was refused; None if it was done. Any other error is a fault."""
    try:
        work()
    except (ValueError, SynthesisError) as error:
        line = str(error)
        if "\n" in line or not line.strip():
            raise FuzzError(f"a refusal must be one line, not {line!r}") from error
        return line
    return None


def _damaged(text: str, dice: random.Random) -> str:
    for _ in range(dice.choice((1, 1, 2, 3))):
        at = dice.randrange(len(text))
        match dice.randrange(4):
            case 0:
                text = text[:at] + dice.choice(_PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + dice.randint(1, 40) :]
            case 2:
                text = text[:at] + dice.choice(_PIECES) + text[at + dice.randint(1, 8) :]
            case _:
                start = dice.randrange(len(text))
                text = text[:at] + text[start : start + dice.randint(1, 200)] + text[at:]
    return text


def _liberty_damaged(dice: random.Random, folder: Path) -> str:
    del folder
    text = _damaged(_cells(), dice)
    line = _refusal(lambda: _read_library(text))
    if line is not None and not re.search(rf"{re.escape(_FILE)}|cell|library|flip-flop", line):
        raise FuzzError(f"a refusal must name the file or the cell, not be {line!r}")
    return "read" if line is None else "refused"


def _liberty_rewritten(dice: random.Random, folder: Path) -> str:
    del folder
    text = _cells()
    if dice.random() < 0.3:
        text = re.sub(r" \{\n", lambda _: dice.choice((" {\n", "\n{\n", "{\n", "  {\n")), text)
    # Between the statements of the library.
    places = [match.end() for match in re.finditer(r"[;{}]\n", text)][:-1]
    extra = (
        "/* cell (NAND2_X1) { area : 100; } */",
        "// } timing () {\n",
        "\n\n",
        "\r\n",
        "\t",
        'library_features ("a } b", "/* c");\n',
        'comment : "cell (INV_X1) { // ";\n',
        "/**/ /* * / */",
    )
    for at in sorted(dice.sample(places, dice.randint(1, 12)), reverse=True):
        # An attribute of the user's own is one wherever it is; the first line opens the library.
        text = text[:at] + dice.choice(extra) + text[at:]
    if dice.random() < 0.3:
        text = text.replace("\n", "\r\n")
    period = analyse(_NETLIST, _read_library(text)).period
    if period != _right_period():
        raise FuzzError(f"the period must be {_right_period()!r}, not {period!r}")
    return "read"


def _liberty_untimed(dice: random.Random, folder: Path) -> str:
    del folder
    text = _cells()
    cell = dice.choice(("INV_X1", "NAND2_X1", "XOR2_X1", "DFF_X1"))
    start = text.index(f"cell ({cell})")
    end = _end_of_group(text, start)
    body = text[start:end]
    outputs = body.index("direction : output")
    while (at := body.find("timing () {", outputs)) >= 0:
        body = body[:at] + body[_end_of_group(body, at) :]
    line = _refusal(lambda: analyse(_NETLIST, _read_library(text[:start] + body + text[end:])))
    if line is None or cell not in line:
        raise FuzzError(f"{cell} without timing must be refused by its name, not give {line!r}")
    return "refused"


def _tensors(dice: random.Random) -> bytes:
    """Return a safetensors file of a few small tensors."""
    kinds = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "U8": 1, "I64": 8, "F8_E4M3": 1}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}} if dice.random() < 0.5 else {}
    data = b""
    for number in range(dice.randint(1, 4)):
        dtype = dice.choice(list(kinds))
        shape = [dice.randint(0, 4) for _ in range(dice.randint(0, 3))]
        size = kinds[dtype] * int(np.prod(shape, dtype=np.int64))
        header[f"w{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += dice.randbytes(size)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _damaged_bytes(whole: bytes, dice: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(len(data)) if data else 0
        match dice.randrange(4):
            case 0 if data:
                data[at] = dice.randrange(256)
            case 1:
                data[at:at] = dice.choice(
                    (b"0", b"1", b'"', b"{", b"}", b",", b"-", b" ", b"\xff", b"[", b"]")
                )
            case 2:
                del data[at : at + dice.randint(1, 12)]
            case _:
                del data[at if dice.random() < 0.3 else len(data) :]
    return bytes(data)


def _equal(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = theirs.astype(np.float32)
    if ours.shape != wanted.shape or not np.array_equal(ours, wanted, equal_nan=True):
        raise FuzzError(f"{name} must have the values that the package reads")


def _safetensors(dice: random.Random, folder: Path) -> str:
    data = _damaged_bytes(_tensors(dice), dice)
    path = folder / "x.safetensors"
    path.write_bytes(data)
    try:
        theirs = dict(safetensors.deserialize(data))
    except (safetensors.SafetensorError, ValueError) as error:
        theirs = None
        if "unknown variant" in str(error):
            # A type that the package does not have yet is no fault of the file's.
            return "refused" if _refusal(lambda: list_tensors(path)) else "unknown type"
    line = _refusal(lambda: list_tensors(path))
    if (line is None) != (theirs is not None):
        raise FuzzError(f"the package {'reads' if theirs is not None else 'refuses'} it, and here: {line!r}")
    if line is not None or theirs is None:
        return "refused" if path.name in str(line) else _unnamed(line)
    types = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
    for name, entry in theirs.items():
        if entry["dtype"] in types:
            values = np.frombuffer(bytes(entry["data"]), types[entry["dtype"]]).reshape(entry["shape"])
            _equal(name, read_tensor(f"{path}:{name}"), values)
    return "read"


def _unnamed(line: str | None) -> str:
    raise FuzzError(f"a refusal must name the file, not be {line!r}")


def _npy(dice: random.Random, folder: Path) -> str:
    buffer = BytesIO()
    shape = [dice.randint(0, 4) for _ in range(dice.randint(0, 3))]
    values = np.frombuffer(dice.randbytes(4 * int(np.prod(shape, dtype=np.int64))), "<f4").reshape(shape)
    with np.errstate(over="ignore", invalid="ignore"):
        np.save(buffer, values.astype(dice.choice(["<f4", "<f2", ">f4"])))
    data = _damaged_bytes(buffer.getvalue(), dice)
    path = folder / "x.npy"
    path.write_bytes(data)
    try:
        theirs = np.load(BytesIO(data), allow_pickle=False)
    except Exception:  # numpy raises whatever its parts raise
        theirs = None
    read: list[np.ndarray] = []
    line = _refusal(lambda: read.append(read_tensor(path)))
    if line is not None:
        return "refused" if path.name in line else _unnamed(line)
    if not isinstance(theirs, np.ndarray):
        raise FuzzError(f"numpy does not read it, and here it is of shape {read[0].shape}")
    _equal(path.name, read[0], theirs)
    return "read"


KINDS: Final[dict[str, Callable[[random.Random, Path], str]]] = {
    "liberty-damaged": _liberty_damaged,
    "liberty-rewritten": _liberty_rewritten,
    "liberty-untimed": _liberty_untimed,
    "safetensors": _safetensors,
    "npy": _npy,
}
"""By name, what does one case and says what came of it."""


def run_case(kind: str, number: int, seed: int, folder: Path) -> str:
    """Do one case.

    Args:
        kind: One of `KINDS`.
        number: Which of its cases.
        seed: Settles all of them.
        folder: Where its files may lie.

    Returns:
        ``read``, ``refused``, or ``unknown type``.

    Raises:
        FuzzError: If it came out as it must not; it says how to do it again.
    """
    try:
        return KINDS[kind](random.Random(f"{seed} {kind} {number}"), folder)
    except Exception as error:  # whatever it is, it is a fault that is told with its case
        again = f"python -m studies.fuzz_readers --seed {seed} --case {kind}:{number}"
        raise FuzzError(f"{type(error).__name__}: {error}; again by: {again}") from error


def fuzz(seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Do one case of each kind after the other, without end; yield each kind and what came of it."""
    for number in count():
        for kind in KINDS:
            yield kind, run_case(kind, number, seed, folder)


def _main(minutes: float, seed: int, case: str | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if case is not None:
            kind, _, number = case.partition(":")
            if kind not in KINDS or not number.isdecimal():
                raise ValueError(f"--case must be one of {', '.join(KINDS)} and a number, not {case!r}")
            print(run_case(kind, int(number), seed, folder))
            return
        counts: Counter[tuple[str, str]] = Counter()
        start = time.monotonic()
        try:
            with progress_bars() as bars:
                bar = bars("reading damaged files")
                for found in fuzz(seed, folder):
                    counts[found] += 1
                    gone = time.monotonic() - start
                    bar(int(min(gone, 60 * minutes)), int(60 * minutes), "")
                    if gone >= 60 * minutes:
                        break
        finally:
            print(f"seed {seed}")
            for (kind, outcome), times in sorted(counts.items()):
                print(f"{kind:18} {outcome:8} {times}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.fuzz_readers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=1, help="how long to go on (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="settles every case (default 0)")
    parser.add_argument("--case", metavar="KIND:N", help="do this case alone")
    asked = parser.parse_args(argv)
    return exit_code_of("studies.fuzz_readers", lambda: _main(asked.minutes, asked.seed, asked.case))


if __name__ == "__main__":
    sys.exit(main())
