"""Token healing: a prompt may end anywhere, also after a space or in the middle of a word.

A model has never seen the tokens of half a word: in its texts " river" is one token, so after the
token " " anything may come but a word. So the last word of a prompt is taken back (a word as the
tokenizer cuts text, with the space before it), and the model writes it again, with tokens whose
bytes agree with those of the prompt: " river" for " ", " ri" or " river". (Lundberg 2023, "The Art
of Prompt Design: Prompt Boundaries and Token Healing", goes back by one token; a word that was
broken off is often several.)
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_explainer.generation.filters import Scores
from llm_explainer.generation.prompts import encode_prompt, with_prefix
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.tokenizer.merging_tokenizer import MergingTokenizer


class Healing:
    """The end of a prompt that a model has yet to write again.

    Args:
        vocabulary: the tokens that may be written
        word: the end of the prompt
    """

    def __init__(self, vocabulary: SortedVocabulary, word: str) -> None:
        self.word = word
        self._vocabulary, self._rest = vocabulary, word.encode()
        self.n_bytes = len(self._rest)  # so many tokens are enough

    @property
    def is_done(self) -> bool:
        """Whether all of it is written."""
        return not self._rest

    def masked(self, scores: Scores) -> Scores:
        """Return scores (V,) in which tokens that disagree with the prompt have no chance."""
        allowed = self._vocabulary.along(self._rest)
        allowed = allowed[allowed < len(scores)]
        masked = np.full_like(scores, -np.inf)
        masked[allowed] = scores[allowed]
        return masked

    def take(self, token: int) -> bool:
        """Go on by a token; return whether it is nothing but the prompt's own text."""
        written = self._vocabulary.tokens[token]
        is_own = len(written) <= len(self._rest)
        self._rest = self._rest[len(written) :]
        return is_own


class SortedVocabulary:
    """Ordinary tokens in the order of their bytes, so that those that begin alike are together."""

    def __init__(self, tokens: dict[int, bytes]) -> None:
        self.tokens = tokens
        pairs = sorted((token, token_id) for token_id, token in tokens.items())
        self._sorted = [token for token, _ in pairs]
        self._ids = np.array([token_id for _, token_id in pairs])  # (V,)

    def along(self, text: bytes) -> NDArray[np.integer[Any]]:
        """Return the ids of the tokens that begin with ``text``, and of those that it begins with.

        There always are some where every byte of the text is a token.

        >>> tokens = dict(enumerate([b"a", b"b", b"ab", b"abc", b"ba"]))
        >>> SortedVocabulary(tokens).along(b"ab").tolist()
        [0, 2, 3]
        """
        first = bisect_left(self._sorted, text)
        end = bisect_left(self._sorted, text + b"\xff" * 8, first)
        while end < len(self._sorted) and self._sorted[end].startswith(text):
            end += 1
        shorter = []
        for length in range(1, len(text)):
            place = bisect_left(self._sorted, text[:length])
            if place < len(self._sorted) and self._sorted[place] == text[:length]:
                shorter.append(place)
        return self._ids[[*shorter, *range(first, end)]]


def split_prompt(
    tokenizer: Tokenizer, prompt: str, *, begins: bool
) -> tuple[list[int], Healing | None]:
    """Return the ids of a prompt up to its last word, and that word to be written again.

    None where there is nothing to heal: after a special token, in white space that begins a text,
    and for tokenizers whose tokens do not grow together.

    Args:
        tokenizer: the model's.
        prompt: a text.
        begins: whether nothing stands before it.

    Raises:
        TokenizerError: a text that the tokenizer cannot encode.
    """
    as_it_is = list(encode_prompt(tokenizer, prompt, begins=begins)), None
    if not isinstance(tokenizer, MergingTokenizer) or not tokenizer.merges:
        return as_it_is
    ids, word = tokenizer.encode_but_last_word(prompt)
    if not word or (begins and not ids and word[0].isspace()):  # before which no text has anything
        return as_it_is
    if not ids and tokenizer.dressing.spaces:  # the word has a space that the prompt has not
        return as_it_is
    if any(byte in tokenizer.symbols.missing for byte in word.encode()):
        return as_it_is
    if begins:
        ids = with_prefix(tokenizer, ids)
    return ids, Healing(_sorted_vocabulary(tokenizer), word)


@lru_cache(maxsize=2)
def _sorted_vocabulary(tokenizer: MergingTokenizer) -> SortedVocabulary:
    special = set(tokenizer.special_tokens.values())
    return SortedVocabulary({i: token for i, token in tokenizer.vocab.items() if i not in special})
