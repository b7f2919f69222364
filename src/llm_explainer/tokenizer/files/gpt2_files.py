"""GPT-2's two files: ``vocab.json`` with the ids, ``merges.txt`` with the merges in their order."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.bpe_json import BPEParts, read_merges, token_from_text
from llm_explainer.tokenizer.files.tokenizer_json import (
    ordinary_tokens,
    read_json,
    read_text,
    read_vocab,
)


def read_gpt2_files(
    vocab_json: str | os.PathLike[str],
    merges_txt: str | os.PathLike[str],
    special_tokens: Sequence[str],
) -> BPEParts:
    """Read GPT-2's ``vocab.json`` (or ``encoder.json``) and ``merges.txt`` (or ``vocab.bpe``).

    Raises:
        TokenizerError: missing or damaged files; a special token that the vocabulary lacks.
    """
    try:
        ids = read_vocab({"vocab": read_json(vocab_json)})
        for name in special_tokens:
            if name not in ids:
                raise TokenizerError(f"has no special token {shorten(name)}")
        special = {name: ids[name] for name in special_tokens}
        vocab = {i: token_from_text(text) for i, text in ordinary_tokens(ids, special).items()}
    except TokenizerError as error:
        raise TokenizerError(f"{vocab_json}: {error}") from None
    try:
        lines = read_text(merges_txt).split("\n")
        merges = read_merges(line for line in lines if line and not line.startswith("#version"))
    except TokenizerError as error:
        raise TokenizerError(f"{merges_txt}: {error}") from None
    return BPEParts(vocab, merges, special, "gpt2")
