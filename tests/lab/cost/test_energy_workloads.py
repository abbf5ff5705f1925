import numpy as np
import numpy.typing as npt
import pytest
from blockdot.lab.cost.energy_workloads import quantizer_workload, stimulus_of, workloads
from blockdot.model import DotSpec, QuantizerSpec, formats

ROWS, WIDTH, SIZE = 5, 8, 4


def exact(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a matrix that blocks of 4 hold as it is: a 6 in each, and a power of two as its scale."""
    steps = rng.choice([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], (ROWS, WIDTH // SIZE, SIZE))
    steps *= rng.choice([-1, 1], steps.shape)
    steps[..., 0] = 6
    return np.float32(steps * 2.0 ** rng.integers(-3, 4, (ROWS, WIDTH // SIZE, 1))).reshape(ROWS, WIDTH)


def decoded(spec: DotSpec, codes: npt.NDArray[np.integer], scales: npt.NDArray[np.integer]) -> np.ndarray:
    element, scale = spec.elements[0], spec.scales[0]
    values = formats.get(element.name).decode(codes) * formats.get(scale.name).decode(scales)[..., None]
    return values.reshape(len(codes), -1)


@pytest.fixture
def tensors(rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return exact(rng), exact(rng)


@pytest.mark.parametrize("vectors", [1, 7, 10, 23])
def test_blocks_follow_each_other_as_in_a_product_of_matrices(tensors, vectors: int):
    spec = DotSpec(scale="ue5m3", block_size=SIZE, accumulate="fp32")
    made = stimulus_of(spec, vectors, tensors)
    groups = WIDTH // SIZE
    assert vectors <= len(made.a) < vectors + groups
    a, b = decoded(spec, made.a, made.a_scale), decoded(spec, made.b, made.b_scale)
    met: set[tuple[int, int]] = set()
    for row in range(len(a) // groups):
        # As many pairs of rows as are needed, each of them once.
        ours, theirs = (
            next(k for k in range(ROWS) if np.array_equal(tensor[k], codes[row * groups :][:groups].ravel()))
            for tensor, codes in zip(tensors, (a, b), strict=True)
        )
        met.add((ours, theirs))
    assert len(met) == len(a) // groups
    assert {(k, k) for k in range(min(ROWS, len(met)))} <= met
    assert np.flatnonzero(made.first).tolist() == list(range(0, len(a), groups))


def test_a_group_that_is_wider_than_a_row_is_filled_up_with_zeros(tensors):
    spec = DotSpec(scale="ue5m3", block_size=SIZE, blocks=4, accumulate="exact")
    made = stimulus_of(spec, 7, tensors)
    assert len(made.a) == 7
    a = decoded(spec, made.a, made.a_scale)
    for row in range(7):
        assert np.array_equal(a[row], np.pad(tensors[0][row % ROWS], (0, WIDTH)))


def test_a_deep_unit_gets_as_many_vectors_as_it_needs(tensors):
    spec = DotSpec(scale="ue4m3", block_size=SIZE, blocks=2, accumulate="aligned")
    for stages in (1, 6):
        real, uniform = workloads(spec, stages, tensors, lanes=16)
        assert (real.vectors, uniform.vectors) == ("real", "uniform")
        for one in (real, uniform):
            assert {len(words) for words in one.words.values()} == {16 * (3 + stages)}


def test_a_quantizer_is_fed_with_activations_row_by_row(tensors):
    spec = QuantizerSpec(block_size=SIZE, method="absmax")
    made = quantizer_workload(spec, 1, tensors, lanes=4)
    words = made.words["i_x"]
    assert (made.vectors, words.shape) == ("real", (16, 2))
    # These values are exact in bf16, whose bits are the upper half of float32's.
    blocks = tensors[1].reshape(-1, SIZE)
    codes = np.ascontiguousarray(words).view(np.uint16).reshape(16, SIZE)
    shown = (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
    assert np.array_equal(shown, blocks[np.arange(16) % len(blocks)])
    # What does not fill a block at the end of a row is left out.
    other = quantizer_workload(spec, 1, (tensors[0], tensors[1][:, :6]), lanes=1)
    codes = np.ascontiguousarray(other.words["i_x"]).view(np.uint16).reshape(4, SIZE)
    shown = (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
    assert np.array_equal(shown, tensors[1][:4, :4])
    assert quantizer_workload(spec, 1, tensors, lanes=4) == made != other
