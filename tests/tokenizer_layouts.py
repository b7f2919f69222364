"""Files for ``tokenizer_campaign`` and its stored results, made with Hugging Face's tokenizers."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    document = smollm_layout()
    document["added_tokens"] = [added(tokens[i], i) for i, kind in enumerate(kinds) if kind == 3]
    document["model"]["vocab"] = {token: i for i, token in enumerate(tokens)}
    document["model"]["merges"] = merges
    return document


def layouts(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return files by name: of a byte-fallback model, and with flags, and SmolLM's layout."""
    small = smollm_layout()
    del small["model"]["vocab"]["Ą"]  # as SmolLM2's lacks the byte 4, and FF
    del small["model"]["vocab"]["ÿ"]
    return {**byte_fallback_files(model), **flagged_files(), "smollm": small}


def smollm_layout() -> dict[str, Any]:
    """Return a small file with the steps of SmolLM2's."""
    document = tokenizer_files()["gpt2"]
    document["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        ],
    }
    return document


def byte_fallback_files(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a byte-fallback tokenizer in each of the forms that such files have."""
    open_model = {**model, "vocab": dict(model["vocab"]), "merges": list(model["merges"])}
    for token in ("a▁", "e▁t"):  # over the border of words: then a whole text is one
        open_model["vocab"][token] = len(open_model["vocab"])
    open_model["merges"] = [["a", "▁"], ["e", "▁t"], *model["merges"]]
    prepend = {"type": "Prepend", "prepend": "▁"}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    both = {"type": "Sequence", "normalizers": [prepend, replace]}
    files = {
        "prepend": _sentencepiece(model, both),
        "prepend, tokens with spaces inside": _sentencepiece(open_model, both),
        "replace": _sentencepiece(model, replace, strips=False),
    }
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme}
            cutting = {**step, "split": split}
            files[f"{scheme}, {split}"] = _sentencepiece(model, None, cutting, scheme != "never")
    flagged = json.loads(json.dumps(files["prepend"]))
    last = max(flagged["model"]["vocab"].values()) + 1
    flagged["added_tokens"] += [
        added("<|l|>", last, lstrip=True),
        added("<|r|>", last + 1, rstrip=True, normalized=True),
        added("a b", last + 2, normalized=True),
        added("zq", last + 3, single_word=True, special=False),
    ]
    files["prepend, flags"] = flagged
    first = json.loads(json.dumps(files["first, False"]))
    first["added_tokens"] = flagged["added_tokens"]
    files["first, flags"] = first
    return files


def trained_model(texts: Sequence[str] = TEXTS, size: int = 420) -> dict[str, Any]:
    """Return a byte-fallback model that ``tokenizers`` learn from texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    peer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    peer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    of_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    special = ["<unk>", "<s>", "</s>", *of_bytes]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    peer.train_from_iterator(texts, trainer)
    model: dict[str, Any] = json.loads(peer.to_str())["model"]
    return model


def _sentencepiece(
    model: dict[str, Any], normalizer: Any, pre_tokenizer: Any = None, strips: bool = True
) -> dict[str, Any]:
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if strips:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(name, i) for i, name in enumerate(["<unk>", "<s>", "</s>"])],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": model,
    }


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
            {"content": "e\u0301-中", "normalized": True, "special": False},
            {"content": " a", "normalized": True, "lstrip": True},
            {"content": "<|r|>a"},
            {"content": "ab", "normalized": True},
            {"content": "bc"},
        ]
        document["added_tokens"] += [
            added(f["content"], last + i, **{k: v for k, v in f.items() if k != "content"})
            for i, f in enumerate(flags)
        ]
        files[f"flags, {name}"] = document
    return files
