"""Tokenizer files: saved and loaded they give the same ids, here and in Hugging Face's software."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizer_cases import NASTY_TEXTS, SAMPLE, data_file

from llm_explainer.tokenizer import (
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    load_tokenizer,
)
from llm_explainer.tokenizer.readable.byte_alphabet import ALPHABET, from_text, to_text
from llm_explainer.tokenizer.readable.patterns import PATTERNS

OWN_PATTERN = r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+"
NAMES = ["<|endoftext|>", "<|x|>", "<|x|><|y|>"]
TRAINING = [SAMPLE, *NASTY_TEXTS]
TOKENIZERS: dict[str, Any] = {
    "gpt2": BPETokenizer.train(TRAINING, 400, special_tokens=NAMES),
    "gpt4": BPETokenizer.train(TRAINING, 400, special_tokens=NAMES, pattern="gpt4"),
    "own": BPETokenizer.train(TRAINING, 400, special_tokens=[], pattern=OWN_PATTERN),
    "characters": CharTokenizer.train(TRAINING, special_tokens=NAMES),
    "words": WordTokenizer.train(TRAINING, 60),
}
all_kinds = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


@all_kinds
def test_saved_and_loaded_it_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    for loaded in (load_tokenizer(path), type(tokenizer).load(path)):  # type: ignore[attr-defined]
        assert type(loaded) is type(tokenizer)
        assert loaded.vocab == tokenizer.vocab
        assert loaded.special_tokens == tokenizer.special_tokens
        for text in TRAINING:
            assert loaded.encode(text) == tokenizer.encode(text)
            assert loaded.decode(loaded.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_merges_and_the_pattern_are_kept(tmp_path: Path) -> None:
    for pattern in ("gpt2", "gpt4", OWN_PATTERN):
        tokenizer = BPETokenizer.train([SAMPLE], 300, pattern=pattern)
        tokenizer.save(tmp_path / "tokenizer.json")
        loaded = BPETokenizer.load(tmp_path / "tokenizer.json")
        assert loaded.merges == tokenizer.merges
        assert loaded.pattern == pattern


@all_kinds
def test_hugging_face_gives_the_same_ids_and_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    peers = pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    peer = peers.Tokenizer.from_file(str(path))
    assert peer.get_vocab_size() == tokenizer.vocab_size
    for text in TRAINING:
        ids = tokenizer.encode(text)
        assert peer.encode(text).ids == ids
        assert peer.decode(ids, skip_special_tokens=False) == tokenizer.decode(ids)


def test_the_layout_that_hugging_face_reads(tmp_path: Path) -> None:
    TOKENIZERS["gpt2"].save(tmp_path / "tokenizer.json")
    document = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert document["pre_tokenizer"]["type"] == document["decoder"]["type"] == "ByteLevel"
    assert document["pre_tokenizer"]["use_regex"] is True
    assert document["pre_tokenizer"]["add_prefix_space"] is False
    assert document["model"]["type"] == "BPE"
    assert [entry["content"] for entry in document["added_tokens"]] == NAMES
    TOKENIZERS["gpt4"].save(tmp_path / "tokenizer.json")
    document = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    split, byte_level = document["pre_tokenizer"]["pretokenizers"]
    assert split["pattern"] == {"Regex": PATTERNS["gpt4"]}
    assert byte_level["use_regex"] is False


def test_files_of_others_with_merges_as_text_and_ids_in_any_order(tmp_path: Path) -> None:
    vocab = {character: 299 - i for i, character in enumerate(sorted(ALPHABET))}
    vocab |= {"Ġt": 0, "he": 1, "Ġthe": 2, "<|endoftext|>": 3}
    vocab |= {f"Ġ{i}{i}{i}": 4 + i for i in range(10)} | {f"z{i}": 14 + i for i in range(10)}
    vocab |= {f"q{i}": 24 + i for i in range(10)} | {f"k{i}": 34 + i for i in range(10)}
    document = {
        "added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": True}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["Ġ t", "h e", "Ġt he"]},
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    tokenizer = BPETokenizer.load(path)
    assert tokenizer.merges == [(b" ", b"t"), (b"h", b"e"), (b" t", b"he")]
    assert tokenizer.encode("a the<|endoftext|>he") == [vocab["a"], 2, 3, 1]
    assert tokenizer.decode([vocab["a"], 2, 3, 1]) == "a the<|endoftext|>he"


def test_two_merges_may_make_the_same_token() -> None:
    # Files converted from tiktoken's list every way to split a token.
    vocab = {i: bytes([i]) for i in range(256)} | {256: b"ab", 257: b"bc", 258: b"abc"}
    merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")]
    tokenizer = BPETokenizer(vocab, merges, {})
    assert tokenizer.encode("abc bc") == [258, 32, 257]


def test_gpt2s_files_saved_as_one(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.from_gpt2(data_file("gpt2_vocab.json"), data_file("gpt2_merges.txt"))
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.vocab, loaded.merges) == (tokenizer.vocab, tokenizer.merges)
    assert loaded.special_tokens == {"<|endoftext|>": 50256}


def test_the_byte_alphabet_is_gpt2s() -> None:
    assert len(set(ALPHABET)) == 256
    assert to_text(b" the\n") == "ĠtheĊ"
    assert to_text(bytes([0, 0x7F, 0xAD, 0xFF])) == "Āġłÿ".replace("ł", "Ń")
    assert all(character.isprintable() and not character.isspace() for character in ALPHABET)
    every_byte = bytes(range(256))
    assert from_text(to_text(every_byte)) == every_byte
