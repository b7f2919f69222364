"""Tokenizers as folders hold them: beside a model, as GPT-2's two files, and on their own."""

import json

import pytest
from test_checkpoint import TOKENIZER, random_model, tiny_config

from llm_explainer.checkpoint import load_checkpoint, save_checkpoint
from llm_explainer.data.tokenizer_specs import open_tokenizer
from llm_explainer.errors import CheckpointError, TokenizerError
from llm_explainer.generation.prompts import encode_prompt
from llm_explainer.tokenizer import BPETokenizer, load_tokenizer
from tests.foreign_layouts import tokenizer_files


@pytest.fixture
def two_files(tmp_path):
    """Return a model's directory with vocab.json and merges.txt, and the same tokenizer."""
    document = tokenizer_files()["gpt2"]
    vocab = document["model"]["vocab"]
    config = tiny_config("gpt2", vocab_size=max(vocab.values()) + 2)
    path = save_checkpoint(tmp_path / "model", random_model(config))
    (path / "SHA256SUMS").unlink()
    (path / "vocab.json").write_text(json.dumps(vocab))
    (path / "merges.txt").write_text("\n".join(["#version: 0.2", *document["model"]["merges"]]))
    return path, BPETokenizer.from_json(document)


def test_gpt2s_two_files_beside_a_model(two_files):
    path, tokenizer = two_files
    text = "the<|endoftext|>other and 123"
    _, found = load_checkpoint(path)
    assert found.encode(text) == tokenizer.encode(text)
    assert found.special_tokens == {"<|endoftext|>": 0}  # the files say of no other
    (path / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<|fim|>"}))
    (path / "added_tokens.json").write_text(json.dumps({"<|new|>": tokenizer.vocab_size}))
    _, found = load_checkpoint(path)
    assert found.special_tokens == {**tokenizer.special_tokens, "<|new|>": tokenizer.vocab_size}
    assert open_tokenizer(str(path)).tokenizer.special_tokens == found.special_tokens
    (path / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        load_checkpoint(path)


def test_a_folder_stands_for_its_tokenizer(two_files, tmp_path):
    path, tokenizer = two_files
    assert load_tokenizer(path).encode("other") == tokenizer.encode("other")
    (tmp_path / "own").mkdir()
    TOKENIZER.save(tmp_path / "own" / "tokenizer.json")
    assert load_tokenizer(tmp_path / "own").vocab == TOKENIZER.vocab
    (tmp_path / "empty").mkdir()
    with pytest.raises(TokenizerError, match=r"empty/tokenizer\.json: cannot be read"):
        load_tokenizer(tmp_path / "empty")


def test_a_prompt_begins_with_what_a_file_puts_before_every_text():
    tokenizer = BPETokenizer.from_json(tokenizer_files()["llama 3.1"])
    ids = tokenizer.encode("the")
    assert encode_prompt(tokenizer, "the") == [0, *ids]
    assert encode_prompt(tokenizer, "<|endoftext|>the") == [0, *ids]  # once is enough
    assert encode_prompt(tokenizer, ids) == ids  # ids are taken as they are
