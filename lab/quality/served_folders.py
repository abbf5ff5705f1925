"""What stands beside the weights in the folder of a model that an engine loads."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ...base.whole_files import write_whole
from ...model.io.checkpoint import Layout
from ...model.io.model_files import CONFIG, ModelFiles
from ...model.io.serving import hf_quant_config, quantization_config

__all__ = ["copy_others", "write_config"]

# Weights in another form: of no use beside the ones that are written.
_WEIGHT_FILES: Final = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
_MODELOPT_CONFIG: Final = "hf_quant_config.json"


def write_config(
    folder: Path,
    config: dict[str, Any],
    layout: Layout,
    ignore: Sequence[str],
    *,
    activations: bool,
    version: str,
) -> None:
    """Write what tells an engine how to read the tensors.

    Args:
        folder: The new folder.
        config: The model's own ``config.json``.
        layout: The layout of its NVFP4 matrices.
        ignore: The layers that are not quantized.
        activations: Whether each quantized layer has a scale for its input.
        version: That of blockdot.
    """
    known = config.get("quantization_config") or {}
    kv_cache = known.get("kv_cache_scheme")
    told = quantization_config(layout, ignore, activations=activations, kv_cache=kv_cache)
    write_whole(folder / CONFIG, json.dumps(config | {"quantization_config": told}, indent=2) + "\n")
    if layout == "modelopt":
        beside = hf_quant_config(ignore, activations=activations, version=version, kv_cache=kv_cache)
        write_whole(folder / _MODELOPT_CONFIG, json.dumps(beside, indent=2) + "\n")


def copy_others(files: ModelFiles, folder: Path) -> list[str]:
    """Copy what else is in a model's folder: tokenizer, templates, licence.

    Args:
        files: The model's files.
        folder: The new folder.

    Returns:
        The files of weights in other forms, which are not copied.
    """
    source = files.folder
    assert source is not None
    written = {CONFIG, _MODELOPT_CONFIG, *([files.index.name] if files.index else [])}
    weights: list[str] = []
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        if path.suffix.lower() in _WEIGHT_FILES:
            if inside.name not in files.files:
                weights.append(str(inside))
        elif str(inside) not in written:
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / inside)
    return weights
