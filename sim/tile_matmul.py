"""Matrix products on a simulated tile: what a tensor core made of these units would give."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..hw import DotArray
from ..model import BlockTensor, DotSpec
from ..model.matmul import check_c, check_operands, scaled
from .engines import cxxrtl
from .engines.run import BUILD_DIR
from .stream_rules import Limits
from .unit_stimulus import Bools, pack

__all__ = ["TileInputs", "simulate_matmul"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TileInputs:
    """The inputs of a tile in order: what `Stimulus` is for a unit, packed already.

    Args:
        ports: For each data port the words of every vector, shape (vectors, words); see `pack`.
        first: Which vectors start sums, shape (vectors,).
        last: Which vectors ask for results, shape (vectors,).
        offer: In which cycles an input may be offered, shape (cycles,), repeated without end.
        accept: In which cycles results are accepted, likewise.
    """

    ports: dict[str, npt.NDArray[np.uint32]]
    first: Bools
    last: Bools
    offer: Bools
    accept: Bools

    @property
    def vectors(self) -> int:
        """How many inputs there are."""
        return len(self.first)

    def words(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return what is put on each data port."""
        return self.ports


def _packed(
    codes: npt.NDArray[np.unsignedinteger], bits: int, height: int, groups: int
) -> npt.NDArray[np.uint32]:
    """Return the words that hold each group of each `height` rows, shape (tiles, groups, words).

    Rows that are not there are zeros.
    """
    flat = codes.reshape(len(codes), -1)
    flat = np.pad(flat, ((0, -len(flat) % height), (0, 0)))
    tiles = flat.reshape(-1, height, groups, flat.shape[1] // groups).swapaxes(1, 2)
    words = pack(tiles.reshape(tiles.shape[0] * groups, -1), bits)
    return words.reshape(tiles.shape[0], groups, -1)


def _numbers(spec: DotSpec, words: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.float32]:
    """Return the results in words that hold `count` of them each time, side by side."""
    result = spec.result_format
    if result.bits == 32:
        return result.decode(words)
    halves = np.ascontiguousarray(words.reshape(-1, -(-count // 2)), "<u4").view("<u2")
    return result.decode(halves[:, :count].astype(np.uint32))


def _starts(
    array: DotArray, start: npt.NDArray[np.float32], tile_rows: int, tile_columns: int
) -> npt.NDArray[np.uint32]:
    """Return the words that hold what the sums of each tile start at, shape (tile rows, columns, words)."""
    form = array.spec.c_format
    rows, columns = tile_rows * array.rows, tile_columns * array.columns
    bits = np.zeros((rows, columns), np.uint32)
    bits[: start.shape[0], : start.shape[1]] = form.encode(start)
    tiles = bits.reshape(tile_rows, array.rows, tile_columns, array.columns).swapaxes(1, 2)
    words = pack(tiles.reshape(tile_rows * tile_columns, -1), form.bits)
    return words.reshape(tile_rows, tile_columns, -1)


def simulate_matmul(
    array: DotArray,
    A: BlockTensor,
    B: BlockTensor,
    C: npt.ArrayLike | None = None,
    *,
    offer: Bools | None = None,
    accept: Bools | None = None,
    build_dir: str | os.PathLike[str] = BUILD_DIR,
    held_words: int = 1 << 24,
) -> npt.NDArray[np.float32]:
    """Return ``A @ B.T``, or ``A @ B.T + C``, as a simulated tile computes it: the bits of `blockdot.matmul`.

    One tile of the result after another, a group of columns a cycle; rows that a last tile has no use for
    are given zeros. Simulated by CXXRTL, and held to the rules of streams as a unit is.

    Args:
        array: The tile.
        A: Blocked along its last axis, shape (M, K), in the formats that the specification has for a.
        B: Blocked along its last axis, shape (N', K), in the formats that the specification has for b.
        C: What the sums start at, as for `blockdot.matmul`; None unless the specification takes it.
        offer: In which cycles an input may be offered, repeated without end; by default in every one.
        accept: In which cycles a result is accepted, repeated without end; by default in every one.
        build_dir: Where compiled tiles are kept between runs; made if need be.
        held_words: How many words of inputs memory holds at a time: rows of tiles run one after another
            where all would be more.

    Returns:
        binary32 results, shape (M, N').

    Raises:
        TypeError: If A or B is no BlockTensor, or C is not float32.
        ValueError: If C, a shape or a format does not fit, as for `blockdot.matmul`, or the tile is moved by
            something else than its streams.
        ToolError: If a tool is missing.
        EngineError: If the compiler fails.
        StreamError: If the tile breaks a rule of its streams.
    """
    spec = array.spec
    groups = check_operands(spec, A, B)
    start = check_c(spec, A, B, C)
    if array.flow != "stream":
        raise ValueError(f"array must have flow 'stream' for an engine, not {array.flow!r}")
    sides = zip("ab", (A, B), (array.rows, array.columns), spec.elements, spec.scales, strict=True)
    down: dict[str, npt.NDArray[np.uint32]] = {}
    across: dict[str, npt.NDArray[np.uint32]] = {}
    for name, tensor, height, element, scale in sides:
        codes, scales = tensor.blocks()
        packed = down if name == "a" else across
        packed[f"i_{name}"] = _packed(codes, element.bits, height, groups)
        if scale.bits:
            packed[f"i_{name}_scale"] = _packed(scales, scale.bits, height, groups)
    tile_rows, tile_columns = len(down["i_a"]), len(across["i_b"])
    starts = None if start is None else _starts(array, start, tile_rows, tile_columns)
    result = np.empty((tile_rows, array.rows, tile_columns, array.columns), np.float32)
    ones = np.ones(1, np.bool_)
    row_words = sum(words.shape[-1] for words in (*down.values(), *across.values()))
    step = max(1, held_words // (tile_columns * groups * row_words))
    for top in range(0, tile_rows, step):
        part = slice(top, min(top + step, tile_rows))
        shape = (part.stop - top, tile_columns, groups)
        spread = {port: words[part, np.newaxis] for port, words in down.items()} | across
        ports = {
            port: np.broadcast_to(spread[port], (*shape, spread[port].shape[-1])).reshape(
                -1, spread[port].shape[-1]
            )
            for port in ("i_a", "i_b", "i_a_scale", "i_b_scale")  # as the driver reads them
            if port in spread
        }
        if starts is not None:
            words = starts[part, :, np.newaxis]
            ports["i_c"] = np.broadcast_to(words, (*shape, words.shape[-1])).reshape(-1, words.shape[-1])
        group = np.broadcast_to(np.arange(groups), shape).reshape(-1)
        inputs = TileInputs(
            ports=ports,
            first=group == 0,
            last=group == groups - 1,
            offer=ones if offer is None else offer,
            accept=ones if accept is None else accept,
        )
        limits = Limits.of(array.latency, inputs)
        outcome, response = cxxrtl.run(array, inputs, build_dir=Path(build_dir), limits=limits)
        bits = outcome.conclude(array, inputs, limits, response).results
        numbers = _numbers(spec, bits, array.rows * array.columns)
        tiles = numbers.reshape(*shape[:2], array.rows, array.columns)
        result[part] = tiles.swapaxes(1, 2)
    rows, columns = A.shape[0], B.shape[0]
    whole = result.reshape(tile_rows * array.rows, -1)[:rows, :columns]
    return scaled(np.ascontiguousarray(whole), A, B)
