"""``python -m benchmarks``: how fast the model is, against the straightforward way with the same bits.

Each row names a ratio: the median time of the straightforward way over ours, the two taken in turn in one
process with one thread. Quantizing and decoding are held against numpy with ml_dtypes, on a 4096 x 4096
float32 matrix; `matmul` against numpy's own float32 product of the same shape, 1024 x 1024 x 1024, which
computes something else and is the speed of light here. Ours is numpy alone, and in the rows that say so the
compiled loops of the extra `fast`. Memory is the peak of tensor, result and everything between, over the
tensor's own size.
"""

import argparse
import functools
import itertools
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt
from blockdot.model import BlockTensor, DotSpec, formats, matmul, quantize
from blockdot.model.fast import staircases
from blockdot.model.spec import Accumulate

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Figure:
    """One row of the table: seconds, and the least ratio asked for."""

    name: str
    theirs: float
    ours: float
    target: float


def compare(
    name: str, target: float, runs: int, theirs: Callable[[], object], ours: Callable[[], object]
) -> Figure:
    """Time two ways in turn, and return the medians in seconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs + 1):
        for way, taken in zip((theirs, ours), times, strict=True):
            start = time.perf_counter()
            way()
            taken.append(time.perf_counter() - start)
    # The first of each warms up.
    first, second = (statistics.median(taken[1:]) for taken in times)
    return Figure(name, first, second, target)


def plain_quantize(x: Matrix, scale: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Quantize in blocks of 16 as one would write it down."""
    blocks = x.reshape(-1, 16)
    wanted = np.abs(blocks).max(axis=1) / np.float32(6)
    if scale == "ue4m3":
        codes = np.minimum(wanted, np.float32(448)).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
        values = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    else:
        # ml_dtypes has no such format: the nearest value of a table, a tie to the even code.
        table = formats.get(scale).values[: formats.get(scale).largest_code + 1].astype(np.float32)
        middles = (table[1:] + table[:-1]) / 2
        low = np.searchsorted(middles, wanted, side="left")
        tied = (low < len(middles)) & (middles[np.minimum(low, len(middles) - 1)] == wanted)
        codes = (low + (tied & (low % 2 == 1))).astype(np.uint8)
        values = table[codes]
    quotients = blocks / np.where(values == 0, np.float32(np.inf), values)[:, np.newaxis]
    elements = quotients.astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
    elements[values == 0] = 0
    return elements, codes


def plain_decode(tensor: BlockTensor, out: Matrix | None = None) -> Matrix:
    """Decode ue4m3 blocks of 16 as one would write it down, into an array where one is given."""
    elements = tensor.codes.reshape(-1, 16).view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    scales = tensor.scales.reshape(-1, 1).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    into = None if out is None else out.reshape(elements.shape)
    return np.multiply(elements, scales, out=into).reshape(tensor.shape)


def conversions(x: Matrix, runs: int) -> Iterator[Figure]:
    """Quantizing and decoding."""
    for scale in ("ue4m3", "ue5m3"):
        tensor = quantize(x, scale=scale)
        elements, scales = plain_quantize(x, scale)
        if not (
            np.array_equal(tensor.codes.reshape(-1, 16), elements) and (tensor.scales.ravel() == scales).all()
        ):
            raise AssertionError(f"the two ways to quantize with {scale} must give the same codes")
        yield from both_ways(
            f"quantize {scale}",
            (3.5, 8.0),
            runs,
            lambda scale=scale: plain_quantize(x, scale),
            lambda scale=scale: quantize(x, scale=scale),
        )
    tensor = quantize(x, scale="ue4m3")
    if not np.array_equal(plain_decode(tensor), tensor.dequantize()):
        raise AssertionError("the two ways to decode must give the same values")
    yield from both_ways("decode ue4m3", (4.0, 15.0), runs, lambda: plain_decode(tensor), tensor.dequantize)
    # As one decodes matrix after matrix: nothing waits for memory that no one used before.
    used = np.zeros(tensor.shape, np.float32)
    yield from both_ways(
        "decode ue4m3 into an array",
        (4.0, 15.0),
        runs,
        lambda: plain_decode(tensor, used),
        lambda: tensor.dequantize(used),
    )


def both_ways(
    name: str,
    targets: tuple[float, float],
    runs: int,
    theirs: Callable[[], object],
    ours: Callable[[], object],
) -> Iterator[Figure]:
    """Compare numpy alone and, where numba is installed, the compiled loops."""
    with staircases.plain():
        yield compare(name, targets[0], runs, theirs, ours)
    if staircases.loops(1 << 20):
        yield compare(f"{name}, fast", targets[1], runs, theirs, ours)


def products(size: int, runs: int, rng: np.random.Generator) -> Iterator[Figure]:
    """`matmul` of quantized Gaussian data, and for `exact` of uniform scale codes, the hardest there are."""
    # Two matrices: numpy takes half the time for the product of a matrix with itself.
    x, y = rng.standard_normal((2, size, size), np.float32)
    # The last two are the targets: of numpy alone, and with compiled loops.
    rows: tuple[tuple[str, str, Accumulate, int, float, float | None], ...] = (
        ("fp32", "ue4m3", "fp32", 1, 0.45, 0.45),
        ("fp32", "ue5m3", "fp32", 1, 0.45, 0.45),
        ("exact", "ue4m3", "exact", 1, 0.4, 0.4),
        ("exact", "ue5m3", "exact", 1, 0.2, 0.2),
        ("exact, uniform scales", "ue4m3", "exact", 1, 0.4, 0.4),
        # No loops of ours: float64 does not hold their sums.
        ("exact, uniform scales", "ue5m3", "exact", 1, 0.2, None),
        ("aligned, 4 blocks", "ue4m3", "aligned", 4, 0.03, 0.3),
    )
    for name, scale, accumulate, blocks, plain, fast in rows:
        a, b = (quantize(values, scale=scale) for values in (x, y))
        if "uniform" in name:
            drawn = rng.choice(formats.get(scale).codes, (2, size, size // 16))
            a, b = (BlockTensor(t.codes, s, scale=scale) for t, s in zip((a, b), drawn, strict=True))
        spec = DotSpec(scale=scale, blocks=blocks, accumulate=accumulate)
        ours = functools.partial(matmul, spec, a, b)
        with staircases.plain():
            plainly = ours()
        if not np.array_equal(plainly.view(np.int32), ours().view(np.int32)):
            raise AssertionError(f"{spec.name} must be the same with and without compiled loops")
        ways = both_ways(f"matmul {scale} {name}", (plain, fast or plain), runs, lambda: x @ y.T, ours)
        yield from ways if fast else itertools.islice(ways, 1)


def peak(x: Matrix) -> float:
    """Return the peak memory of quantizing over the tensor's size, itself included."""
    tracemalloc.start()
    with staircases.plain():
        quantize(x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (x.nbytes + most) / x.nbytes


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each way (default 7, at least 5)")
    runs = max(5, parser.parse_args().runs)
    rng = np.random.default_rng(1)
    print(f"{'':40} {'theirs':>10} {'ours':>10} {'ratio':>8} {'target':>8}")
    large = rng.standard_normal((4096, 4096), np.float32)
    for figures in (conversions(large, runs), products(1024, runs, rng)):
        for figure in figures:
            ratio = figure.theirs / figure.ours
            print(
                f"{figure.name:40} {figure.theirs * 1e3:8.1f}ms {figure.ours * 1e3:8.1f}ms {ratio:8.3f} "
                f"{figure.target:>7}{'' if ratio >= figure.target else ' missed'}",
                flush=True,
            )
    most = peak(large)
    print(f"{'peak memory of quantizing':40} {'':10} {'':10} {most:8.3f} {1.3:>7}{' missed' * (most >= 1.3)}")


if __name__ == "__main__":
    main()
