"""Results of synthesis on disk, each in a small file that is named by a hash of all that it came from."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..base.whole_files import write_whole
from .liberty import Library
from .netlist import Netlist
from .recipes import COARSE_PASSES, FLOW_VERSION, Recipe
from .synthesis_point import SynthesisPoint, synthesis_point_of
from .yosys import pyosys_version

__all__ = ["Cache", "entry", "read_record", "write_record"]


class Cache:
    """Results on disk: a small file for a netlist and a recipe, named by a hash of all that it came from.

    A file's first line is the SHA-256 of the second, which is the result as JSON.

    Args:
        place: The directory, made if need be; None for no cache.
        library: What netlists are mapped to.

    Raises:
        NotADirectoryError: If `place` is a file.
        ToolError: If pyosys is missing.
    """

    def __init__(self, place: str | os.PathLike[str] | None, library: Library) -> None:
        self._place = None if place is None else Path(place)
        if self._place is not None and self._place.exists() and not self._place.is_dir():
            raise NotADirectoryError(f"cache must be a directory, not the file {str(self._place)!r}")
        self._context = [
            f"flow {FLOW_VERSION}",
            f"pyosys {pyosys_version()}",
            library.key,
            f"{library.delay_unit_ps:g}",
            *COARSE_PASSES,
        ]

    def _path(self, place: Path, netlist: Netlist, recipe: Recipe) -> Path:
        return entry(place, [*self._context, recipe.key, netlist.sha256])

    def load(self, netlist: Netlist, recipes: Iterable[Recipe]) -> dict[str, SynthesisPoint]:
        """Return what is known, by recipe; a file that is not what it should be is as good as none."""
        known: dict[str, SynthesisPoint] = {}
        if self._place is not None:
            for recipe in recipes:
                record = read_record(self._path(self._place, netlist, recipe))
                with contextlib.suppress(TypeError, ValueError):
                    known[recipe.name] = synthesis_point_of(recipe.name, record)
        return known

    def save(self, netlist: Netlist, recipes: Iterable[Recipe], points: Mapping[str, SynthesisPoint]) -> None:
        """Keep results, each whole or not at all."""
        if self._place is not None:
            for recipe in recipes:
                write_record(self._path(self._place, netlist, recipe), asdict(points[recipe.name]))


# They are also used by what measures with this flow.


def entry(place: Path, parts: Iterable[str]) -> Path:
    """Return the path of a file for what came of these parts."""
    # The lengths keep two different lists of parts from reading as one text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    key = hashlib.sha256(text.encode()).hexdigest()
    return place / key[:2] / key[2:]


def read_record(path: Path) -> Any:
    """Return what `write_record` wrote; None if there is no such file, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        digest, _, record = path.read_text(encoding="utf-8").partition("\n")
        if digest == hashlib.sha256(record.encode()).hexdigest():
            return json.loads(record)
    return None


def write_record(path: Path, value: Any) -> None:
    """Write JSON and its hash, whole or not at all; the folder is made if need be."""
    record = json.dumps(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, f"{hashlib.sha256(record.encode()).hexdigest()}\n{record}")
