"""A language model in files: what it is, its weights and its tokenizer."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from ...model.io.broken_files import reading
from ...model.io.gguf_files import GgufFile
from ...model.io.model_files import CONFIG, ModelFiles, load_json
from .configuration import ModelConfiguration, from_gguf, from_hugging_face
from .tokenizer import TextTokenizer, gguf_tokenizer, json_tokenizer
from .weights import GgufWeights, HuggingFaceWeights, Weights

__all__ = ["LanguageModel", "open_model"]

_NAMES_SHOWN: Final = 5


@dataclass(frozen=True)
class LanguageModel:
    """A model that is read as far as it is needed.

    Attributes:
        path: Its folder or file.
        configuration: Its shape.
        weights: Its weights, read when they are asked for.
        types: How its matrices are stored, such as ``BF16`` or ``Q4_1``, by how many there are.
    """

    path: Path
    configuration: ModelConfiguration
    weights: Weights
    types: dict[str, int]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its weights' files."""
        return self.weights.digest()


def open_model(path: Path) -> tuple[LanguageModel, TextTokenizer]:
    """Return a model and what makes its tokens.

    Args:
        path: A folder with config.json, .safetensors files and tokenizer.json, or a .gguf file.

    Raises:
        OSError: If a file is missing or cannot be opened.
        ToolError: If a package is missing.
        ValueError: If a file is not what its name says, the architecture is another than those that are
            known, weights are missing or too many, or the tokenizer is another model's.
    """
    if path.is_dir():
        model, tokenizer = _open_folder(path)
    elif path.suffix.lower() == ".gguf":
        model, tokenizer = _open_gguf(path)
    else:
        raise ValueError(f"model must be a folder or a .gguf file, not {str(path)!r}")
    model.weights.check()
    unknown = model.weights.unknown()
    if unknown:
        shown = ", ".join(map(repr, unknown[:_NAMES_SHOWN]))
        more = f" and {len(unknown) - _NAMES_SHOWN} more" if len(unknown) > _NAMES_SHOWN else ""
        raise ValueError(
            f"model {str(path)!r} must hold no tensors that a {model.configuration.architecture} has no use "
            f"for, not {shown}{more}"
        )
    tokenizer.check(model.configuration.vocabulary, repr(str(path)))
    return model, tokenizer


def _open_folder(path: Path) -> tuple[LanguageModel, TextTokenizer]:
    config = path / CONFIG
    configuration = from_hugging_face(load_json(config), repr(str(config)))
    tokenizer = json_tokenizer(path / "tokenizer.json")
    files = ModelFiles(path)
    matrices = [info.dtype for info in files.infos.values() if len(info.shape) == 2]
    weights = HuggingFaceWeights(files, configuration)
    return LanguageModel(path, configuration, weights, _counted(matrices)), tokenizer


def _open_gguf(path: Path) -> tuple[LanguageModel, TextTokenizer]:
    where = repr(str(path))
    with path.open("rb"):  # what cannot be opened is told as such
        pass
    with reading(path, "model"):
        file = GgufFile(path)
    embedding = file.tensors.get("token_embd.weight")
    vocabulary = embedding.shape[0] if embedding else 0
    tied = "output.weight" not in file.tensors
    configuration = from_gguf(file.metadata, vocabulary, tied=tied, where=where)
    tokenizer = gguf_tokenizer(file.metadata, where)
    matrices = [tensor.dtype for tensor in file.tensors.values() if len(tensor.shape) == 2]
    file.metadata = {}  # with its vocabulary, of which nobody has need any more
    return LanguageModel(path, configuration, GgufWeights(file, configuration), _counted(matrices)), tokenizer


def _counted(types: list[str]) -> dict[str, int]:
    return {name: types.count(name) for name in sorted(set(types), key=types.count, reverse=True)}
