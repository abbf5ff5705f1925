"""Every published tensor core against exact rationals."""

import numpy as np
import pytest
from aligned_steps import FORMATS, TensorCore
from blockdot.model import BlockTensor, DotSpec, Format, matmul
from blockdot.model.presets import PRESETS

# Shared/design.md, section 1.4: products a step takes, fraction, result, exponent of a zero.
TABLE = {
    "volta-fp16": (4, 23, "binary32", -131),
    "volta-fp16-fp16": (4, 23, "binary16", -20),
    "turing-fp16": (8, 24, "binary32", -132),
    "turing-fp16-fp16": (8, 24, "binary16", -21),
    **{f"{name}-tf32": (4, 24, "binary32", -132) for name in ("ampere", "ada")},
    **{f"{name}-{e}": (8, 24, "binary32", -132) for name in ("ampere", "ada") for e in ("bf16", "fp16")},
    **{f"ada-{e}": (16, 13, "e8m13", -132) for e in ("e4m3", "e5m2")},
    **{f"ada-{e}-fp16": (16, 13, "binary16", -21) for e in ("e4m3", "e5m2")},
    **{f"{name}-tf32": (8, 25, "binary32", -133) for name in ("hopper", "blackwell")},
    **{
        f"{name}-{e}": (16, 25, "binary32", -133)
        for name in ("hopper", "blackwell")
        for e in ("bf16", "fp16")
    },
    **{f"hopper-{e}": (32, 13, "e8m13", -133) for e in ("e4m3", "e5m2")},
    **{f"hopper-{e}-fp16": (32, 13, "binary16", -133) for e in ("e4m3", "e5m2")},
    **{f"blackwell-{e}": (32, 25, "binary32", -133) for e in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1")},
    **{f"blackwell-mx-{e}": (32, 25, "binary32", -133) for e in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1")},
    "blackwell-mxfp4": (64, 35, "binary32", -139),
    "blackwell-nvfp4": (64, 35, "binary32", -139),
}


def test_the_presets_are_those_of_the_table():
    seen = {
        name: (
            one.spec.blocks * one.spec.block_size,
            one.spec.fraction,
            one.spec.result,
            one.spec.zero_exponent,
        )
        for name, one in PRESETS.items()
    }
    assert seen == TABLE
    grouped = {name for name, one in PRESETS.items() if one.spec.term_size == 16}
    assert grouped == {"blackwell-mxfp4", "blackwell-nvfp4"}
    scales = {name: one.spec.scale for name, one in PRESETS.items() if one.spec.scale != "none"}
    assert scales == {
        "blackwell-nvfp4": "ue4m3",
        "blackwell-mxfp4": "ue8m0",
        **{f"blackwell-mx-{e}": "ue8m0" for e in ("e4m3", "e5m2", "e2m3", "e3m2", "e2m1")},
    }


def test_a_preset_has_the_name_of_its_specification():
    for name, one in PRESETS.items():
        assert DotSpec.preset(name) == one.spec
        assert DotSpec.parse(one.spec.name) == one.spec
    with pytest.raises(ValueError, match=r"^preset must be one of volta-fp16, .*, not 'pascal-fp16'$"):
        DotSpec.preset("pascal-fp16")


def drawn_elements(
    fmt: Format, shape: tuple[int, ...], kind: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Uniform over the finite codes, within some binades of 1, the least, or the greatest, by kind."""
    mantissa, one = fmt.mantissa_bits, int(fmt.encode(1.0))
    near = (
        np.clip((one >> mantissa) + rng.integers(-3, 4, shape), 0, fmt.largest_code >> mantissa) << mantissa
    )
    near = np.minimum(near | rng.integers(0, 1 << mantissa, shape), fmt.largest_code)
    least, greatest = rng.integers(0, 4, shape), fmt.largest_code - rng.integers(0, 2, shape)
    sign = rng.integers(0, 2, shape) << fmt.magnitude_bits
    return np.choose(kind, [rng.choice(fmt.codes, shape), near | sign, least | sign, greatest | sign])


def steps(spec: DotSpec, cases: int, groups: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Codes in which zeros, cancellation, what is no number, and steps that undo others come often."""
    shape = (cases, groups, spec.blocks, spec.block_size)
    kind = rng.choice(4, (cases, 1, 1, 1), p=[0.3, 0.4, 0.15, 0.15])
    a, b = (drawn_elements(fmt, shape, kind, rng) for fmt in spec.elements)
    zeros, half = rng.integers(0, 5, shape[:-1])[..., np.newaxis], rng.random(shape) < 0.5
    a[(zeros == 0) | ((zeros == 1) & half)] = 0
    b[(zeros == 1) & ~half] = 0
    sign = 1 << spec.elements[0].magnitude_bits
    pairs = rng.random(shape[:-1]) < 0.2
    a[..., 1::2] = np.where(pairs[..., np.newaxis], a[..., 0::2] ^ sign, a[..., 1::2])
    b[..., 1::2] = np.where(pairs[..., np.newaxis], b[..., 0::2], b[..., 1::2])
    undone = rng.random(cases) < 0.2
    a[undone, 1], b[undone, 1] = a[undone, 0] ^ sign, b[undone, 0]
    for array, fmt in zip((a, b), spec.elements, strict=True):
        special = np.flatnonzero(~np.isfinite(fmt.values))
        if len(special):
            here = rng.random(shape) < 0.1 / spec.block_size
            array[here] = rng.choice(special, here.sum())
    codes = [a, b]
    for fmt in spec.scales if spec.scale != "none" else ():
        middle = rng.integers(0, 1 << fmt.bits, (cases, 1, 1))
        near = np.clip(middle + rng.integers(-3, 4, shape[:-1]), 0, fmt.largest_code)
        scales = np.where(rng.random((cases, 1, 1)) < 0.6, near, rng.integers(0, 1 << fmt.bits, shape[:-1]))
        scales[undone, 1] = scales[undone, 0]
        codes.append(scales)
    formats = spec.elements + spec.scales
    return [array.astype(fmt.dtype) for array, fmt in zip(codes, formats, strict=False)]


def core_of(spec: DotSpec) -> TensorCore:
    elements, scales = ((a.name, b.name) for a, b in (spec.elements, spec.scales))
    return TensorCore(
        elements,
        None if spec.scale == "none" else scales,
        fraction=spec.fraction,
        zero_exponent=spec.zero_exponent,
        grouped=spec.term_size != 1,
        result=spec.result,
    )


def bits_of(results: np.ndarray, result: str) -> np.ndarray:
    """The bits of results as their own format has them."""
    if result != "binary16":
        return results.view(np.uint32)
    narrow = results.astype(np.float16)
    np.testing.assert_array_equal(narrow.astype(np.float32), results)
    return np.where(np.isnan(results), 0x7E00, narrow.view(np.uint16))


@pytest.mark.parametrize("name", PRESETS)
def test_steps_of_a_preset_against_rationals(name: str, rng: np.random.Generator):
    spec = DotSpec.preset(name)
    codes = steps(spec, 40, 3, rng)
    core = core_of(spec)
    wanted = [core.chain(*case) for case in zip(*(array.tolist() for array in codes), strict=True)]
    np.testing.assert_array_equal(bits_of(spec.compute(*codes), spec.result), np.array(wanted, np.int64))


def test_the_wide_formats_are_those_of_the_reference():
    for name in ("fp16", "bf16", "tf32"):
        fmt = DotSpec(element=name, scale="none", accumulate="aligned", term_size=1).elements[0]
        exponent_bits, mantissa_bits, bias, _, _ = FORMATS[name]
        assert (fmt.exponent_bits, fmt.mantissa_bits, fmt.bias) == (exponent_bits, mantissa_bits, bias)
    values = DotSpec(element="fp16", scale="none", accumulate="aligned", term_size=1).elements[0].values
    np.testing.assert_array_equal(values, np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(float))


def ones(spec: DotSpec, *values: float) -> float:
    """One step of products of the values and 1."""
    a = spec.elements[0].encode(np.array([[values]]))
    return float(spec.compute(a, spec.elements[1].encode(np.ones((1, 1, len(values))))))


def test_13_bits_by_hand():
    spec = DotSpec(
        element="e5m2",
        scale="none",
        block_size=4,
        accumulate="aligned",
        fraction=13,
        term_size=1,
        result="e8m13",
    )
    assert ones(spec, 1, 2.0**-13, 0, 0) == 1 + 2.0**-13
    assert ones(spec, 1, 2.0**-14, 2.0**-14, 0) == 1
    assert ones(spec, -1, -(2.0**-14), 2.0**-13, 0) == -1 + 2.0**-13
    # 1.75 * 2**14 and its like carry beyond the first bit: one bit is then cut off the total.
    assert ones(spec, 1, 1, 2.0**-13, 0) == 2
    assert ones(spec, 1, 1, 2.0**-13, 2.0**-13) == 2 + 2.0**-12


def test_binary16_rounds_to_nearest_even_once_a_step():
    spec = DotSpec(
        element="fp16",
        scale="none",
        block_size=4,
        accumulate="aligned",
        fraction=23,
        term_size=1,
        result="binary16",
    )
    assert ones(spec, 1, 2.0**-11, 0, 0) == 1
    assert ones(spec, 1, 2.0**-11, 2.0**-20, 0) == 1 + 2.0**-10
    assert ones(spec, 65504, 15, 0, 0) == 65504
    assert ones(spec, 65504, 16, 0, 0) == np.inf
    assert ones(spec, 2.0**-24, 0, 0, 0) == 2.0**-24


@pytest.mark.parametrize(
    "name", ["hopper-e4m3", "hopper-fp16", "ada-e5m2-fp16", "blackwell-mx-e2m1", "blackwell-mxfp4"]
)
def test_products_of_matrices_are_chains_of_steps(name: str, rng: np.random.Generator):
    spec = DotSpec.preset(name)
    step, groups = spec.blocks * spec.block_size, 3
    tensors, codes = [], []
    for fmt, scale, rows in zip(spec.elements, spec.scales, (3, 4), strict=True):
        elements = drawn_elements(fmt, (rows, groups * step), np.ones((1, 1), int), rng).astype(fmt.dtype)
        elements[rng.random(elements.shape) < 0.3] = 0
        middle = int(scale.encode(1.0))
        scales = np.clip(middle + rng.integers(-3, 4, (rows, groups * spec.blocks)), 0, scale.largest_code)
        scales = scales.astype(scale.dtype)
        tensors.append(BlockTensor(elements, scales, 1.0, fmt.name, scale.name, spec.block_size))
        codes.append((elements, scales))
    seen = matmul(spec, *tensors)
    core = core_of(spec)
    wanted = np.zeros(seen.shape, np.int64)
    for row, column in np.ndindex(seen.shape):
        sides = [codes[0][0][row], codes[1][0][column], codes[0][1][row], codes[1][1][column]]
        shaped = [array.reshape(groups, spec.blocks, -1).tolist() for array in sides[:2]]
        if spec.scale != "none":
            shaped += [array.reshape(groups, spec.blocks).tolist() for array in sides[2:]]
        wanted[row, column] = core.chain(*shaped)
    np.testing.assert_array_equal(bits_of(seen, spec.result), wanted)


def test_what_goes_with_what():
    def refused(message: str, **parameters) -> None:
        with pytest.raises(ValueError, match=f"^{message}$"):
            DotSpec(**parameters)

    refused("term_size must be 1 or 16, not 8", accumulate="aligned", term_size=8)
    refused("zero_exponent must be from -255 to -15, not 0", accumulate="aligned", zero_exponent=0)
    refused(
        "result must be one of binary32, e8m13, binary16, bfloat16 for accumulate='aligned', not 'fp8'",
        accumulate="aligned",
        result="fp8",
    )
    refused("scale must be a format for accumulate='fp32', not 'none'", accumulate="fp32", scale="none")
    refused(
        "scale must be none for both of a and b or for neither, not none and ue4m3",
        accumulate="aligned",
        scale=("none", "ue4m3"),
    )
    refused("term_size must be 1 for bf16, not 16", accumulate="aligned", element="bf16")
    refused("term_size must be 1 for fp16, not 16", accumulate="fp32", element="fp16")
    refused(
        "element must have an exponent for a term_size of 1, not int8",
        accumulate="aligned",
        element="int8",
        term_size=1,
    )
    # Without effect on the others, where they read as by default.
    assert DotSpec(accumulate="fp32", term_size=1, zero_exponent=-20) == DotSpec(accumulate="fp32")
    # Unlike those it would change what is computed.
    refused(
        "result must be one of binary32, binary16, bfloat16 for accumulate='fp32', not 'e8m13'",
        accumulate="fp32",
        result="e8m13",
    )
    spec, a = DotSpec.preset("hopper-e4m3"), np.zeros((1, 1, 32), np.uint8)
    with pytest.raises(ValueError, match=r"^a_scale must not be given for e4m3_none_n32_aligned_"):
        spec.compute(a, a, np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    with pytest.raises(ValueError, match=r"^b_scale must be given for e2m1_ue5m3_n16_none$"):
        DotSpec().compute(a[..., :16], a[..., :16], np.zeros((1, 1), np.uint8))
