"""What a unit is fed with while its switching energy is measured.

Real vectors are the blocks of a weight matrix of a transformer against rows of its embeddings, quantized with
the unit's own formats; uniform codes are every code alike, which no data looks like, and which shows the most
that a unit can take. A quantizer is fed with rows of the embeddings as they are.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from ...model import DotSpec, QuantizerSpec, quantize
from ...sim.quantizer_stimulus import QuantizerStimulus, from_numbers
from ...sim.random_stimulus import random
from ...sim.stimulus import Stimulus, from_blocks
from ..demo_weights import Tensors

__all__ = ["ENERGY_LANES", "Vectors", "Workload", "quantizer_workload", "stimulus_of", "workloads"]

Vectors = Literal["real", "uniform"]

ENERGY_LANES: Final = 1024
"""Vectors side by side. A cycle takes as long for many as for few, so there are few cycles."""

# Of each vector; the first one is not counted.
_CYCLES: Final = 3


@dataclass(frozen=True)
class Workload:
    """Successive vectors, many runs of them side by side.

    Attributes:
        vectors: What they are.
        lanes: How many runs there are.
        sha256: Hash of all that is fed; equal ones are equal workloads.
        words: What each data port shows, vector by vector: shape (vectors, words), as `Stimulus.words`.
    """

    vectors: Vectors
    lanes: int
    sha256: str
    words: Mapping[str, npt.NDArray[np.unsignedinteger[Any]]] = field(compare=False, repr=False)

    @classmethod
    def of(cls, vectors: Vectors, lanes: int, stimulus: Stimulus | QuantizerStimulus) -> "Workload":
        """Return a workload of a stimulus's vectors, offered one each cycle and all accepted."""
        words: dict[str, npt.NDArray[Any]] = dict(stimulus.words())
        words["i_first"] = stimulus.first[:, np.newaxis].astype(np.uint32)
        words["i_last"] = stimulus.last[:, np.newaxis].astype(np.uint32)
        digest = hashlib.sha256()
        for port, array in words.items():
            digest.update(f"{port} {array.shape}\n".encode() + np.ascontiguousarray(array, "<u4").tobytes())
        return cls(vectors, lanes, digest.hexdigest(), words)


def stimulus_of(spec: DotSpec, vectors: int, tensors: Tensors | None) -> Stimulus:
    """Return blocks of one tensor against those of another, or, without tensors, uniform codes."""
    if tensors is None:
        return random(spec, vectors, seed=0, stalls=False)
    count, width = tensors[0].shape
    size = spec.block_size * spec.blocks
    groups = max(width // size, 1)
    rows = np.arange(-(-vectors // groups))
    tables = []
    # Each row of the one with the row of that number of the other; once all are through, with the next.
    for tensor, element, scale, taken in zip(
        tensors, spec.elements, spec.scales, (rows % count, (rows + rows // count) % count), strict=True
    ):
        # A row that is shorter than a group is filled up with zeros, as any sum that a unit is too wide for.
        columns = np.pad(tensor[: len(rows)], ((0, 0), (0, max(size - width, 0))))[:, : groups * size]
        whole = quantize(
            columns,
            element=element.name,
            scale=scale.name,
            block_size=spec.block_size,
            method="ceil" if scale.powers_of_two else "absmax",
        )
        codes, scales = whole.blocks()
        shape = (-1, groups, spec.blocks)
        tables.append((codes.reshape(*shape, spec.block_size)[taken], scales.reshape(shape)[taken]))
    (a, a_scale), (b, b_scale) = tables
    return from_blocks(spec, a, b, a_scale, b_scale)


def workloads(
    spec: DotSpec, stages: int, tensors: Tensors | None, *, lanes: int = ENERGY_LANES
) -> Iterator[Workload]:
    """Yield what a unit is fed with: blocks of real tensors, where there are any, and uniform codes.

    Args:
        spec: What the unit computes.
        stages: Its register stages: cycles more, until the first vector has reached all of them.
        tensors: What `real_tensors` returned.
        lanes: Vectors side by side.
    """
    count = lanes * (_CYCLES + stages)
    if tensors is not None:
        yield Workload.of("real", lanes, stimulus_of(spec, count, tensors))
    yield Workload.of("uniform", lanes, stimulus_of(spec, count, None))


def quantizer_workload(
    spec: QuantizerSpec, stages: int, tensors: Tensors, *, lanes: int = ENERGY_LANES
) -> Workload:
    """Return what a quantizer is fed with: successive blocks of real activations, row by row.

    Args:
        spec: What the unit computes.
        stages: Its register stages, as of `workloads`.
        tensors: What `real_tensors` returned; the second holds the activations.
        lanes: Vectors side by side.
    """
    rows = tensors[1]
    whole = rows[:, : rows.shape[1] // spec.block_size * spec.block_size]
    blocks = whole.reshape(-1, spec.block_size)
    # Once all are through, they come again.
    taken = blocks[np.arange(lanes * (_CYCLES + stages)) % len(blocks)]
    codes = spec.input_format.encode(taken)
    return Workload.of("real", lanes, from_numbers(spec, codes, g=spec.tensor_scale_of(taken), seed=0))
