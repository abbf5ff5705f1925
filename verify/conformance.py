"""Conformance vectors: stimulus and expected bits in files, for those who verify hardware of their own.

``docs/vectors.md`` describes the files; `VERSION` is the version of that description. The directed corners
come first, random vectors behind them.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import require_int
from ..model import DotSpec
from ..sim.stimulus import Stimulus, random
from .coverage.directed import directed

__all__ = ["VERSION", "read", "spec_digest", "write"]

VERSION: Final = 1
"""Version of the files; it changes when a file or a key changes its meaning or goes."""

_CODES: Final = ("a", "b", "a_scale", "b_scale")
_FLAGS: Final = ("first", "last")
_LATER: Final = ("term_size", "zero_exponent", "result")


def spec_digest(spec: DotSpec) -> str:
    """Return the SHA-256 of a specification, as its JSON object with sorted keys and no spaces.

    What came to specifications later is left out where it is as by default.
    """
    plain = DotSpec()
    facts = {
        name: value
        for name, value in asdict(spec).items()
        if name not in _LATER or value != getattr(plain, name)
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _joined(stimuli: list[Stimulus]) -> Stimulus:
    parts: dict[str, npt.NDArray[Any]] = {
        name: np.concatenate([getattr(one, name) for one in stimuli]) for name in (*_CODES, *_FLAGS)
    }
    return dataclasses.replace(stimuli[0], **parts, source=None)


def _hex(words: npt.NDArray[np.uint32], width: int) -> str:
    """Return one number a line, the most significant digit first."""
    digits = -(-width // 4)
    big = np.ascontiguousarray(words[:, ::-1].astype(">u4")).tobytes().hex()
    row = 8 * words.shape[1]
    return "".join(f"{big[start + row - digits : start + row]}\n" for start in range(0, len(big), row))


def write(
    spec: DotSpec,
    folder: str | os.PathLike[str],
    *,
    vectors: int = 10_000,
    seed: int = 0,
    long: bool = False,
) -> dict[str, Any]:
    """Write the vectors of a specification.

    The same arguments give the same bytes. Each file is written beside its place and renamed, the JSON last.

    Args:
        spec: What is computed.
        folder: Where to write; made if need be.
        vectors: Random vectors behind the directed ones; none at 0.
        seed: Seed of the random ones; not negative.
        long: Whether the directed ones have sums of 65536 groups: see `directed`.

    Returns:
        What the JSON file holds.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number is outside its domain.
        OSError: If a file cannot be written.
    """
    for name, value in (("vectors", vectors), ("seed", seed)):
        if require_int(name, value) < 0:
            raise ValueError(f"{name} must be at least 0, not {value}")
    corners = directed(spec, long=long)
    stimulus = _joined([corners, *([random(spec, vectors, seed=seed)] if vectors else [])])
    expected = stimulus.expected()
    formats = dict(zip(_CODES, spec.elements + spec.scales, strict=True))
    files: dict[str, bytes] = {}
    ports: list[dict[str, Any]] = []
    for (port, words), fmt in zip(stimulus.words().items(), formats.values(), strict=True):
        count = getattr(stimulus, port.removeprefix("i_"))[0].size
        width = count * fmt.bits
        files[f"{spec.name}.{port}.hex"] = _hex(words, width).encode()
        ports.append(
            {
                "name": port,
                "direction": "in",
                "width": width,
                "format": fmt.name,
                "codes": count,
                "bits": fmt.bits,
            }
        )
    if spec.accumulates:
        for name in _FLAGS:
            flags = getattr(stimulus, name).astype(np.uint32)[:, np.newaxis]
            files[f"{spec.name}.i_{name}.hex"] = _hex(flags, 1).encode()
            ports.append({"name": f"i_{name}", "direction": "in", "width": 1})
    files[f"{spec.name}.o_result.hex"] = _hex(expected[:, np.newaxis], 32).encode()
    ports.append({"name": "o_result", "direction": "out", "width": 32, "format": "binary32"})
    about: dict[str, Any] = {
        "vectors_version": VERSION,
        "spec": {"name": spec.name, **asdict(spec)},
        "spec_sha256": spec_digest(spec),
        "vectors": stimulus.vectors,
        "directed": corners.vectors,
        "results": len(expected),
        "seed": seed,
        "ports": ports,
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".vectors-") as name:
        beside = Path(name)
        # Not compressed: what compression makes depends on its version.
        arrays = {part: getattr(stimulus, part) for part in (*_CODES, *_FLAGS)}
        np.savez(beside / f"{spec.name}.npz", **arrays, expected=expected)
        for file, content in files.items():
            (beside / file).write_bytes(content)
        about["files"] = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(beside.iterdir())
        }
        text = json.dumps(about, indent=2) + "\n"
        (beside / f"{spec.name}.json").write_text(text, encoding="utf-8")
        for file in (*about["files"], f"{spec.name}.json"):
            (beside / file).replace(target / file)
    return about


def read(path: str | os.PathLike[str]) -> tuple[Stimulus, npt.NDArray[np.uint32]]:
    """Read vectors back.

    Args:
        path: The JSON file; the others are beside it.

    Returns:
        The stimulus, without gaps and back-pressure, and the expected results.

    Raises:
        FileNotFoundError: If a file is missing.
        OSError: If one cannot be opened.
        ValueError: If a file is not what `write` wrote, or of another version.
    """
    place = Path(path)
    try:
        about = json.loads(place.read_text(encoding="utf-8"))
        version, digests = about["vectors_version"], about["files"]
        spec = DotSpec.parse(about["spec"]["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"vectors must be described by a JSON file, not {str(place)!r}: {error}") from None
    if version != VERSION:
        raise ValueError(f"vectors must be of version {VERSION}, not {version}, in {str(place)!r}")
    if about.get("spec_sha256") != spec_digest(spec):
        raise ValueError(f"spec_sha256 must be that of {spec.name}, not another, in {str(place)!r}")
    archive = place.with_name(f"{spec.name}.npz")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digests.get(archive.name):
        raise ValueError(f"{str(archive)!r} must be the file that {str(place)!r} describes, not another")
    with np.load(archive, allow_pickle=False) as arrays:
        parts = {name: arrays[name] for name in (*_CODES, *_FLAGS)}
        expected = arrays["expected"]
    return Stimulus(spec=spec, **parts), expected
