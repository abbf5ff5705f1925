"""Tokenizers made of a GGUF's metadata, against the rules that they follow."""

import itertools
from typing import Any

import numpy as np
import pytest
from blockdot.lab.language.tokenizer import gguf_tokenizer
from messages import check_messages

pytest.importorskip("tokenizers")

SPACE = "▁"


def scored(**changed: Any) -> dict[str, Any]:
    """The metadata of a SentencePiece vocabulary: letters, and random words of them with random scores."""
    rng = np.random.default_rng(4)
    letters = ["a", "b", "c", SPACE]
    words = {"".join(rng.choice(letters, rng.integers(2, 5))) for _ in range(60)}
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{k:02X}>" for k in range(256)), *letters, *sorted(words)]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(letters) + len(words))]
    scores = [0.0] * 259 + [-1000.0] * len(letters) + rng.permutation(len(words)).astype(float).tolist()
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.scores": scores,
    } | {f"tokenizer.ggml.{key}": value for key, value in changed.items()}


def best_pairs_first(text: str, metadata: dict[str, Any]) -> list[int]:
    """SentencePiece's rule: of all neighbours that make a token, those of the best score become one."""
    scores = dict(zip(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.scores"], strict=True))
    pieces = [*(SPACE + text).replace(" ", SPACE)]
    while True:
        pairs = [
            (-scores[a + b], k) for k, (a, b) in enumerate(itertools.pairwise(pieces)) if a + b in scores
        ]
        if not pairs:
            break
        k = min(pairs)[1]
        pieces[k : k + 2] = [pieces[k] + pieces[k + 1]]
    where = {token: k for k, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    return [k for piece in pieces for k in ([where[piece]] if piece in where else known_bytes(piece))]


def known_bytes(piece: str) -> list[int]:
    return [3 + byte for byte in piece.encode()]


def test_scored_pairs(rng):
    metadata = scored()
    tokenizer = gguf_tokenizer(metadata, "it")
    assert tokenizer.prefix == (1,)
    for _ in range(200):
        text = "".join(rng.choice([*"aabbcc   "], 30))
        assert tokenizer.encode(text).tolist() == best_pairs_first(text, metadata)
    assert tokenizer.encode("aé").tolist()[-2:] == known_bytes("é")
    plain = gguf_tokenizer(scored(add_space_prefix=False, add_bos_token=False), "it")
    assert plain.prefix == ()
    assert plain.tokenizer.id_to_token(int(plain.encode("zb")[0])) == "<0x7A>"


def byte_pairs(tokens: list[str], merges: list[str], **changed: Any) -> dict[str, Any]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": merges,
    } | {f"tokenizer.ggml.{key}": value for key, value in changed.items()}


@pytest.mark.parametrize(
    ("split", "pieces"),
    [
        ("gpt-2", ["12", "34"]),
        ("smollm", ["1", "2", "3", "4"]),
        ("llama-bpe", ["12", "3", "4"]),  # three digits at a time
        ("qwen2", ["1", "2", "3", "4"]),
    ],
)
def test_digits_are_split_as_each_kind_does(split, pieces):
    tokens = [*"1234", "12", "34"]
    tokenizer = gguf_tokenizer(byte_pairs(tokens, ["1 2", "3 4"], pre=split), "it")
    assert [tokens[k] for k in tokenizer.encode("1234")] == pieces


def test_a_token_for_the_front_is_one_that_is_asked_for():
    metadata = byte_pairs(["a", "<s>"], [], pre="gpt-2", bos_token_id=1)
    assert gguf_tokenizer(metadata, "it").prefix == ()
    assert gguf_tokenizer(metadata | {"tokenizer.ggml.add_bos_token": True}, "it").prefix == (1,)


def test_errors():
    def made(metadata: dict[str, Any]):
        return lambda: gguf_tokenizer(metadata, "it")

    good = byte_pairs(["a", "b", "ab"], ["a b"])
    check_messages(
        [
            (ValueError, "tokenizer must be in the metadata of it, not missing", made({})),
            (
                ValueError,
                "tokenizer.ggml.model of it must be gpt2 or llama, not 'bert'",
                made(good | {"tokenizer.ggml.model": "bert"}),
            ),
            (
                ValueError,
                "tokenizer.ggml.pre of it must be one of gpt-2, smollm, llama-bpe, llama3, qwen2, not 'mpt'",
                made(good | {"tokenizer.ggml.pre": "mpt"}),
            ),
            (
                ValueError,
                "merges in the metadata of it must be pairs of tokens that make a token",
                made(good | {"tokenizer.ggml.merges": ["b a"]}),
            ),
            (
                ValueError,
                "tokens in the metadata of it must differ and have a type each",
                made(good | {"tokenizer.ggml.tokens": ["a", "a"]}),
            ),
            (
                ValueError,
                "scores in the metadata of it must be one for each token",
                made(scored(scores=[0.0])),
            ),
            (
                ValueError,
                "tokenizer.ggml.bos_token_id of it must be a token, not 7",
                made(good | {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 7}),
            ),
        ]
    )
