"""Which token begins a text and which end it: what the files say, and everybody goes by it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_explainer import BPETokenizer, ModelConfig, generate, load_backend, save_checkpoint
from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.errors import LLMExplainerWarning, TokenizerError
from llm_explainer.tokenizer import CharTokenizer, WordTokenizer, load_tokenizer
from llm_explainer.tokenizer.roles import TokenRoles, read_roles

nn = load_backend("numpy")
SPECIAL = {"<s>": 0, "</s>": 1, "<|im_end|>": 2, "<pad>": 3}


def foreign(special: dict[str, int] = SPECIAL) -> BPETokenizer:
    """Bytes, and special tokens before them, none of which is ``<|endoftext|>``."""
    first = len(special)
    return BPETokenizer({first + byte: bytes([byte]) for byte in range(256)}, [], special)


def directory(path: Path, **files: dict[str, Any]) -> Path:
    """Write a model of zeros, which always gives id 0, with changes to its files; no checksums."""
    tokenizer = foreign()
    config = ModelConfig.preset("tiny", family="llama", vocab_size=tokenizer.vocab_size)
    save_checkpoint(path, nn.GPT(config, init_scheme="zeros"), tokenizer)
    (path / "SHA256SUMS").unlink()
    for name, changes in files.items():
        file = path / f"{name}.json"
        content = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**content, **changes}))
    return path


CASES: list[tuple[dict[str, dict[str, Any]], TokenRoles]] = [
    ({"config": {"eos_token_id": 0, "bos_token_id": 3}}, TokenRoles(3, (0,))),
    ({"config": {"eos_token_id": [2, 0]}}, TokenRoles(None, (2, 0))),
    ({"generation_config": {"eos_token_id": [0, 2]}}, TokenRoles(None, (0, 2))),
    # generation_config.json goes first, as in transformers' generate
    (
        {"config": {"eos_token_id": 1}, "generation_config": {"eos_token_id": 0}},
        TokenRoles(None, (0,)),
    ),
    ({"tokenizer_config": {"eos_token": "<s>", "bos_token": "</s>"}}, TokenRoles(1, (0,))),
    ({"special_tokens_map": {"eos_token": {"content": "<s>"}}}, TokenRoles(None, (0,))),
    # What the tokenizer calls its end is learned, where it is one of several.
    (
        {"config": {"eos_token_id": [0, 2]}, "tokenizer_config": {"eos_token": "<|im_end|>"}},
        TokenRoles(None, (2, 0)),
    ),
    (
        {"config": {"eos_token_id": 9_999}, "tokenizer_config": {"eos_token": "<s>"}},
        TokenRoles(None, (0,)),
    ),
    ({"config": {"pad_token_id": 3, "eos_token_id": 0}}, TokenRoles(None, (0,), padding=3)),
    ({}, TokenRoles()),
]


@pytest.mark.parametrize(("files", "expected"), CASES)
def test_roles_are_those_of_the_files(
    files: dict[str, dict[str, Any]], expected: TokenRoles, tmp_path: Path
) -> None:
    model, tokenizer = load_checkpoint(directory(tmp_path / "model", **files), "numpy")
    assert tokenizer.roles == expected
    ended = generate(model, tokenizer, "Hi", max_tokens=3, temperature=0)
    text = "".join(ended)
    assert (text, ended.ended_by) == (
        ("", "end of text") if 0 in expected.ends else ("<s>" * 3, "max_tokens")
    )
    save_checkpoint(tmp_path / "again", model, tokenizer)
    assert load_checkpoint(tmp_path / "again", "numpy")[1].roles == expected
    assert pickle.loads(pickle.dumps(tokenizer)).roles == expected  # noqa: S301 - our own


def test_an_empty_prompt_starts_from_the_beginning_that_files_name(tmp_path: Path) -> None:
    path = directory(tmp_path / "model", config={"bos_token_id": 3, "eos_token_id": 1})
    model, tokenizer = load_checkpoint(path, "numpy")
    seen: list[Any] = []

    def next_ids(tokens: Any, *rest: Any, **options: Any) -> Any:
        seen.append(tokens)
        return nn.GPT.next_ids(model, tokens, *rest, **options)

    model.next_ids = next_ids
    "".join(generate(model, tokenizer, "", max_tokens=1, temperature=0))
    assert np.asarray(seen[0]).tolist() == [[3]]


def test_a_key_that_is_missing_is_what_the_family_has() -> None:
    llama = foreign({"<unk>": 0, "<s>": 1, "</s>": 2})
    assert read_roles(llama, {}, {"model_type": "llama"}, {}) == TokenRoles(1, (2,))
    assert read_roles(llama, {}, {"model_type": "llama", "eos_token_id": None}, {}).ends == ()
    assert read_roles(foreign(), {}, {"model_type": "gpt2"}, {}) == TokenRoles()


@pytest.mark.parametrize("value", ["</s>", True, 1.0, [1, "2"], {}])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(TokenizerError, match=r"eos_token_id is .*; an id is expected"):
        read_roles(foreign(), {}, {"eos_token_id": value}, {})


def test_a_name_without_a_token_is_said(tmp_path: Path) -> None:
    with pytest.warns(
        LLMExplainerWarning, match="eos_token is '<eos>', which the tokenizer has no"
    ):
        assert read_roles(foreign(), {"eos_token": "<eos>"}, {}, {}) == TokenRoles()


def test_a_tokenizer_file_alone_goes_by_the_name(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.train(["ab"])
    tokenizer.save(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text("[1]")  # of something else
    assert load_tokenizer(tmp_path / "tokenizer.json").roles == TokenRoles(2, (2,))


def test_the_unknown_token_is_that_of_the_file(tmp_path: Path) -> None:
    words = WordTokenizer({0: "a", 1: "b"}, {"[UNK]": 2}, unknown="[UNK]")
    words.save(tmp_path / "tokenizer.json")
    read = load_tokenizer(tmp_path / "tokenizer.json")
    assert read.encode("a c b") == [0, 2, 1]
    assert read.roles.unknown == 2


@pytest.mark.parametrize("files", [files for files, _ in CASES])
def test_transformers_ends_there_too(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Where the model's files name ends; where only the tokenizer does, we end alone."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    path = directory(tmp_path / "model", **files)
    _, tokenizer = load_checkpoint(path, "numpy")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path)
    given = torch.tensor([tokenizer.encode("Hi")])
    ids = theirs.generate(given, max_new_tokens=3, do_sample=False)[0, given.shape[1] :].tolist()
    # The id 9999 is none of this vocabulary's; there the tokenizer's name counts for us.
    by_id = any(changes.get("eos_token_id", 9_999) != 9_999 for changes in files.values())
    assert ids == ([0] if by_id and 0 in tokenizer.roles.ends else [0, 0, 0])
    if tokenizer.roles.begin is not None and "bos_token_id" in files.get("config", {}):
        assert theirs.generation_config.bos_token_id == tokenizer.roles.begin
