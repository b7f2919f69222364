"""GPT-2's two files: ``vocab.json`` with the ids, ``merges.txt`` with the merges in their order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.base import END_OF_TEXT
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.bpe_json import BPEParts, read_merges, token_from_text
from llm_explainer.tokenizer.files.tokenizer_json import (
    ordinary_tokens,
    read_json,
    read_text,
    read_vocab,
)

_VOCABS = ("vocab.json", "encoder.json", "*vocab.json")  # as GPT-2's file has been called
_MERGES = ("merges.txt", "vocab.bpe", "*merges.txt")


def find_gpt2_files(folder: Path) -> tuple[Path, Path] | None:
    """Return the two files in a folder; None where one is missing."""
    vocab, merges = _find(folder, _VOCABS), _find(folder, _MERGES)
    return (vocab, merges) if vocab and merges else None


def merges_beside(vocab_json: Path) -> Path | None:
    """Return the file of merges that belongs to a vocabulary; None where there is none."""
    return _find(vocab_json.parent, _MERGES) if vocab_json.match("*vocab.json") else None


def special_names(vocab_json: Path) -> dict[str, int]:
    """Return the special tokens of a vocabulary, which files beside it name, and their ids.

    Raises:
        TokenizerError: a file that is damaged.
    """
    ids = read_vocab({"vocab": read_json(vocab_json)})
    special = {END_OF_TEXT: ids[END_OF_TEXT]} if END_OF_TEXT in ids else {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        path = vocab_json.parent / file
        settings = read_json(path) if path.is_file() else {}
        for key, value in settings.items():
            name = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(name, str) and name in ids:
                special[name] = ids[name]
    added = vocab_json.parent / "added_tokens.json"
    return special | (read_vocab({"vocab": read_json(added)}) if added.is_file() else {})


def _find(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    """Return the file that matches the first of the patterns that any file matches."""
    for pattern in patterns:
        if found := sorted(folder.glob(pattern)):
            return found[0]
    return None


def read_gpt2_files(
    vocab_json: str | os.PathLike[str],
    merges_txt: str | os.PathLike[str],
    special_tokens: Sequence[str] | Mapping[str, int],
) -> BPEParts:
    """Read GPT-2's ``vocab.json`` (or ``encoder.json``) and ``merges.txt`` (or ``vocab.bpe``).

    Special tokens are names that the vocabulary has, or names and ids.

    Raises:
        TokenizerError: missing or damaged files; a special token that the vocabulary lacks.
    """
    try:
        ids = read_vocab({"vocab": read_json(vocab_json)})
        if not isinstance(special_tokens, Mapping):
            for name in special_tokens:
                if name not in ids:
                    raise TokenizerError(f"has no special token {shorten(name)}")
            special_tokens = {name: ids[name] for name in special_tokens}
        special = dict(special_tokens)
        vocab = {i: token_from_text(text) for i, text in ordinary_tokens(ids, special).items()}
    except TokenizerError as error:
        raise TokenizerError(f"{vocab_json}: {error}") from None
    try:
        lines = [line.removesuffix("\r") for line in read_text(merges_txt).split("\n")]
        merges = read_merges(line for line in lines if line and not line.startswith("#version"))
    except TokenizerError as error:
        raise TokenizerError(f"{merges_txt}: {error}") from None
    return BPEParts(vocab, merges, special, "gpt2")
