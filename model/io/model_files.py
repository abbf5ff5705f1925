"""The tensors of a model: one .safetensors file, or a folder of several with an index."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .tensor_files import SafetensorsFile, TensorInfo, read_tensor

__all__ = ["CONFIG", "INDEX_SUFFIX", "ModelFiles", "is_model_folder", "load_json"]

CONFIG: Final = "config.json"
"""The file of a folder that tells what the model is."""

INDEX_SUFFIX: Final = ".safetensors.index.json"


def is_model_folder(path: str | Path) -> bool:
    """Return whether a path is taken as a model in several files: a folder, or an index."""
    return Path(path).is_dir() or str(path).endswith(INDEX_SUFFIX)


class ModelFiles:
    """The tensors of a model, wherever they lie.

    Args:
        path: A .safetensors file; an index, ``*.safetensors.index.json``; or a folder that holds an index, or
            else ``model.safetensors``, or else one file of any other such name.

    Attributes:
        path: The same.
        folder: The folder of a model in a folder; None for a file alone.
        index: The index; None where there is none.
        files: The .safetensors files, by name.
        infos: What their headers say of all tensors, by name: file by file, in each one's order.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        OSError: If one cannot be opened.
        ValueError: If a file is not what its suffix says, the folder holds no model, or index and files do
            not fit together.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.folder: Path | None = None
        self.index: Path | None = None
        if self.path.is_dir():
            self.folder = self.path
            self.index = self._find_index()
        elif is_model_folder(self.path):
            self.folder, self.index = self.path.parent, self.path
        where = _weight_map(self.index) if self.index else {}
        if self.folder is None:
            paths = [self.path]
        elif self.index:
            paths = [self.folder / name for name in sorted(set(where.values()))]
        elif (self.folder / "model.safetensors").exists():
            paths = [self.folder / "model.safetensors"]
        else:
            paths = sorted(self.folder.glob("*.safetensors"))
            if len(paths) != 1:
                raise ValueError(
                    f"model folder must hold a file *{INDEX_SUFFIX} or one .safetensors file, "
                    f"but {str(self.folder)!r} holds {len(paths)} of them"
                )
        self.files = {path.name: SafetensorsFile(path) for path in paths}
        self.infos: dict[str, TensorInfo] = {}
        self._where: dict[str, str] = {}
        for file_name, file in self.files.items():
            for name, info in file.infos.items():
                if name in self.infos:
                    raise ValueError(
                        f"tensor {name!r} must be in one file, not in {self._where[name]!r} and {file_name!r}"
                    )
                self.infos[name] = info
                self._where[name] = file_name
        for name, file_name in where.items():
            if self._where.get(name) != file_name:
                raise ValueError(
                    f"tensor {name!r} must be in {file_name!r}, where {str(self.index)!r} has it, "
                    f"not {'in ' + repr(self._where[name]) if name in self._where else 'missing'}"
                )

    def _find_index(self) -> Path | None:
        found = sorted(self.path.glob(f"*{INDEX_SUFFIX}"))
        if len(found) > 1:
            raise ValueError(f"model folder must hold one index, not {len(found)} in {str(self.path)!r}")
        return found[0] if found else None

    def file_name(self, name: str) -> str:
        """Return the name of the file that a tensor is in."""
        return self._where[name]

    def source(self, name: str) -> str:
        """Return what `read_tensor` calls a tensor: ``path:name``."""
        return f"{self.files[self._where[name]].path}:{name}"

    def label(self, name: str) -> str:
        """Return what messages call a tensor."""
        path = self.files[self._where[name]].path if name in self._where else self.path
        return f"tensor {name!r} of {str(path)!r}"

    def raw(self, name: str, start: int = 0, count: int | None = None) -> npt.NDArray[np.uint8]:
        """Return the bytes of a tensor, in one dimension: `count` of them from `start` on, or all.

        Raises:
            KeyError: If there is none of that name.
            ValueError: If its file has become shorter, or its type is none of the safetensors format.
        """
        if name not in self._where:
            raise KeyError(name)
        return self.files[self._where[name]].raw(name, start, count)

    def values(self, name: str) -> npt.NDArray[np.float32]:
        """Return the values of a tensor as `read_tensor` does."""
        return read_tensor(self.source(name))

    def values_at(self, name: str, index: int) -> npt.NDArray[np.float32]:
        """Return one entry along the first axis of a tensor; see `SafetensorsFile.values_at`."""
        return self.files[self._where[name]].values_at(name, index)


def _weight_map(index: Path) -> dict[str, str]:
    """Return the file of each tensor, as an index has it."""
    document = load_json(index)
    found = document.get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(f"index must have a weight_map, not as {str(index)!r} is")
    for name, file_name in found.items():
        # Beside the index: an index from elsewhere shall not lead out of its folder.
        if not isinstance(file_name, str) or Path(file_name).name != file_name or file_name in ("", "."):
            raise ValueError(
                f"index must name a file beside it for {name!r}, not {file_name!r} as {str(index)!r} does"
            )
    return found


def load_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened.
        ValueError: If it holds no JSON object.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"JSON file must be readable, not {str(path)!r}: {reason}") from error
    if not isinstance(document, dict):
        raise ValueError(f"JSON file must hold an object, not as {str(path)!r} does")
    return document
