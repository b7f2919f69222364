"""tiktoken's rank files: on each line a token in base64, a space, and its rank, which is its id.

There are no merges in them. tiktoken joins whatever two neighbours make a token, the lowest rank
first, and takes a word that is a token as it is. The merges can be told from that: up to the moment
in which a token comes about, what happens between its two ends does not depend on what stands
around it. So its own bytes, merged by the rule, arrive at the only two parts that ever make it.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.bpe_json import BPEParts
from llm_explainer.tokenizer.files.tokenizer_json import expect, read_text
from llm_explainer.tokenizer.readable.special_tokens import check_special_tokens

Ranks = Mapping[bytes, int]


def read_tiktoken_file(
    path: str | os.PathLike[str],
    pattern: str,
    special_tokens: Sequence[str] | Mapping[str, int],
) -> BPEParts:
    """Read a rank file.

    Args:
        path: of the file.
        pattern: "gpt2", "gpt4", or a regular expression; the file does not say.
        special_tokens: names, whose ids follow on the ranks, or names and ids.

    Raises:
        TokenizerError: missing or damaged, or special tokens that cannot be.
    """
    ranks = _read_ranks(read_text(path))
    if isinstance(special_tokens, Mapping):
        ids = [
            expect(token_id, int, f"the id of {shorten(name)}")
            for name, token_id in special_tokens.items()
        ]
        special = dict(zip(check_special_tokens(special_tokens), ids, strict=True))
    else:
        names = check_special_tokens(special_tokens)
        special = {name: max(ranks.values()) + 1 + place for place, name in enumerate(names)}
    merges = []
    n_never_made = 0
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1:
            parts = parts_of(token, ranks)
            if len(parts) == 2:
                merges.append((parts[0], parts[1]))
            else:
                n_never_made += 1
    return BPEParts(
        {rank: token for token, rank in ranks.items()},
        merges,
        special,
        pattern,
        ignore_merges=n_never_made > 0,  # otherwise merging a word that is a token gives the token
    )


def parts_of(token: bytes, ranks: Ranks) -> tuple[bytes, ...]:
    """Return what the bytes of a token become before they become the token itself.

    With ranks for ``ab`` and ``abc``: ``abc`` -> ``ab, c``. Three parts or more mean that no
    merging ever makes this token.
    """
    parts = [token[place : place + 1] for place in range(len(token))]
    while len(parts) > 2:
        joined = [left + right for left, right in pairwise(parts)]
        known = [(ranks[pair], place) for place, pair in enumerate(joined) if pair in ranks]
        if not known:
            break
        _, place = min(known)
        parts[place : place + 2] = [joined[place]]
    return tuple(parts)


def _read_ranks(text: str) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    seen: set[int] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line:
            continue
        try:
            encoded, rank = line.split(" ")
            token = base64.b64decode(encoded, validate=True)
            value = int(rank) if rank.isdecimal() else -1
        except (ValueError, binascii.Error):
            token, value = b"", -1
        if not token or value < 0:
            raise TokenizerError(
                f"line {number} is {shorten(line)}; a token in base64, a space and its rank are "
                "expected"
            )
        if token in ranks:
            raise TokenizerError(f"line {number}: token {shorten(token)} is there twice")
        if value in seen:
            raise TokenizerError(f"line {number}: rank {value} is there twice")
        seen.add(value)
        ranks[token] = value
    if not ranks:
        raise TokenizerError("is empty; a line for each token is expected")
    return ranks
