"""Tokens as a person can see them, and how each came about, merge by merge."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from llm_explainer.errors import TokenizerError
from llm_explainer.plain.contract import Array
from llm_explainer.tokenizer import BPETokenizer, Tokenizer
from llm_explainer.tokenizer.replay import Step, is_taken_whole, merge_ranks, replay, words_of
from llm_explainer.tracing import piece_of

MOST_BYTES = 60
"""Of a word whose merges are kept: longer ones have more steps than anybody reads."""

SIGNS = {" ": "·", "\n": "↵", "\t": "→", "\r": "␍"}


def visible(data: bytes) -> str:
    r"""Return bytes as one line in which nothing is invisible and nothing turns the line around.

    White space becomes a sign. A byte that is only a part of a character, and a control character,
    become ``\x9f``; other characters that show nothing, such as those that change the direction of
    writing, ``\u200d``.

    >>> visible(" fox".encode()), visible(b"\xc3"), visible("\u202e<b>".encode())
    ('·fox', '\\xc3', '\\u202e<b>')
    """
    shown = []
    # A byte that no character claims comes as a lone surrogate: U+DC00 plus the byte (PEP 383).
    for char in data.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if char in SIGNS:
            shown.append(SIGNS[char])
        elif 0xDC80 <= code <= 0xDCFF or code < 0x20 or code == 0x7F:
            shown.append(f"\\x{code & 0xFF:02x}")
        elif not char.isprintable():
            shown.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
        else:
            shown.append(char)
    return "".join(shown)


def vocabulary(tokenizer: Tokenizer, size: int) -> list[str]:
    """Return every token of the model's vocabulary as it is shown."""
    special = {token: text for text, token in tokenizer.special_tokens.items()}
    return [
        special[i] if i in special else visible(piece_of(tokenizer, i)) or f"id {i}"
        for i in range(size)
    ]


def tokens(tokenizer: Tokenizer, ids: Array) -> list[dict[str, Any]]:
    """Return of every token of a text its id, its bytes in hex, and whether it is special."""
    special = set(tokenizer.special_tokens.values())
    return [
        {"id": int(i), "bytes": piece_of(tokenizer, int(i)).hex(" "), "special": int(i) in special}
        for i in ids
    ]


def merges(tokenizer: Tokenizer, text: str, ids: Array) -> list[dict[str, Any]]:
    """Return for each word of a text the token it begins at, and its steps from bytes to tokens.

    Empty where there are no merges of bytes, or where the words don't come to the text's ids.
    """
    if not isinstance(tokenizer, BPETokenizer):
        return []
    found: list[dict[str, Any]] = []
    ranks, place = merge_ranks(tokenizer), len(tokenizer.prefix)
    try:
        words = list(words_of(tokenizer, text))
    except TokenizerError:
        return []
    for word, special in words:
        data = word.encode().translate(None, tokenizer.symbols.missing)
        if special or is_taken_whole(tokenizer, data):
            place += 1
            continue
        if not 0 < len(data) <= MOST_BYTES:
            return found
        steps = list(replay(data, ranks))
        found.append({"start": place, "steps": _described(steps)})
        place += len(steps[-1].tokens)
    return found if place == len(ids) else []


def _described(steps: list[Step]) -> list[dict[str, Any]]:
    """Return what each step shows: the pieces, and which merge made them, of how many possible."""
    shown: list[dict[str, Any]] = [{"pieces": [visible(piece) for piece in steps[0].tokens]}]
    for before, after in pairwise(steps):
        rank, place = before.candidates[0]
        shown.append(
            {
                "pieces": [visible(piece) for piece in after.tokens],
                "merge": rank + 1,
                "place": place,
                "possible": len(before.candidates),
            }
        )
    return shown
