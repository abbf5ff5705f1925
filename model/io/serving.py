"""What inference engines ask of an NVFP4 checkpoint besides its tensors, as vLLM and transformers do.

They run some layers as one, whose tensor scale is one number. They leave embeddings, the head, the routers of
experts and the towers of pictures and sounds as they are. They learn from ``config.json`` what was quantized,
and how.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .checkpoint import Layout
from .tensor_files import TensorInfo

__all__ = [
    "ACTIVATION_SCALES",
    "activation_scale",
    "converted_activation_scale",
    "fused_groups",
    "hf_quant_config",
    "left_out_by_default",
    "quantization_config",
]

# The last part of the names of layers that are run as one: attention, also latent, and gated units.
_FUSED: Final = (
    ("q_proj", "k_proj", "v_proj"),
    ("wq", "wk", "wv"),
    ("query", "key", "value"),
    ("q_a_proj", "kv_a_proj_with_mqa"),
    ("gate_proj", "up_proj"),
    ("w1", "w3"),
)
_EMBEDDING: Final = re.compile(r"(?:^|[._])(?:embed|embeddings?|embed_\w+|wte|wpe)(?:\.|$)")
_HEADS: Final = ("lm_head", "output")
# What turns pictures and sounds into tokens, and what predicts the tokens behind the next: ModelOpt leaves
# them out by default, and engines run them as they are.
_TOWERS: Final = re.compile(
    r"(?:^|\.)(?:visual|vision_(?:tower|model|encoder)|audio_(?:tower|encoder)|multi_modal_projector|"
    r"mm_projector)(?:\.|$)"
)
_FURTHER: Final = re.compile(r"(?:^|\.)mtp(?:\.|$)")
_ROUTERS: Final = ("gate", "router", "shared_expert_gate")

# What follows a matrix's name: the scale of a layer's input. ModelOpt's multiplies, the other one divides.
ACTIVATION_SCALES: Final[dict[Layout, str]] = {
    "compressed_tensors": ".input_global_scale",
    "modelopt": ".input_scale",
}


def left_out_by_default(name: str) -> str | None:
    """Return why a matrix is better left as it is; None for those that are quantized.

    Args:
        name: The layer's name, without ``.weight``.
    """
    last = name.rpartition(".")[2]
    if _EMBEDDING.search(name):
        return "it is an embedding"
    if _TOWERS.search(name):
        return "it is of a vision or audio tower"
    if _FURTHER.search(name):
        return "it predicts the tokens behind the next"
    if last in _HEADS and (name == last or last != "output"):
        return "it is the head"
    return "it routes experts" if last in _ROUTERS else None


def fused_groups(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the groups of layers that engines run as one: of each name in one, all names in it.

    Args:
        names: The layers there are, without ``.weight``.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in names:
        before, _, last = name.rpartition(".")
        for fused in _FUSED:
            if last in fused:
                groups.setdefault((before, fused), []).append(name)
    return {name: tuple(group) for group in groups.values() for name in group if len(group) > 1}


def converted_activation_scale(
    info: TensorInfo, matrices: Iterable[str], layout: Layout
) -> TensorInfo | None:
    """Return what a layer's activation scale becomes in another layout; None for any other tensor.

    Args:
        info: A tensor.
        matrices: The names of the matrices that change their layout.
        layout: The layout that is written.
    """
    other: Layout = "modelopt" if layout == "compressed_tensors" else "compressed_tensors"
    matrix = info.name.removesuffix(ACTIVATION_SCALES[other])
    if matrix == info.name or matrix not in matrices or info.dtype != "F32" or info.size != 1:
        return None
    shape = (1,) if layout == "compressed_tensors" else ()
    return TensorInfo(matrix + ACTIVATION_SCALES[layout], shape, "F32")


def activation_scale(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return float32(1 / x) for a scale x, or 1 where that is not above zero and finite.

    The scale of an expert that no input ever reached is 0 or infinite in files. 1 is what compressed-tensors
    writes for it.

    Args:
        raw: The four bytes of x.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = np.float32(1) / raw.view("<f4")
    return np.where((inverse > 0) & np.isfinite(inverse), inverse, np.float32(1)).astype("<f4")


def quantization_config(
    layout: Layout, ignore: Sequence[str], *, activations: bool, kv_cache: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``quantization_config`` of a ``config.json``.

    Args:
        layout: The layout of the checkpoint.
        ignore: The names of the layers that are not quantized.
        activations: Whether each layer has a scale for its input, which is quantized too then.
        kv_cache: How the cache is quantized; None where it is not.
    """
    if layout == "compressed_tensors":
        weights = {
            "num_bits": 4,
            "type": "float",
            "symmetric": True,
            "group_size": 16,
            "strategy": "tensor_group",
            "dynamic": False,
            "scale_dtype": "torch.float8_e4m3fn",
        }
        inputs = weights | {"dynamic": "local", "observer": "static_minmax"} if activations else None
        group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
        return {
            "quant_method": "compressed-tensors",
            "format": "nvfp4-pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {**group, "output_activations": None}},
            "ignore": list(ignore),
            "kv_cache_scheme": kv_cache,
        }
    numbers = {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16}
    group = {"targets": ["Linear"], "weights": numbers}
    return {
        "quant_method": "modelopt",
        "quant_algo": _algorithm(activations=activations),
        "config_groups": {"group_0": group | ({"input_activations": numbers} if activations else {})},
        "ignore": list(ignore),
        **({"kv_cache_scheme": kv_cache} if kv_cache else {}),
    }


def hf_quant_config(
    ignore: Sequence[str], *, activations: bool, version: str, kv_cache: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``hf_quant_config.json``, which ModelOpt puts beside ``config.json``; see `quantization_config`.

    Args:
        ignore: As there.
        activations: As there.
        version: The version of blockdot.
        kv_cache: As there.
    """
    return {
        "producer": {"name": "blockdot", "version": version},
        "quantization": {
            "quant_algo": _algorithm(activations=activations),
            "kv_cache_quant_algo": "FP8" if kv_cache else None,
            "group_size": 16,
            "exclude_modules": list(ignore),
        },
    }


def _algorithm(*, activations: bool) -> str:
    return "NVFP4" if activations else "W4A16_NVFP4"
