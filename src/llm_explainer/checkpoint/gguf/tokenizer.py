"""A tokenizer as the metadata of a GGUF file, where llama.cpp has what it takes.

llama.cpp knows a fixed set of ways to cut words, and nothing of most other steps. So the metadata
are read again, and a tokenizer of which anything would get lost is refused.
"""

from __future__ import annotations

import json
from typing import Any

from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer import BPETokenizer, Tokenizer, tokenizer_from_gguf

SPLITS = {
    "gpt2": "gpt-2",
    "gpt4": "llama-bpe",  # written otherwise, and the same words
    "llama3": "llama-bpe",
    "qwen": "qwen2",
    "smollm": "smollm",
}
"""What llama.cpp calls our patterns of words."""

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # types of tokens


def tokenizer_metadata(tokenizer: Tokenizer, vocab_size: int) -> dict[str, Any]:
    """Return what a GGUF says of a tokenizer, by key: texts, numbers, and lists of them.

    Args:
        tokenizer: byte-level BPE, with a pattern that has a name.
        vocab_size: of the model, which may have more rows than there are tokens.

    Raises:
        CheckpointError: llama.cpp would read texts otherwise; says in what.
    """
    if not isinstance(tokenizer, BPETokenizer):
        kind = type(tokenizer).__name__
        raise CheckpointError(f"llama.cpp has no {kind}; byte-level BPE would do")
    if not isinstance(tokenizer.pattern, str) or tokenizer.pattern not in SPLITS:
        raise CheckpointError(
            f"llama.cpp cannot cut words by the pattern {tokenizer.pattern!r}; "
            f"{', '.join(SPLITS)} would do"
        )
    model = json.loads(tokenizer.to_json())["model"]
    if not model["merges"]:
        raise CheckpointError("llama.cpp has no BPE without merges; train one with more tokens")
    texts, types = _tokens(tokenizer, model["vocab"], vocab_size)
    metadata = {
        "model": "gpt2",
        "pre": SPLITS[tokenizer.pattern],
        "tokens": texts,
        "token_type": types,
        "merges": [" ".join(pair) for pair in model["merges"]],
        "add_bos_token": bool(tokenizer.prefix),
        "add_space_prefix": False,
        **_roles(tokenizer),
    }
    named = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    _refuse_losses(tokenizer, named)
    if tokenizer.chat_template is not None:
        named["tokenizer.chat_template"] = tokenizer.chat_template.source
    return named


def _tokens(
    tokenizer: BPETokenizer, vocab: dict[str, int], vocab_size: int
) -> tuple[list[str], list[int]]:
    """Return the text and the type of every id."""
    names = {token_id: text for text, token_id in vocab.items()}
    types = dict.fromkeys(names, _NORMAL)
    for name, token_id in tokenizer.special_tokens.items():
        names[token_id] = name
        is_usual = name not in tokenizer.flags or tokenizer.flags[name].special
        types[token_id] = _CONTROL if is_usual else _USER_DEFINED
    ids = range(vocab_size)
    return [names.get(i, f"[unused {i}]") for i in ids], [types.get(i, _UNUSED) for i in ids]


def _roles(tokenizer: BPETokenizer) -> dict[str, int]:
    roles = tokenizer.roles
    ids = {"bos": roles.begin, "eos": roles.end, "padding": roles.padding, "unknown": roles.unknown}
    return {f"{role}_token_id": token for role, token in ids.items() if token is not None}


def _refuse_losses(tokenizer: BPETokenizer, metadata: dict[str, Any]) -> None:
    """Refuse a tokenizer that is another one when its metadata are read."""
    read = tokenizer_from_gguf(metadata)
    assert isinstance(read, BPETokenizer)
    parts = {
        "ids": (tokenizer.ordinary_vocab(), read.ordinary_vocab()),
        "merges": (tokenizer.merges, read.merges),
        "special tokens": (tokenizer.special_tokens, read.special_tokens),
        "flags of added tokens": (tokenizer.flags, read.flags),
        "ids before a text": (tokenizer.prefix, read.prefix),
        "normalization": (tokenizer.dressing, read.dressing),
    }
    for what, (own, after) in parts.items():
        if own != after:
            raise CheckpointError(f"the tokenizer's {what} would get lost in llama.cpp")
    if tokenizer.ignore_merges != read.ignore_merges and tokenizer.tokens_not_merged():
        raise CheckpointError(
            f"the tokenizer has tokens that no merge makes, which llama.cpp, by the split "
            f"{metadata['tokenizer.ggml.pre']}, would treat otherwise"
        )
