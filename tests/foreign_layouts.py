"""Small tokenizer.json files with the layouts of others' real ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from llm_explainer.tokenizer import byte_alphabet

_WORDS = ("the", "he", "in", "at", "on", "er", "12", "123", "''", "!!", "ll", "'re", "ing", "and")

_SPLITS = {
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "o200k": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
_SPLITS["qwen"] = _SPLITS["cl100k"].replace(r"\p{N}{1,3}", r"\p{N}")
_DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]


def tokenizer_files() -> dict[str, dict[str, Any]]:
    """Return a small file of each layout."""
    split = _split
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, sequence_of("A")],
        "pair": [sequence_of("A"), sequence_of("B")],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }
    sequence = {"type": "Sequence", "processors": [byte_level(), template]}
    cl100k, o200k, qwen = (_SPLITS[name] for name in ("cl100k", "o200k", "qwen"))
    files = {
        "gpt2": _file(byte_level(use_regex=True)),
        "gpt-3.5": _file(split([cl100k], "Removed"), holes=16, continuing_subword_prefix=""),
        "gpt-4o": _file(split([o200k], "Removed"), holes=19, end_of_word_suffix=""),
        "gpt-oss": _file(split([o200k]), post=byte_level(), ignore_merges=True),
        "llama 3": _file(split([cl100k]), post=byte_level(), ignore_merges=True),
        "llama 3.1": _file(split([cl100k]), post=sequence, ignore_merges=True),
        "qwen 3": _file(split([qwen]), normalizer={"type": "NFC"}, post=byte_level()),
        "deepseek v3": _file(split(_DEEPSEEK), normalizer=_no_normalizer(), later=True),
    }
    for name in ("qwen 3", "deepseek v3"):  # the same without what is refused
        plain = copy.deepcopy(files[name])
        plain["normalizer"] = _no_normalizer()
        steps = plain["pre_tokenizer"]["pretokenizers"]
        plain["pre_tokenizer"]["pretokenizers"] = steps[-2:]
        files[f"{name}, plain"] = plain
    return files


def sequence_of(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def _no_normalizer() -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": []}


def byte_level(**changes: Any) -> dict[str, Any]:
    step = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {**step, "use_regex": False, **changes}


def _split(patterns: list[str], behavior: str = "Isolated") -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": behavior,
            "invert": behavior == "Removed",
        }
        for pattern in patterns
    ]
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level()]}


def _file(
    pre_tokenizer: dict[str, Any],
    normalizer: Any = None,
    post: Any = None,
    holes: int = 0,
    later: bool = False,
    **model: Any,
) -> dict[str, Any]:
    """Return a file with the bytes, a few merges, and two added tokens, one after a hole."""
    vocab = {"<|endoftext|>": 0}
    for byte in range(256):
        vocab[byte_alphabet.to_text(bytes([byte]))] = 1 + byte
    merges = []
    for word in _WORDS:
        made = word[0]
        for character in word[1:]:
            if made + character not in vocab:
                vocab[made + character] = len(vocab)
                merges.append(f"{made} {character}")
            made += character
    last = len(vocab) + holes
    vocab["<|fim|>"] = last
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added("<|endoftext|>", 0), added("<|fim|>", last, normalized=later)],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post,
        "decoder": byte_level(add_prefix_space=True, use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            **model,
            "vocab": vocab,
            "merges": merges,
        },
    }


def added(name: str, token_id: int, **changes: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": name, **flags, "special": True, **changes}


def cut_down(path: Path) -> dict[str, Any]:
    """Return a real file with the settings that it has, and our small vocabulary."""
    document = json.loads(path.read_text(encoding="utf-8"))
    small = _file(document["pre_tokenizer"], document["normalizer"])
    model = {k: v for k, v in document["model"].items() if k not in ("vocab", "merges")}
    small["model"] = {**model, **{k: small["model"][k] for k in ("vocab", "merges")}}
    small["decoder"] = document["decoder"]
    return small
