"""From text to tokens, by the package ``tokenizers``: from a tokenizer.json, or a GGUF's metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...base.external_tools import ToolError

__all__ = ["TextTokenizer", "gguf_tokenizer", "json_tokenizer"]

# What a token of a GGUF is (`TokenType` of its specification): those that a text cannot have are left out.
_NORMAL: Final = 1
_USER_DEFINED: Final = 4
_BYTE: Final = 6

# How each kind of byte-pair encoding splits a text before it: the pattern, as its own tokenizer.json has it.
_LLAMA3: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2: Final = _LLAMA3.replace("{1,3}", "")
_SPLITS: Final = {"llama-bpe": _LLAMA3, "llama3": _LLAMA3, "qwen2": _QWEN2}
_GPT2: Final = ("gpt-2", "smollm")
_SPACE: Final = "▁"


@dataclass(frozen=True)
class TextTokenizer:
    """What makes tokens of a text.

    Attributes:
        tokenizer: The package's object.
        prefix: The tokens that it puts before every text.
        size: How many tokens it knows.
    """

    tokenizer: Any
    prefix: tuple[int, ...]
    size: int

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Return the tokens of a text, without the prefix.

        Raises:
            ValueError: If it has a letter that the vocabulary has no token for, which would be left out.
        """
        found = self.tokenizer.encode(text, add_special_tokens=False)
        edges = np.zeros(len(text) + 1, np.int64)
        places = np.array(found.offsets, np.int64).reshape(-1, 2)
        np.add.at(edges, places[:, 0], 1)
        np.add.at(edges, places[:, 1], -1)
        for place in np.flatnonzero(edges.cumsum()[:-1] == 0):
            if text[place].isprintable() and not text[place].isspace():
                raise ValueError(
                    "tokenizer must have a token for every letter of the text, not none for "
                    f"{text[place]!r}, which is letter {place + 1}"
                )
        return np.array(found.ids, np.int64)

    def check(self, vocabulary: int, where: str) -> None:
        """Refuse a tokenizer of another model.

        Args:
            vocabulary: How many tokens the model knows; some are there to make the number round.
            where: What messages call the model.

        Raises:
            ValueError: If it knows more than a few tokens beyond the model's, or less than half of them.
        """
        # Gemma 3's text models lack the one token that stands for an image.
        if not vocabulary / 2 <= self.size <= vocabulary + 1:
            raise ValueError(
                f"tokenizer of {where} must fit the model's {vocabulary} tokens, not have {self.size}"
            )


def _package() -> Any:
    try:
        # By name, as whoever checks the types need not have it.
        return import_module("tokenizers")
    except ModuleNotFoundError as error:
        raise ToolError(
            "tokenizers must be installed to make tokens of a text, not missing: "
            "pip install 'blockdot[evaluate]'"
        ) from error


def json_tokenizer(path: Path) -> TextTokenizer:
    """Return what a tokenizer.json describes.

    Raises:
        FileNotFoundError: If there is no such file.
        ToolError: If the package is missing.
        ValueError: If it is no such file.
    """
    package = _package()
    if not path.is_file():
        raise FileNotFoundError(f"tokenizer must be in {str(path)!r}, which does not exist")
    text = path.read_text("utf-8")
    try:
        tokenizer = package.Tokenizer.from_str(text)
    except Exception as error:  # the package raises no narrower type
        reason = " ".join(str(error).split())
        raise ValueError(
            f"tokenizer must be a readable tokenizer.json, not {str(path)!r}: {reason}"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with_special = tokenizer.encode("a").ids
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    places = [
        k for k in range(len(with_special) - len(plain) + 1) if with_special[k : k + len(plain)] == plain
    ]
    prefix = tuple(with_special[: places[0]]) if places else ()
    return TextTokenizer(tokenizer, prefix, tokenizer.get_vocab_size(with_added_tokens=True))


def gguf_tokenizer(metadata: Mapping[str, Any], where: str) -> TextTokenizer:
    """Return what a GGUF's metadata describe.

    Args:
        metadata: By key.
        where: What messages call the file.

    Raises:
        ToolError: If the package is missing.
        ValueError: If there is no tokenizer, or one of another kind than is known here.
    """
    package = _package()
    kind = metadata.get("tokenizer.ggml.model")
    tokens: list[str] = _listed(metadata, "tokens", str)
    if kind is None or not tokens:
        raise ValueError(f"tokenizer must be in the metadata of {where}, not missing")
    kinds: list[int] = _listed(metadata, "token_type", int) or [_NORMAL] * len(tokens)
    if len(set(tokens)) != len(tokens) or len(kinds) != len(tokens):
        raise ValueError(f"tokens in the metadata of {where} must differ and have a type each")
    if kind == "gpt2":
        tokenizer = _byte_pairs(package, metadata, tokens, kinds, where)
        adds = bool(metadata.get("tokenizer.ggml.add_bos_token", False))
    elif kind == "llama":
        tokenizer = _scored_pairs(package, metadata, tokens, kinds, where)
        adds = bool(metadata.get("tokenizer.ggml.add_bos_token", True))
    else:
        raise ValueError(f"tokenizer.ggml.model of {where} must be gpt2 or llama, not {kind!r}")
    prefix: tuple[int, ...] = ()
    if adds:
        first = metadata.get("tokenizer.ggml.bos_token_id", 1 if kind == "llama" else None)
        if type(first) is not int or not 0 <= first < len(tokens):
            raise ValueError(f"tokenizer.ggml.bos_token_id of {where} must be a token, not {first!r}")
        prefix = (first,)
    return TextTokenizer(tokenizer, prefix, len(tokens))


def _listed(metadata: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """Return a list of the metadata; an empty one where it is missing, or of other things."""
    values = metadata.get(f"tokenizer.ggml.{name}")
    return values if isinstance(values, list) and all(type(value) is kind for value in values) else []


def _byte_pairs(
    package: Any, metadata: Mapping[str, Any], tokens: Sequence[str], kinds: Sequence[int], where: str
) -> Any:
    """Return byte-pair encoding over bytes, as GPT-2 has it."""
    merges: list[str] = _listed(metadata, "merges", str)
    split = metadata.get("tokenizer.ggml.pre", "gpt-2")
    known = (*_GPT2, *_SPLITS)
    if split not in known:
        raise ValueError(f"tokenizer.ggml.pre of {where} must be one of {', '.join(known)}, not {split!r}")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    vocabulary = {token: k for k, token in enumerate(tokens)}
    if not all(len(pair) == 2 and {*pair, "".join(pair)} <= vocabulary.keys() for pair in pairs):
        raise ValueError(f"merges in the metadata of {where} must be pairs of tokens that make a token")
    model = package.models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=split in ("llama-bpe", "llama3"))
    tokenizer = package.Tokenizer(model)
    before = package.pre_tokenizers
    steps: list[Any] = []
    if split in _SPLITS:
        steps.append(before.Split(package.Regex(_SPLITS[split]), behavior="isolated"))
    elif split == "smollm":
        steps.append(before.Digits(individual_digits=True))
    steps.append(before.ByteLevel(add_prefix_space=False, use_regex=split in _GPT2))
    tokenizer.pre_tokenizer = before.Sequence(steps)
    if split == "qwen2":
        tokenizer.normalizer = package.normalizers.NFC()
    _add_user_defined(package, tokenizer, tokens, kinds)
    return tokenizer


def _scored_pairs(
    package: Any, metadata: Mapping[str, Any], tokens: Sequence[str], kinds: Sequence[int], where: str
) -> Any:
    """Return SentencePiece's byte-pair encoding: of neighbours that make a token, the best score first."""
    scores: list[float] = _listed(metadata, "scores", float)
    if len(scores) != len(tokens):
        raise ValueError(f"scores in the metadata of {where} must be one for each token")
    vocabulary = {token: k for k, token in enumerate(tokens)}
    made = {token for token, kind in zip(tokens, kinds, strict=True) if kind == _NORMAL}
    merges: list[tuple[str, str]] = []
    for token in sorted(made, key=lambda token: (-scores[vocabulary[token]], vocabulary[token])):
        pairs = [(token[:k], token[k:]) for k in range(1, len(token))]
        here = [pair for pair in pairs if pair[0] in made and pair[1] in made]
        merges += sorted(here, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", 0)
    if type(unknown) is not int or not 0 <= unknown < len(tokens):
        raise ValueError(f"tokenizer.ggml.unknown_token_id of {where} must be a token, not {unknown!r}")
    tokenizer = package.Tokenizer(
        package.models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=tokens[unknown],
            fuse_unk=True,
            byte_fallback=_BYTE in kinds,
        )
    )
    steps: list[Any] = [package.normalizers.Replace(" ", _SPACE)]
    if metadata.get("tokenizer.ggml.add_space_prefix", True):
        steps.insert(0, package.normalizers.Prepend(_SPACE))
    tokenizer.normalizer = package.normalizers.Sequence(steps)
    _add_user_defined(package, tokenizer, tokens, kinds)
    return tokenizer


def _add_user_defined(package: Any, tokenizer: Any, tokens: Sequence[str], kinds: Sequence[int]) -> None:
    """Have tokens found in the text before anything else that are there for that, such as runs of spaces."""
    tokenizer.add_tokens(
        [
            package.AddedToken(token, normalized=False, special=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == _USER_DEFINED
        ]
    )
