"""Which way is taken: the compiled core, NumPy, or the readable one. Nobody else asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from llm_explainer.progress import Progress
from llm_explainer.tokenizer import core
from llm_explainer.tokenizer.fast import numpy_splitting, training
from llm_explainer.tokenizer.fast.character_classes import character_classes
from llm_explainer.tokenizer.fast.decoding import CoreDecoder, NumpyDecoder
from llm_explainer.tokenizer.fast.numpy_counting import NumpyCounter
from llm_explainer.tokenizer.fast.numpy_encoding import NumpyEncoder
from llm_explainer.tokenizer.fast.rules import RULES
from llm_explainer.tokenizer.fast.word_counts import WordCounts
from llm_explainer.tokenizer.readable.naive import Pair
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.symbols import NO_ID, Symbols
from llm_explainer.tokenizer.readable.training import Ties

_FEW_CHARS = 2000  # below which arrays cost more than they gain


def has_rules(pattern: str | Sequence[str]) -> TypeGuard[str]:
    """Return whether ``word_ends`` knows a pattern; words of others take ``regex``."""
    return isinstance(pattern, str) and pattern in RULES


def may_be_cut(splitter: Splitter) -> bool:
    """Return whether text is cut into blocks before anything else is known about it.

    If not, its words are those that ``Splitter.stream`` finds.
    """
    return has_rules(splitter.pattern) and splitter.may_be_cut_at_blanks(splitter.special_tokens)


def is_encoded_readably(text: str) -> bool:
    """Return whether a text is too short for arrays, where there is nothing but them."""
    return len(text) < _FEW_CHARS and not core.core_in_use()


def word_ends(data: bytes, pattern: str) -> NDArray[np.int32]:
    """Return where every word ends, in bytes (n_words,); see ``numpy_splitting.word_ends``."""
    rule = RULES[pattern]
    if core.core_in_use():
        return core.splitting.word_ends(data, character_classes(), rule.as_gpt4, rule.digits)
    return numpy_splitting.word_ends(data, rule)


def word_counter() -> core.counting.WordCounter | NumpyCounter:
    """Return what counts words."""
    return core.counting.WordCounter() if core.core_in_use() else NumpyCounter()


def learn_merges(
    words: WordCounts,
    n_merges: int,
    *,
    min_frequency: int = 2,
    ties: Ties = "greatest-bytes",
    progress: Progress | None = None,
) -> list[Pair]:
    """Return what ``readable.training.learn_merges`` returns."""
    learn = training.learn_with_core if core.core_in_use() else training.learn_readably
    return learn(words, n_merges, min_frequency, ties, progress)


def word_encoder(
    ranks: Mapping[Pair, int],
    merged: Sequence[int],
    symbols: Symbols,
    most_words: int,
    whole_words: dict[bytes, int],
) -> core.encoding.WordEncoder | NumpyEncoder:
    """Return what merges words, and remembers ``most_words`` of them; see ``NumpyEncoder``."""
    if not core.core_in_use():
        return NumpyEncoder(ranks, merged, symbols, most_words, whole_words)
    pairs = np.array(list(ranks), np.int64).reshape(-1, 2)
    keys = pairs[:, 0] << 32 | pairs[:, 1]
    char_ids = np.full(0 if symbols.char_ids is None else 0x110000, NO_ID, np.int32)
    for char, token_id in (symbols.char_ids or {}).items():
        char_ids[ord(char)] = token_id
    byte_ids = symbols.byte_ids
    return core.encoding.WordEncoder(keys, merged, byte_ids, most_words, whole_words, char_ids)


def decoder(vocab: Mapping[int, bytes]) -> CoreDecoder | NumpyDecoder:
    """Return what puts the tokens of ids together."""
    return CoreDecoder(vocab) if core.core_in_use() else NumpyDecoder(vocab)
