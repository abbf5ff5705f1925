"""Weights of experts that a model keeps in one tensor for all of them, and which way round they stand.

Most models have a matrix for each expert, (rows, K), as any other layer. These have two tensors of three axes
for all experts of a layer, ``X.experts.gate_up_proj`` and ``X.experts.down_proj``:

==================================  ===========================  =====================================
model_type of config.json           a stack is shaped            gate and up, in gate_up_proj
==================================  ===========================  =====================================
llama4, llama4_text                 (experts, K, rows)           one half of the rows after the other
gpt_oss                             (experts, K, rows)           row by row in turns
qwen3_vl_moe, qwen3_vl_moe_text     either: there are files of   one half of the rows after the other
                                    both kinds
qwen3_5_moe, qwen3_5_moe_text       (experts, rows, K)           one half of the rows after the other
==================================  ===========================  =====================================

Blocks run along K. That is ``hidden_size`` of ``config.json`` in ``gate_up_proj``, and the other axis in
``down_proj``: a stack whose shape does not fit, or of any other model, is left alone.

Engines load NVFP4 of them as matrices of their own, ``X.experts.0.gate_proj``, ``up_proj`` and ``down_proj``:
that is what llm-compressor and ModelOpt write. Of Llama 4 and gpt-oss ModelOpt writes stacks as they were,
``X.experts.gate_up_proj`` U8 (experts, K / 2, rows), two elements of K in a byte, with
``X.experts.gate_up_proj_weight_scale`` F8_E4M3 (experts, K / 16, rows) and
``X.experts.gate_up_proj_weight_scale_2`` F32 (). No engine is known to load gpt-oss in the layout of
compressed-tensors.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..tensor import BlockTensor
from .checkpoint import TURNED_SUFFIXES, Layout
from .model_files import CONFIG, ModelFiles, load_json
from .tensor_files import TensorInfo

__all__ = ["ExpertForm", "ExpertMatrix", "ExpertStacks", "expert_form", "stack_arrays", "stack_parts"]

_STACK: Final = re.compile(r"(?P<experts>(?:.*\.)?experts)\.(?P<kind>gate_up_proj|down_proj)", re.S)


@dataclass(frozen=True)
class ExpertForm:
    """How a model keeps the weights of its experts, and what engines load of them.

    Attributes:
        transposed: Whether a stack is shaped (experts, K, rows), and not (experts, rows, K); None if there
            are both.
        alternating: Whether gate and up take turns in the rows of ``gate_up_proj``, and are not its halves.
        matrices: The layouts in which engines load a matrix for each expert.
        stacks: The layouts in which engines load stacks.
    """

    transposed: bool | None
    alternating: bool
    matrices: tuple[Layout, ...]
    stacks: tuple[Layout, ...] = ()


_LLAMA4: Final = ExpertForm(True, False, ("compressed_tensors",), ("modelopt",))
_QWEN3_VL: Final = ExpertForm(None, False, ("compressed_tensors", "modelopt"))
_QWEN3_5: Final = ExpertForm(False, False, ("compressed_tensors", "modelopt"))
_FORMS: Final = {
    "llama4": _LLAMA4,
    "llama4_text": _LLAMA4,
    "gpt_oss": ExpertForm(True, True, (), ("modelopt",)),
    "qwen3_vl_moe": _QWEN3_VL,
    "qwen3_vl_moe_text": _QWEN3_VL,
    "qwen3_5_moe": _QWEN3_5,
    "qwen3_5_moe_text": _QWEN3_5,
}


def expert_form(config: Mapping[str, Any]) -> ExpertForm | None:
    """Return how a model of that ``config.json`` keeps its experts; None where that is not known."""
    kind = config.get("model_type")
    return _FORMS.get(kind) if isinstance(kind, str) else None


@dataclass(frozen=True)
class ExpertMatrix:
    """A matrix in a stack.

    Attributes:
        stack: The stack's name.
        expert: Whose matrix it is.
        rows: Which rows of the expert's it has.
        shape: (rows, K).
    """

    stack: str
    expert: int
    rows: slice
    shape: tuple[int, int]


class ExpertStacks:
    """The stacks of experts that are in a model's files.

    Args:
        files: The files.

    Attributes:
        infos: The tensors that hold stacks, by name.

    Raises:
        OSError: If the ``config.json`` beside them cannot be read.
        ValueError: If it is none.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self.infos: dict[str, TensorInfo] = {
            name: info
            for name, info in files.infos.items()
            if len(info.shape) == 3 and info.readable and _STACK.fullmatch(name)
        }

    @cached_property
    def _config(self) -> dict[str, Any]:
        folder = self._files.folder
        if folder is None or not self.infos or not (folder / CONFIG).exists():
            return {}
        return load_json(folder / CONFIG)

    @property
    def form(self) -> ExpertForm | None:
        """How the model keeps them; None where it is not known."""
        return expert_form(self._config)

    def _transposed(self, name: str) -> bool | None:
        """Whether a stack is shaped (experts, K, rows); None if its shape does not fit, or not tell."""
        assert self.form is not None
        text = self._config.get("text_config")
        hidden = (text if isinstance(text, dict) else self._config).get("hidden_size")
        _, one, other = self.infos[name].shape
        if name.endswith("down_proj"):
            one, other = other, one
        fits = {transposed for transposed, size in ((True, one), (False, other)) if size == hidden}
        if self.form.transposed is not None:
            fits &= {self.form.transposed}
        return fits.pop() if len(fits) == 1 else None

    def groups(self) -> list[list[str]]:
        """Return the stacks of each layer, which engines run as one."""
        found: dict[str, list[str]] = {}
        for name in self.infos:
            found.setdefault(name.rpartition(".")[0], []).append(name)
        return list(found.values())

    def shape(self, name: str) -> tuple[int, int, int]:
        """Return the shape (experts, rows, K) of a stack that is not refused."""
        experts, one, other = self.infos[name].shape
        return (experts, other, one) if self._transposed(name) else (experts, one, other)

    def refusal(self, name: str, block_size: int, layout: Layout | None = None) -> str | None:
        """Return why a stack cannot be quantized; None where it can.

        Args:
            name: Its name.
            block_size: What K must be a multiple of.
            layout: The layout to write; None if it is not to be written.
        """
        if self.form is None:
            return "it holds experts of a model for which it is not known which axis is K"
        if layout and layout not in self.form.matrices + self.form.stacks:
            others = " or ".join(self.form.matrices + self.form.stacks)
            return f"engines load the experts of this model as {others} alone"
        if self._transposed(name) is None:
            return "its shape does not tell which axis is K, by the hidden_size of config.json"
        _, rows, columns = self.shape(name)
        if columns % block_size:
            return f"its axis K has {columns} elements, no multiple of {block_size}"
        return "gate and up have no rows for both" if rows % 2 and name.endswith("gate_up_proj") else None

    def parts(self, name: str) -> dict[str, ExpertMatrix]:
        """Return the matrices in a stack that is not refused, by the names that engines give them."""
        assert self.form is not None
        match = _STACK.fullmatch(name)
        assert match is not None
        experts, rows, columns = self.shape(name)
        ranges = {"down_proj": slice(0, rows)}
        if match["kind"] == "gate_up_proj":
            half = rows // 2
            ranges = {"gate_proj": slice(0, half), "up_proj": slice(half, rows)}
            if self.form.alternating:
                ranges = {"gate_proj": slice(0, rows, 2), "up_proj": slice(1, rows, 2)}
        return {
            f"{match['experts']}.{expert}.{kind}": ExpertMatrix(
                name, expert, taken, (len(range(rows)[taken]), columns)
            )
            for expert in range(experts)
            for kind, taken in ranges.items()
        }

    def matrix(self, part: ExpertMatrix) -> npt.NDArray[np.float32]:
        """Return the values of a matrix in a stack, having read its expert's alone."""
        values = self._files.values_at(part.stack, part.expert)
        return np.ascontiguousarray((values.T if self._transposed(part.stack) else values)[part.rows])

    def values(self, name: str) -> npt.NDArray[np.float32]:
        """Return the values of a stack that is not refused, (experts, rows, K)."""
        values = self._files.values(name)
        return np.ascontiguousarray(values.swapaxes(1, 2)) if self._transposed(name) else values


def stack_parts(name: str, shape: tuple[int, int, int]) -> tuple[TensorInfo, TensorInfo, TensorInfo]:
    """Return the tensors that hold a stack in ModelOpt's layout: elements, block scales, tensor scale.

    Args:
        name: The stack's name.
        shape: (experts, rows, K).
    """
    experts, rows, columns = shape
    scales, tensor_scale = TURNED_SUFFIXES
    return (
        TensorInfo(name, (experts, columns // 2, rows), "U8"),
        TensorInfo(name + scales, (experts, columns // 16, rows), "F8_E4M3"),
        TensorInfo(name + tensor_scale, (), "F32"),
    )


def stack_arrays(tensor: BlockTensor) -> tuple[npt.NDArray[np.generic], ...]:
    """Return what `stack_parts` hold, of a stack (experts, rows, K) with one tensor scale."""
    return (
        tensor.pack().swapaxes(1, 2),
        tensor.scales.swapaxes(1, 2),
        np.array(tensor.tensor_scale, "<f4"),
    )
