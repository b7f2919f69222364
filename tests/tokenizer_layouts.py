"""Files for ``tokenizer_campaign`` and its stored results, made with Hugging Face's tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.foreign_layouts import added, tokenizer_files

TEXTS = [
    "the theme of the thesis is that they gather there. It wasn't the first time: 1024!",
    "naïve café, 你好 世界 — ok  then   other brothers bathe together    in 2048.",
]


def smollm_file(path: Path) -> dict[str, Any]:
    """Return the tokenizer.json that a GGUF of SmolLM2 was made from, as far as ids go."""
    from gguf import GGUFReader  # type: ignore[import-not-found]

    fields = GGUFReader(path).fields
    tokens, merges, kinds = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type")
    )
    document = tokenizer_files()["gpt2"]
    document["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        ],
    }
    document["added_tokens"] = [added(tokens[i], i) for i, kind in enumerate(kinds) if kind == 3]
    document["model"]["vocab"] = {token: i for i, token in enumerate(tokens)}
    document["model"]["merges"] = merges
    return document


def byte_fallback_files() -> dict[str, dict[str, Any]]:
    """Return a byte-fallback tokenizer in each of the forms that such files have."""
    return {}


def flagged_files() -> dict[str, dict[str, Any]]:
    """Return byte-level tokenizers whose added tokens have flags, with and without NFC."""
    files = {}
    for name in ("qwen 3", "gpt2", "deepseek v3"):
        document = tokenizer_files()[name]
        last = max(document["model"]["vocab"].values()) + 1
        flags: list[dict[str, Any]] = [
            {"content": "<|l|>", "lstrip": True},
            {"content": "<|r|>", "rstrip": True},
            {"content": "<|both|>", "rstrip": True, "lstrip": True, "normalized": True},
            {"content": "zq", "single_word": True},
            {"content": "é", "normalized": True, "special": False, "single_word": True},
            {"content": "e\u0301x", "normalized": True, "special": False},
            {"content": " a", "normalized": True, "lstrip": True},
            {"content": "<|r|>a"},
            {"content": "ab", "normalized": True},
            {"content": "bc"},
        ]
        document["added_tokens"] += [
            added(f["content"], last + i, **{k: v for k, v in f.items() if k != "content"})
            for i, f in enumerate(flags)
            if f["content"] != "é"
        ]
        files[f"flags, {name}"] = document
    return files


if __name__ == "__main__":
    print(json.dumps(list(flagged_files())))
