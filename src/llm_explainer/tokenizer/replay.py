"""Why a word became these tokens: its merges, one after the other, for people to watch.

The rule is that of ``merge_word`` (readable/merging.py), on the bytes of the tokens instead of ids,
and with everything that it looks at on the way kept and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from llm_explainer.tokenizer.bpe import BPETokenizer

Ranks = Mapping[tuple[bytes, bytes], int]


@dataclass(frozen=True)
class Step:
    """A word on its way from bytes to tokens, and which of its neighbours may be merged now."""

    tokens: tuple[bytes, ...]
    candidates: tuple[tuple[int, int], ...]  # (rank, place of the left token), lowest rank first

    @property
    def next_merge(self) -> tuple[int, int] | None:
        """The (rank, place) of the merge to come; None where the tokens are the tokens."""
        return self.candidates[0] if self.candidates else None


def merge_ranks(tokenizer: BPETokenizer) -> dict[tuple[bytes, bytes], int]:
    """Return the place of every merge in the order of learning."""
    return {pair: rank for rank, pair in enumerate(tokenizer.merges)}


def replay(word: bytes, ranks: Ranks) -> Iterator[Step]:
    """Yield every step of a word, from its single bytes to its tokens.

    With the merges ``t h`` (rank 0) and ``th e`` (rank 1): ``t h e`` -> ``th e`` -> ``the``. Each
    step looks at all neighbours again, so this is for words and not for texts.
    """
    tokens = [word[place : place + 1] for place in range(len(word))]
    while True:
        candidates = sorted(
            (ranks[pair], place) for place, pair in enumerate(pairwise(tokens)) if pair in ranks
        )
        yield Step(tuple(tokens), tuple(candidates))
        if not candidates:
            return
        _, place = candidates[0]  # the lowest rank; among equals the leftmost
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]


def is_taken_whole(tokenizer: BPETokenizer, word: bytes) -> bool:
    """Return whether a word is a token without any merging: some tokenizers (Llama 3's) do that."""
    special = tokenizer.special_tokens.values()
    return tokenizer.ignore_merges and any(
        token == word and token_id not in special for token_id, token in tokenizer.vocab.items()
    )


def words_of(tokenizer: BPETokenizer, text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a text that no merge reaches across, and whether each is special.

    ``"It's<|endoftext|>"`` -> ``("It", False), ("'s", False), ("<|endoftext|>", True)``.

    Raises:
        TokenizerError: not text, or text that the tokenizer's pattern does not cover.
    """
    for ordinary, special in tokenizer._splitter.parts(text):
        yield from ((word, False) for word in tokenizer._splitter.words(ordinary) if word)
        if special:
            yield special, True
