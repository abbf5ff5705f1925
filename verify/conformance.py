"""Conformance vectors: stimulus and expected bits in files, for those who verify hardware of their own.

``docs/vectors.md`` describes the files; `VECTORS_VERSION` is the version of that description. The directed
corners come first, random vectors behind them.
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
from ..model import DequantizerSpec, DotSpec, Format, QuantizerSpec
from ..model.aligned_sum import RESULTS, ResultFormat
from ..model.specifications import Specification, parse_specification
from ..sim.dequantizer_stimulus import DequantizerStimulus
from ..sim.drawn_stimulus import draw
from ..sim.quantizer_stimulus import QuantizerStimulus
from ..sim.stimulus import Stimulus
from ..sim.unit_stimulus import UnitStimulus, as_results, pack
from .directed_stimulus import directed_stimulus

__all__ = ["VECTORS_VERSION", "read", "spec_digest", "write"]

VECTORS_VERSION: Final = 1
"""Version of the files; it changes when a file or a key changes its meaning or goes."""

_FLAGS: Final = ("first", "last")
_LATER: Final = ("term_size", "zero_exponent", "result", "takes_c", "tensor_scale")


def spec_digest(spec: Specification) -> str:
    """Return the SHA-256 of a specification, as its JSON object with sorted keys and no spaces.

    What came to specifications later is left out where it is as by default.
    """
    facts = asdict(spec)
    if isinstance(spec, DotSpec):
        plain = DotSpec()
        facts = {
            name: value
            for name, value in facts.items()
            if name not in _LATER or value != getattr(plain, name)
        }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class _Made:
    """Vectors to be written.

    Attributes:
        stimulus: The directed ones, and the random ones behind them.
        directed: How many are directed.
        arrays: What numpy gets.
        files: For each port its numbers, and what the JSON file says of it.
    """

    stimulus: UnitStimulus
    directed: int
    arrays: dict[str, Any]
    files: list[tuple[npt.NDArray[np.uint32], dict[str, Any]]]


def _port(name: str, codes: int, bits: int, of: str) -> dict[str, Any]:
    direction = "in" if name.startswith("i_") else "out"
    return {
        "name": name,
        "direction": direction,
        "width": codes * bits,
        "format": of,
        "codes": codes,
        "bits": bits,
    }


def _of_dot(stimulus: Stimulus, directed: int) -> _Made:
    spec = stimulus.spec
    files: list[tuple[npt.NDArray[np.uint32], dict[str, Any]]] = []
    a, b = spec.elements
    a_scale, b_scale = spec.scales
    formats: dict[str, Format | ResultFormat] = {
        "i_a": a,
        "i_b": b,
        "i_a_scale": a_scale,
        "i_b_scale": b_scale,
        "i_c": spec.c_format,
        "i_g": RESULTS["binary32"],
    }
    for port, words in stimulus.words().items():
        count, fmt = getattr(stimulus, port.removeprefix("i_"))[0].size, formats[port]
        files.append((words, _port(port, count, fmt.bits, fmt.name)))
    if spec.accumulates:
        for name in _FLAGS:
            flags = getattr(stimulus, name).astype(np.uint32)[:, np.newaxis]
            files.append((flags, {"name": f"i_{name}", "direction": "in", "width": 1}))
    expected = stimulus.expected()
    form = spec.result_format
    result = {"name": "o_result", "direction": "out", "width": form.bits, "format": form.name}
    files.append((expected[:, np.newaxis], result))
    return _Made(stimulus, directed, _arrays(stimulus) | {"expected": expected}, files)


def _of_quantizer(stimulus: QuantizerStimulus, directed: int) -> _Made:
    spec = stimulus.spec
    size, element, scale = spec.block_size, spec.element_format, spec.scale_format
    about = {
        "i_x": (size, spec.input_format.bits, spec.input),
        "i_random": (size, spec.random_bits, "unsigned"),
        "i_g": (1, 32, "fp32"),
    }
    files = [(words, _port(name, *about[name])) for name, words in stimulus.words().items()]
    expected = stimulus.expected()
    files += [
        (expected[:, :-1], _port("o_codes", size, element.bits, element.name)),
        (expected[:, -1:], _port("o_scale", 1, scale.bits, scale.name)),
    ]
    codes, scales = stimulus.codes
    return _Made(stimulus, directed, _arrays(stimulus) | {"codes": codes, "scales": scales}, files)


def _of_dequantizer(stimulus: DequantizerStimulus, directed: int) -> _Made:
    spec = stimulus.spec
    size, element, scale = spec.block_size, spec.element_format, spec.scale_format
    about = {"i_codes": (size, element.bits, element.name), "i_scale": (1, scale.bits, scale.name)}
    files = [(words, _port(name, *about[name])) for name, words in stimulus.words().items()]
    words = stimulus.expected().reshape(stimulus.vectors, -1)
    files.append((words, _port("o_x", size, spec.output_format.bits, spec.output)))
    return _Made(stimulus, directed, _arrays(stimulus) | {"x": stimulus.numbers}, files)


def _arrays(stimulus: UnitStimulus) -> dict[str, Any]:
    """Return the arrays that a stimulus is made of."""
    return {name: array for name in stimulus.PARTS if (array := getattr(stimulus, name)) is not None}


def _make(spec: Specification, vectors: int, seed: int, *, long: bool) -> _Made:
    corners = directed_stimulus(spec, long=long)
    stimulus = corners.join([draw(spec, vectors, seed=seed)] if vectors else [])
    match stimulus:
        case QuantizerStimulus():
            return _of_quantizer(stimulus, corners.vectors)
        case DequantizerStimulus():
            return _of_dequantizer(stimulus, corners.vectors)
        case _:
            assert isinstance(stimulus, Stimulus)
            return _of_dot(stimulus, corners.vectors)


def _hex(words: npt.NDArray[np.uint32], width: int) -> str:
    """Return one number a line, the most significant digit first."""
    digits = -(-width // 4)
    big = np.ascontiguousarray(words[:, ::-1].astype(">u4")).tobytes().hex()
    row = 8 * words.shape[1]
    return "".join(f"{big[start + row - digits : start + row]}\n" for start in range(0, len(big), row))


def write(
    spec: Specification,
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
        long: Whether the directed ones have sums of 65536 groups: see `directed`. For dot products alone.

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
    made = _make(spec, vectors, seed, long=long)
    files = {f"{spec.name}.{port['name']}.hex": _hex(words, port["width"]) for words, port in made.files}
    about: dict[str, Any] = {
        "vectors_version": VECTORS_VERSION,
        "spec": {"name": spec.name, **asdict(spec)},
        "spec_sha256": spec_digest(spec),
        "vectors": made.stimulus.vectors,
        "directed": made.directed,
        "results": made.stimulus.result_count,
        "seed": seed,
        "ports": [port for _, port in made.files],
    }
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".vectors-") as name:
        beside = Path(name)
        # Not compressed: what compression makes depends on its version.
        np.savez(beside / f"{spec.name}.npz", **made.arrays)
        for file, content in files.items():
            (beside / file).write_bytes(content.encode())
        about["files"] = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(beside.iterdir())
        }
        text = json.dumps(about, indent=2) + "\n"
        (beside / f"{spec.name}.json").write_text(text, encoding="utf-8")
        for file in (*about["files"], f"{spec.name}.json"):
            (beside / file).replace(target / file)
    return about


def read(
    path: str | os.PathLike[str],
) -> tuple[UnitStimulus, npt.NDArray[np.uint32]]:
    """Read vectors back.

    Args:
        path: The JSON file; the others are beside it.

    Returns:
        The stimulus, without gaps and back-pressure, and the expected results as `expected` gives them.

    Raises:
        FileNotFoundError: If a file is missing.
        OSError: If one cannot be opened.
        ValueError: If a file is not what `write` wrote, or of another version.
    """
    place = Path(path)
    try:
        about = json.loads(place.read_text(encoding="utf-8"))
        version, digests = about["vectors_version"], about["files"]
        spec = parse_specification(about["spec"]["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"vectors must be described by a JSON file, not {str(place)!r}: {error}") from None
    if version != VECTORS_VERSION:
        raise ValueError(f"vectors must be of version {VECTORS_VERSION}, not {version}, in {str(place)!r}")
    if about.get("spec_sha256") != spec_digest(spec):
        raise ValueError(f"spec_sha256 must be that of {spec.name}, not another, in {str(place)!r}")
    archive = place.with_name(f"{spec.name}.npz")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digests.get(archive.name):
        raise ValueError(f"{str(archive)!r} must be the file that {str(place)!r} describes, not another")
    with np.load(archive, allow_pickle=False) as arrays:
        kept = dict(arrays)
    match spec:
        case QuantizerSpec():
            stimulus = QuantizerStimulus(spec=spec, x=kept["x"], random=kept.get("random"), g=kept.get("g"))
            codes = pack(kept["codes"], spec.element_format.bits)
            scales = pack(kept["scales"][:, np.newaxis], spec.scale_format.bits)
            return stimulus, np.concatenate([codes, scales], axis=1)
        case DequantizerSpec():
            given = DequantizerStimulus(spec=spec, codes=kept["codes"], scales=kept["scales"])
            return given, as_results(pack(kept["x"], spec.output_format.bits))
        case _:
            parts: dict[str, Any] = {name: kept.get(name) for name in Stimulus.PARTS}
            return Stimulus(spec=spec, **parts), kept["expected"]
