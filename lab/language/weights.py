"""The weights of a language model by one set of names, whatever file they are in."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from ...model.io.gguf_files import GgufFile
from ...model.io.model_files import ModelFiles
from .configuration import Architecture, ModelConfiguration

__all__ = ["FloatValues", "GgufWeights", "HuggingFaceWeights", "Weights", "module_names"]

FloatValues = npt.NDArray[np.float32]
"""Weights, or what is computed with them."""


class Weights(Protocol):
    """Where a model's weights come from: each is read when it is asked for, and kept nowhere.

    Names are those that `module_names` gives. Each has a ``weight``, some a ``bias``.
    """

    def find(self, name: str, kind: str = "weight") -> FloatValues | None:
        """Return a matrix, one row for each output, or a vector; None where the model has none."""
        ...

    def read(self, name: str, kind: str = "weight") -> FloatValues:
        """Return the same.

        Raises:
            ValueError: If the model has none.
        """
        ...

    def check(self) -> None:
        """Look at the names and shapes of all of them.

        Raises:
            ValueError: If one that the forward pass needs is missing, or one has another shape than the
                configuration says.
        """
        ...

    def unknown(self) -> list[str]:
        """Return the names of tensors that the files have and the forward pass would not use."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of the files."""
        ...


_LLAMA: Final = {
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
    "attention_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.o_proj",
    "feed_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_NORMED: Final = {**_LLAMA, "query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
# The names of Hugging Face's modules; those without a dot of their own in front are a layer's.
_HUGGING_FACE: Final[dict[Architecture, dict[str, str]]] = {
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _NORMED,
    "gemma3": {
        **_NORMED,
        "attention_post_norm": "post_attention_layernorm",
        "feed_norm": "pre_feedforward_layernorm",
        "feed_post_norm": "post_feedforward_layernorm",
    },
    "gpt2": {
        "embedding": "transformer.wte",
        "positions": "transformer.wpe",
        "final_norm": "transformer.ln_f",
        "head": "lm_head",
        "attention_norm": "ln_1",
        "query_key_value": "attn.c_attn",
        "attention_output": "attn.c_proj",
        "feed_norm": "ln_2",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    },
}
_LAYERS: Final = {"gpt2": "transformer.h"}
_GGUF: Final = {
    "rotation": "rope_freqs",
    "embedding": "token_embd",
    "positions": "position_embd",
    "final_norm": "output_norm",
    "head": "output",
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "query_key_value": "attn_qkv",
    "query_norm": "attn_q_norm",
    "key_norm": "attn_k_norm",
    "attention_output": "attn_output",
    "attention_post_norm": "post_attention_norm",
    "feed_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
    "feed_post_norm": "post_ffw_norm",
}


_WHOLE: Final = ("rotation", "embedding", "positions", "final_norm", "head")
# What files hold besides, and nobody computes with: masks and angles that can be computed.
_UNUSED: Final = ("attn.bias", "attn.masked_bias", "rotary_emb.inv_freq")


def module_names(configuration: ModelConfiguration) -> Iterator[tuple[str, str]]:
    """Yield the name and kind of everything the forward pass of an architecture uses, if the model has it.

    ``rotation`` is what the turns of pairs are divided by.
    """
    biased = configuration.biased
    norms = ("weight", "bias") if configuration.architecture == "gpt2" else ("weight",)
    names = _HUGGING_FACE[configuration.architecture]
    parts = [name for name in names if name not in _WHOLE]
    for name in _WHOLE:
        for kind in norms if name.endswith("norm") else ("weight",):
            yield name, kind
    for index in range(configuration.layers):
        for part in parts:
            yield f"layers.{index}.{part}", "weight"
            if "bias" in norms if part.endswith("norm") else biased is None or part in biased:
                yield f"layers.{index}.{part}", "bias"


def _is_needed(configuration: ModelConfiguration, name: str, kind: str) -> bool:
    """Return whether the forward pass cannot do without a weight that `module_names` yields."""
    if name == "head":
        return not configuration.tied
    if name == "positions":
        return configuration.rotation is None
    return name != "rotation" and (kind == "weight" or configuration.biased is not None)


def _shape(configuration: ModelConfiguration, name: str, kind: str, inner: int) -> tuple[int, ...]:
    """Return the shape that a weight must have, the outputs of a matrix first.

    Args:
        configuration: What the model is.
        name: The weight's.
        kind: ``weight`` or ``bias``.
        inner: How many values the feed-forward block of its layer has in between.
    """
    known, part = configuration, name.rpartition(".")[2]
    query, shared = known.heads * known.head_width, known.key_value_heads * known.head_width
    vectors = {
        "query_norm": known.head_width,
        "key_norm": known.head_width,
        "rotation": known.head_width // 2,
    }
    if part in vectors or part.endswith("norm"):
        return (vectors.get(part, known.width),)
    rows = {
        "embedding": known.vocabulary,
        "head": known.vocabulary,
        "positions": known.context,
        "query": query,
        "key": shared,
        "value": shared,
        "query_key_value": query + 2 * shared,
        "gate": inner,
        "up": inner,
    }.get(part, known.width)
    columns = {"attention_output": query, "down": inner}.get(part, known.width)
    return (rows, columns) if kind == "weight" else (rows,)


def _file_name(name: str, names: dict[str, str], layers: str) -> str | None:
    """Return what a file calls a module; None where it has none such."""
    if not name.startswith("layers."):
        return names.get(name)
    _, index, part = name.split(".")
    return f"{layers}.{index}.{names[part]}" if part in names else None


def _digest_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class _FileWeights(ABC):
    """What `Weights` asks for, but for how a file names its tensors and what it makes of them."""

    def __init__(self, configuration: ModelConfiguration, where: Path) -> None:
        self._configuration, self._where = configuration, where

    @abstractmethod
    def known(self, name: str, kind: str) -> list[str]:
        """Return what the file may call a weight, the likeliest first."""

    @abstractmethod
    def names(self) -> Collection[str]:
        """Return the names of the files' tensors."""

    @abstractmethod
    def shape(self, name: str, known: str) -> tuple[int, ...]:
        """Return the shape of what `load` returns."""

    @abstractmethod
    def load(self, name: str, known: str) -> FloatValues:
        """Return a weight as everybody has it, whatever a file makes of it.

        Args:
            name: What `Weights.find` is given.
            known: What the file calls it.
        """

    def find(self, name: str, kind: str = "weight") -> FloatValues | None:
        """See `Weights.find`."""
        known = next((one for one in self.known(name, kind) if one in self.names()), None)
        return None if known is None else self.load(name, known)

    def read(self, name: str, kind: str = "weight") -> FloatValues:
        """See `Weights.read`."""
        found = self.find(name, kind)
        if found is None:
            raise self._missing(name, kind)
        return found

    def _missing(self, name: str, kind: str) -> ValueError:
        return ValueError(f"model {str(self._where)!r} must hold {self.known(name, kind)[0]!r}, but does not")

    def check(self) -> None:
        """See `Weights.check`."""
        inner = self._configuration.inner
        for name, kind in module_names(self._configuration):
            known = next((one for one in self.known(name, kind) if one in self.names()), None)
            if known is None:
                if _is_needed(self._configuration, name, kind):
                    raise self._missing(name, kind)
                continue
            shape = self.shape(name, known)
            if inner is None and name.endswith(("gate", "up")):
                inner = shape[0]
            wanted = _shape(self._configuration, name, kind, inner or 0)
            if shape != wanted:
                raise ValueError(
                    f"tensor {known!r} of model {str(self._where)!r} must have the shape {wanted}, as the "
                    f"rest of the model says, not {shape}"
                )

    def unknown(self) -> list[str]:
        """See `Weights.unknown`."""
        used = {one for name, kind in module_names(self._configuration) for one in self.known(name, kind)}
        return [name for name in self.names() if name not in used and not name.endswith(_UNUSED)]


class HuggingFaceWeights(_FileWeights):
    """Those of a folder of .safetensors files.

    Args:
        files: The files.
        configuration: What the model is.
    """

    def __init__(self, files: ModelFiles, configuration: ModelConfiguration) -> None:
        super().__init__(configuration, files.path)
        self._files = files
        self._modules = _HUGGING_FACE[configuration.architecture]
        self._layers = _LAYERS.get(configuration.architecture, "model.layers")

    def known(self, name: str, kind: str) -> list[str]:
        """See `_FileWeights.known`."""
        module = _file_name(name, self._modules, self._layers)
        if module is None:
            return []
        # A file of the model without its head lacks the name in front, as the first ones of GPT-2 do.
        return [f"{module}.{kind}", f"{module.partition('.')[2]}.{kind}"]

    def names(self) -> Collection[str]:
        """See `_FileWeights.names`."""
        return self._files.infos

    def shape(self, name: str, known: str) -> tuple[int, ...]:
        """See `_FileWeights.shape`."""
        shape = self._files.infos[known].shape
        return shape[::-1] if self._is_turned(name) else shape

    def _is_turned(self, name: str) -> bool:
        """Return whether a matrix has a row for each input, as those of GPT-2's layers have."""
        return self._configuration.architecture == "gpt2" and name.startswith("layers.")

    def load(self, name: str, known: str) -> FloatValues:
        """See `_FileWeights.load`."""
        values = self._files.values(known)
        if self._configuration.architecture == "gemma3" and name.endswith("norm"):
            return values + np.float32(1)  # Gemma's norms multiply by one more than they store
        return np.ascontiguousarray(values.T) if self._is_turned(name) else values

    def digest(self) -> str:
        """See `Weights.digest`."""
        return _digest_files([file.path for file in self._files.files.values()])


class GgufWeights(_FileWeights):
    """Those of a .gguf file.

    Args:
        file: The file.
        configuration: What the model is.
    """

    def __init__(self, file: GgufFile, configuration: ModelConfiguration) -> None:
        super().__init__(configuration, file.path)
        self._file = file

    def known(self, name: str, kind: str) -> list[str]:
        """See `_FileWeights.known`."""
        module = _file_name(name, _GGUF, "blk")
        return [] if module is None else [f"{module}.{kind}"]

    def names(self) -> Collection[str]:
        """See `_FileWeights.names`."""
        return self._file.tensors

    def shape(self, name: str, known: str) -> tuple[int, ...]:
        """See `_FileWeights.shape`."""
        del name
        return self._file.tensors[known].shape

    def load(self, name: str, known: str) -> FloatValues:
        """See `_FileWeights.load`."""
        values = self._file.values(known)
        heads = {
            "query": self._configuration.heads,
            "key": self._configuration.key_value_heads,
        }.get(name.rpartition(".")[2])
        if self._configuration.architecture == "llama" and heads:
            return _halves(values, heads)
        return values

    def digest(self) -> str:
        """See `Weights.digest`."""
        return _digest_files([self._file.path])


def _halves(values: FloatValues, heads: int) -> FloatValues:
    """Return the rows of a Llama's queries or keys as everybody else has them.

    What turns together stands side by side in a Llama's GGUF, and half a head apart elsewhere.
    """
    rows = values.reshape(heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(values.shape)
