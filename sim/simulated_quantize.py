"""Tensors quantized by simulated hardware: what a tensor core's other half would give."""

import os

import numpy as np
import numpy.typing as npt

from ..base.argument_checks import cast_exactly
from ..hw.quantizer_unit import QuantizerUnit
from ..model import BlockTensor
from .engines.run import BUILD_DIR, Engine, run
from .quantizer_stimulus import from_numbers

__all__ = ["simulate_quantize"]


def simulate_quantize(
    unit: QuantizerUnit,
    x: npt.ArrayLike,
    *,
    seed: int | None = None,
    stalls: int | None = None,
    engine: Engine = "cxxrtl",
    build_dir: str | os.PathLike[str] = BUILD_DIR,
) -> BlockTensor:
    """Return what a simulated quantizer makes of a tensor: the codes of `blockdot.quantize`.

    Args:
        unit: The quantizer. Where there is a tensor scale, it is the one that `quantize` gives this tensor.
        x: Finite or not, numbers of the unit's input format, in blocks along the last axis.
        seed: Seed of the random bits, where there are any.
        stalls: Seed of gaps between blocks and of back-pressure; None for neither.
        engine: What simulates it.
        build_dir: Where compiled units are kept between runs; made if need be.

    Raises:
        TypeError: If x is not of real numbers.
        ValueError: If x has a number that the input format has not, or a length that the block size does not
            divide, or the unit is moved by something else than its streams.
        ToolError: If a tool is missing.
        EngineError: If the simulator or its compiler fails.
        StreamError: If the unit breaks a rule of its streams.
    """
    spec = unit.spec
    values = cast_exactly(x, np.float32, "x")
    size = spec.block_size
    if not values.ndim or not values.size or values.shape[-1] % size:
        raise ValueError(f"x must have blocks of {size} along its last axis, not shape {values.shape}")
    codes = spec.input_format.encode(values)
    if not np.array_equal(spec.input_format.to_float32(codes), values, equal_nan=True):
        raise ValueError(f"x must be of {spec.input} numbers for {spec.name}, and some are not")
    g = spec.tensor_scale_of(values)
    stimulus = from_numbers(spec, codes, g=g, seed=seed, stalls=stalls)
    words = run(unit, stimulus, engine=engine, build_dir=build_dir).results
    element, scale = spec.element_format, spec.scale_format
    of_elements = np.ascontiguousarray(words[:, :-1]).view(np.uint8)
    bits = np.unpackbits(of_elements, axis=1, bitorder="little")[:, : size * element.bits]
    weights = 1 << np.arange(element.bits)
    elements = bits.reshape(-1, size, element.bits) @ weights
    return BlockTensor(
        codes=elements.astype(element.dtype).reshape(values.shape),
        scales=words[:, -1].astype(scale.dtype).reshape(*values.shape[:-1], values.shape[-1] // size),
        element=spec.element,
        scale=spec.scale,
        block_size=size,
        tensor_scale=1.0 if g is None else g,
    )
