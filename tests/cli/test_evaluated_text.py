from pathlib import Path

import pytest
from blockdot.cli.evaluated_text import read_text
from blockdot.lab.language.model import open_model
from tiny_models import write_model, write_text

pytest.importorskip("tokenizers")


@pytest.mark.parametrize("characters", [1, 3, 1000])
def test_a_piece_of_a_text_has_the_tokens_of_the_whole(tmp_path: Path, characters: int):
    text = write_text(tmp_path / "text.txt")
    _, tokenizer = open_model(write_model(tmp_path / "model"))
    everything = read_text(text, tokenizer, 0)
    assert len(everything.tokens) == 400
    some = read_text(text, tokenizer, 64, characters=characters, margin=8)
    assert some.tokens.tolist() == everything.tokens[:64].tolist()
    assert some.digest == everything.digest
