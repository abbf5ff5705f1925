"""A product of a small model on a simulated tile."""

from dataclasses import replace

import numpy as np
import pytest
from blockdot.lab.language.arithmetic import Arithmetic, QuantizedProducts
from blockdot.lab.language.model import open_model
from blockdot.lab.language.simulated_product import simulate_product
from blockdot.lab.language.transformer import Transformer
from blockdot.lab.quality.quantization_error import Quantization
from tiny_models import write_model

pytest.importorskip("tokenizers")


def test_what_the_evaluation_uses_is_what_the_tile_computes(tmp_path):
    model, _ = open_model(write_model(tmp_path / "model"))
    windows = np.random.default_rng(0).integers(0, 256, (2, 24))
    way = Arithmetic(
        quantization=Quantization(scale="ue4m3", block_size=2, tensor_scale=True),
        operands="both",
        accumulate="fp32",
        narrow=2,
    )
    found = simulate_product(
        model, windows, way, "layers.1.query", tokens=5, outputs=3, shape=(1, 1), build_dir=tmp_path
    )
    assert (found.used.shape, found.length, found.equal) == ((5, 3), 32, 15)

    # The evaluation's own: the product that the model's second layer has.
    seen = []

    class Seeing(QuantizedProducts):
        def linear(self, name, weight):
            product = super().linear(name, weight)

            def seeing(x):
                result = product(x)
                if name == "layers.1.query":
                    seen.append(result)
                return result

            return seeing

    Transformer(model.configuration, model.weights, Seeing(way, 2)).states(windows)
    np.testing.assert_array_equal(found.used * np.float32(4), seen[0][0, :5, :3])
    assert replace(found, simulated=found.simulated + np.float32(1)).equal == 0
