"""What a language model's own files say of its shape: from a config.json or a GGUF's metadata."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "ModelConfiguration",
    "Rotation",
    "from_gguf",
    "from_hugging_face",
]

Architecture = Literal["llama", "qwen2", "qwen3", "gemma3", "gpt2"]

ARCHITECTURES: Final[tuple[Architecture, ...]] = ("llama", "qwen2", "qwen3", "gemma3", "gpt2")
"""The architectures whose forward pass is here."""

# As a config.json calls them.
_MODEL_TYPES: Final[dict[str, Architecture]] = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma3_text": "gemma3",
    "gpt2": "gpt2",
}
# Of six layers of a Gemma 3, the last sees all that comes before it.
_GEMMA_PERIOD: Final = 6
_GEMMA_LOCAL_BASE: Final = 10_000.0
# What is made for each layer must not fill the memory before the files are looked at.
_MOST_LAYERS: Final = 10_000
_ATTENTION: Final = ("query", "key", "value")
_GPT2_BIASED: Final = ("query_key_value", "attention_output", "up", "down")


@dataclass(frozen=True)
class Rotation:
    """How queries and keys are turned by their position (RoPE, arXiv 2104.09864).

    Attributes:
        base: The pair k of D values turns by ``base ** (-2 k / D)`` a position.
        factor: All turns are divided by it.
        llama3: What Llama 3 stretches slow turns by: factor, low and high frequency factor, and the context
            that it was trained for first. None where it does not.
    """

    base: float
    factor: float = 1.0
    llama3: tuple[float, float, float, float] | None = None

    def frequencies(self, head_width: int) -> npt.NDArray[np.float64]:
        """Return the turn of each pair for one position, in radians; shape (head_width / 2,)."""
        turns = self.base ** (-np.arange(0, head_width, 2) / head_width) / self.factor
        if self.llama3 is None:
            return turns
        factor, low, high, trained = self.llama3
        # Turns in the trained context: few are stretched, many are not, those between in part.
        share = np.clip((trained * turns / (2 * math.pi) - low) / (high - low), 0, 1)
        return turns * (share + (1 - share) / factor)


@dataclass(frozen=True, kw_only=True)
class ModelConfiguration:
    """The shape of a decoder, and what of its architecture is a choice.

    Attributes:
        architecture: Which of `ARCHITECTURES`.
        vocabulary: How many tokens it knows, rows of its embedding.
        width: How many values stand for one token between the layers.
        layers: How many layers there are.
        heads: Query heads of a layer.
        key_value_heads: Key heads of a layer, and as many for values; they divide `heads`.
        head_width: How many values one head has.
        context: The most tokens that it takes.
        norm_epsilon: What norms add to a mean square, or a variance.
        rotation: Of layers that see all that comes before; None where positions are embedded.
        local_rotation: Of layers that see no further back than `reach`.
        reach: How many tokens those see, themselves counted.
        local: Which layers those are.
        attention_scale: What products of queries and keys are multiplied by.
        tied: Whether the head is the embedding.
        inner: How many values a feed-forward block has in between; None where that is not said.
        biased: The matrices of a layer that have a bias; None where each may have one or none.
    """

    architecture: Architecture
    vocabulary: int
    width: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    context: int
    norm_epsilon: float
    rotation: Rotation | None = None
    local_rotation: Rotation | None = None
    reach: int | None = None
    local: tuple[bool, ...] = ()
    attention_scale: float = 1.0
    tied: bool = True
    inner: int | None = None
    biased: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"key_value_heads must divide heads, {self.heads}, not be {self.key_value_heads}"
            )
        if self.rotation and self.head_width % 2:
            raise ValueError(f"head_width must be even where heads are turned, not {self.head_width}")


class _Facts:
    """The members of a JSON object or of metadata, each with the kind that it must be of."""

    def __init__(self, facts: Mapping[str, Any], where: str, prefix: str = "") -> None:
        self.facts, self.where, self.prefix = facts, where, prefix

    def get(self, name: str) -> Any:
        """Return a member; None where there is none."""
        return self.facts.get(self.prefix + name)

    def whole(self, name: str, default: int | None = None, most: int | None = None) -> int:
        """Return a whole number above zero, and not above `most`."""
        value = default if self.get(name) is None else self.get(name)
        if type(value) is not int or value < 1:
            raise self._wrong(name, "a whole number above zero", value)
        if most is not None and value > most:
            raise self._wrong(name, f"at most {most}", value)
        return value

    def layers(self, name: str) -> int:
        """Return the number of layers."""
        return self.whole(name, most=_MOST_LAYERS)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number above zero."""
        value = default if self.get(name) is None else self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self._wrong(name, "a number above zero", value)
        return float(value)

    def only(self, name: str, *allowed: Any) -> Any:
        """Return a member that must be absent or one of some values: what others ask for is not here."""
        value = self.get(name)
        if value is not None and value not in allowed:
            raise self._wrong(name, " or ".join(map(repr, allowed)) or "left out", value)
        return value

    def _wrong(self, name: str, rule: str, value: object) -> ValueError:
        return ValueError(f"{self.prefix}{name} of {self.where} must be {rule}, not {value!r}")


def _require_architecture(name: object, known: Mapping[str, Architecture], where: str) -> Architecture:
    if isinstance(name, str) and name in known:
        return known[name]
    raise ValueError(
        f"architecture of {where} must be one whose forward pass is here, {', '.join(known)}, not {name!r}"
    )


def from_hugging_face(config: Mapping[str, Any], where: str) -> ModelConfiguration:
    """Return what a config.json says.

    Args:
        config: The file's object.
        where: What messages call the file.

    Raises:
        ValueError: If the architecture is another, a fact is missing, or the model asks for what is not here.
    """
    architecture = _require_architecture(config.get("model_type"), _MODEL_TYPES, where)
    facts = _Facts(config, where)
    if architecture == "gpt2":
        return _gpt2(facts)
    heads = facts.whole("num_attention_heads")
    width = facts.whole("hidden_size")
    head_width = facts.whole("head_dim", width // heads if architecture != "gemma3" else 256)
    layers = facts.layers("num_hidden_layers")
    facts.only("partial_rotary_factor", 1, 1.0)
    local: tuple[bool, ...] = ()
    reach = local_rotation = None
    scale = head_width**-0.5
    if architecture == "gemma3":
        facts.only("hidden_activation", "gelu_pytorch_tanh")
        for name in ("final_logit_softcapping", "attn_logit_softcapping"):
            facts.only(name)
        facts.only("use_bidirectional_attention", False)
        scale = facts.number("query_pre_attn_scalar", 256) ** -0.5
        reach = facts.whole("sliding_window", 4096)
        local = _local_layers(facts, layers)
        rotation = _rotation(facts, "full_attention", "rope_theta", 1_000_000.0)
        local_rotation = _rotation(facts, "sliding_attention", "rope_local_base_freq", _GEMMA_LOCAL_BASE)
    else:
        facts.only("hidden_act", "silu")
        facts.only("use_sliding_window", False)
        facts.only("layer_types", ["full_attention"] * layers)
        rotation = _rotation(facts, None, "rope_theta", 10_000.0)
    return ModelConfiguration(
        architecture=architecture,
        vocabulary=facts.whole("vocab_size"),
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=facts.whole("num_key_value_heads", 4 if architecture == "gemma3" else heads),
        head_width=head_width,
        context=facts.whole("max_position_embeddings"),
        norm_epsilon=facts.number("rms_norm_eps", 1e-6),
        rotation=rotation,
        local_rotation=local_rotation,
        reach=reach,
        local=local,
        attention_scale=scale,
        tied=bool(facts.only("tie_word_embeddings", True, False) or _always_tied(facts, architecture)),
        inner=_optional(facts, "intermediate_size"),
        biased=_biased(facts, architecture),
    )


def _optional(facts: _Facts, name: str) -> int | None:
    return None if facts.get(name) is None else facts.whole(name)


def _biased(facts: _Facts, architecture: Architecture) -> tuple[str, ...]:
    """Return the matrices of a layer that have a bias."""
    if architecture == "qwen2":
        return _ATTENTION
    found: tuple[str, ...] = ()
    if facts.only("attention_bias", True, False):
        found += (*_ATTENTION, "attention_output")
    if architecture == "llama" and facts.only("mlp_bias", True, False):
        found += ("gate", "up", "down")
    return found


def _always_tied(facts: _Facts, architecture: Architecture) -> bool:
    """Return whether the head is the embedding where the file does not say."""
    return architecture == "gemma3" and facts.get("tie_word_embeddings") is None


def _local_layers(facts: _Facts, layers: int) -> tuple[bool, ...]:
    kinds = facts.get("layer_types")
    if kinds is None:
        period = facts.whole("sliding_window_pattern", _GEMMA_PERIOD)
        return tuple((k + 1) % period != 0 for k in range(layers))
    names = ("sliding_attention", "full_attention")
    if not isinstance(kinds, Sequence) or len(kinds) != layers or not all(kind in names for kind in kinds):
        raise ValueError(
            f"layer_types of {facts.where} must name {' or '.join(names)} for each of {layers} layers, "
            f"not be {kinds!r}"
        )
    return tuple(kind == names[0] for kind in kinds)


def _rotation(facts: _Facts, kind: str | None, base_name: str, default: float) -> Rotation:
    """Return a kind of layers' rotation, as transformers 4 and 5 write it."""
    known = facts.get("rope_parameters")  # transformers 5 has the base in here too
    if kind is not None and isinstance(known, Mapping):
        known = known.get(kind)
    if known is None and kind != "sliding_attention":
        known = facts.get("rope_scaling")
    if known is None:
        known = {}
    if not isinstance(known, Mapping):
        raise ValueError(f"rope_parameters of {facts.where} must be an object, not {known!r}")
    inner = _Facts(known, facts.where)
    base = inner.number("rope_theta", facts.number(base_name, default))
    kinds = ("default", "linear", "llama3")
    scaling = known.get("rope_type", known.get("type", "default"))
    if scaling not in kinds:
        raise ValueError(f"rope_type of {facts.where} must be {', '.join(kinds)}, not {scaling!r}")
    inner.only("partial_rotary_factor", 1, 1.0)
    if scaling == "linear":
        return Rotation(base, inner.number("factor"))
    if scaling == "llama3":
        names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        factor, low, high, trained = (inner.number(name) for name in names)
        if not low < high:
            raise ValueError(f"high_freq_factor of {facts.where} must be above {low}, not {high}")
        return Rotation(base, llama3=(factor, low, high, trained))
    return Rotation(base)


def _gpt2(facts: _Facts) -> ModelConfiguration:
    facts.only("activation_function", "gelu_new", "gelu_pytorch_tanh")
    facts.only("scale_attn_weights", True)
    facts.only("scale_attn_by_inverse_layer_idx", False)
    facts.only("add_cross_attention", False)
    heads, width = facts.whole("n_head"), facts.whole("n_embd")
    return ModelConfiguration(
        architecture="gpt2",
        vocabulary=facts.whole("vocab_size"),
        width=width,
        layers=facts.layers("n_layer"),
        heads=heads,
        key_value_heads=heads,
        head_width=width // heads,
        context=facts.whole("n_positions"),
        norm_epsilon=facts.number("layer_norm_epsilon", 1e-5),
        attention_scale=(width // heads) ** -0.5,
        tied=facts.only("tie_word_embeddings", True, False) is not False,
        inner=_optional(facts, "n_inner"),
        biased=_GPT2_BIASED,
    )


def from_gguf(metadata: Mapping[str, Any], vocabulary: int, *, tied: bool, where: str) -> ModelConfiguration:
    """Return what a GGUF's metadata say.

    Args:
        metadata: By key.
        vocabulary: The rows of its embedding.
        tied: Whether it has no head of its own.
        where: What messages call the file.

    Raises:
        ValueError: If the architecture is another, a fact is missing, or the model asks for what is not here.
    """
    name = metadata.get("general.architecture")
    architecture = _require_architecture(name, {name: name for name in ARCHITECTURES}, where)
    facts = _Facts(metadata, where, f"{architecture}.")
    heads, width = facts.whole("attention.head_count"), facts.whole("embedding_length")
    layers = facts.layers("block_count")
    head_width = facts.whole("attention.key_length", width // heads)
    facts.only("attention.value_length", head_width)
    facts.only("expert_count", 0)
    rotation = local_rotation = reach = None
    local: tuple[bool, ...] = ()
    epsilon = "attention.layer_norm_epsilon" if architecture == "gpt2" else "attention.layer_norm_rms_epsilon"
    if architecture != "gpt2":
        facts.only("rope.dimension_count", head_width)
        scaling = facts.only("rope.scaling.type", "none", "linear")
        factor = facts.number("rope.scaling.factor") if scaling == "linear" else 1.0
        default = 1_000_000.0 if architecture == "gemma3" else 10_000.0
        rotation = Rotation(facts.number("rope.freq_base", default), factor)
    if architecture == "gemma3":
        facts.only("final_logit_softcapping")
        reach = facts.whole("attention.sliding_window")
        facts.only("attention.sliding_window_pattern", _GEMMA_PERIOD)
        local = tuple((k + 1) % _GEMMA_PERIOD != 0 for k in range(layers))
        local_rotation = Rotation(facts.number("rope.freq_base_swa", _GEMMA_LOCAL_BASE))
    return ModelConfiguration(
        architecture=architecture,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=facts.whole("attention.head_count_kv", heads),
        head_width=head_width,
        context=facts.whole("context_length"),
        norm_epsilon=facts.number(epsilon),
        rotation=rotation,
        local_rotation=local_rotation,
        reach=reach,
        local=local,
        # A Gemma 3 of 27 B alone scales by another number, which GGUF has no key for: llama.cpp knows it by
        # its 62 layers.
        attention_scale=(width / heads if architecture == "gemma3" and layers == 62 else head_width) ** -0.5,
        tied=tied,
        inner=_optional(facts, "feed_forward_length"),
        # The file of a Llama does not say whether it has biases.
        biased=_GPT2_BIASED if architecture == "gpt2" else _ATTENTION if architecture == "qwen2" else None,
    )
