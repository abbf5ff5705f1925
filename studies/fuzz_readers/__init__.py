"""Damaged files, by the thousand, into the readers of cell libraries and of tensors.

``python -m studies.fuzz_readers --minutes 60`` goes on until it has used so many minutes of the processor,
or for ``--at-most`` so many by the clock.
Each case is one of these:

``liberty-damaged``
    A library in which up to three places are damaged: of the built-in library's cells, or of those of a
    ``--library``. It is read, or refused by one line that names the file or the cell.
``liberty-rewritten``
    A library written in another way: comments, line ends, strings with braces in them. It is read, and the
    timing of a small netlist is the same to the last digit.
``liberty-untimed``
    A library without a timing that the netlist's paths need: of an output, of one input, of one edge, or one
    that stands in a comment or is of a type that tells of no path. The netlist's timing is refused by a line
    that names the cell.
``liberty-mapped``
    A damaged library that is read, and that Yosys and abc map to. There is a figure, which is then abc's own
    as well, or one line that says what is wrong. It is done in one round of a hundred, as it takes long.
``safetensors``
    A file in which up to three places are damaged. It is read where the safetensors package reads it, to the
    same values, and refused by one line where the package refuses it. A type that the package does not know
    is the exception: here it is listed, and not read.
``npy``, ``npz``
    The same with numpy's own reader. A ``.npz`` file may be refused where numpy reads it.
``gguf``
    A ``.gguf`` file. What both this reader and the package read has the same values.
``checkpoint``
    A sound safetensors file of plain and FP4 matrices of every layout, some of which do not fit together:
    parts are missing, in other types or shapes, or in each other's place. Plain tensors are read all the
    same, each FP4 matrix is read or refused by a line that names it, and a checkpoint that is written of it
    holds everything: as it was, converted to the same codes and scales, or quantized.
``model-folder``
    A model in two files with an index, one of the three damaged.

A case is settled by its kind, its number and the seed: ``--case safetensors:1234`` does one of them again.
What came of them is printed. With ``--write`` it is added to what earlier runs, with other seeds, left in
``studies/fuzz_readers/outcome.jsonl``: on a busy machine an hour of the processor is many by the clock.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

from .library_cases import Case, LibraryCases
from .outcomes import FuzzError, limited
from .tensor_cases import TENSOR_CASES

__all__ = ["RARE", "Fault", "FuzzError", "cases_of", "fuzz", "run_case"]

RARE: Final[dict[str, int]] = {"liberty-mapped": 100}
"""The kinds that are not done in every round, and in one of how many they are."""


class Fault(str):
    """What a case came to that came out as it must not: what went wrong, and how to do it again."""


def cases_of(libraries: tuple[Path, ...] = ()) -> dict[str, Case]:
    """Return what does a case, by its kind; see `LibraryCases` for the argument and what it raises."""
    return LibraryCases(libraries).cases | TENSOR_CASES


def run_case(kind: str, number: int, seed: int, folder: Path, cases: Mapping[str, Case]) -> str:
    """Do one case.

    Args:
        kind: One of `cases`.
        number: Which of its kind.
        seed: Settles all of them.
        folder: Where its files may lie.
        cases: What `cases_of` returned.

    Returns:
        ``read``, ``refused``, ``read alone`` (what the package refuses), or ``unknown type``.

    Raises:
        FuzzError: If it came out as it must not; it says how to do it again.
    """
    try:
        with limited():
            return cases[kind](Random(f"{seed} {kind} {number}"), folder)
    except Exception as error:  # whatever it is, it is a fault that is told with its case
        again = f"python -m studies.fuzz_readers --seed {seed} --case {kind}:{number}"
        reason = " ".join(str(error).split())
        raise FuzzError(f"{type(error).__name__}: {reason}; again by: {again}") from error


def fuzz(seed: int, folder: Path, cases: Mapping[str, Case]) -> Iterator[tuple[str, str]]:
    """Do one case of each kind after the other, without end; yield each kind and what came of it.

    A fault is a `Fault`, and does not end it.
    """
    for number in count():
        for kind in cases:
            if number % RARE.get(kind, 1):
                continue
            try:
                outcome = run_case(kind, number, seed, folder, cases)
            except FuzzError as error:
                outcome = Fault(error)
            yield kind, outcome
