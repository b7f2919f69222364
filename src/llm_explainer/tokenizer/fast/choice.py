"""Which way is taken: the compiled core, NumPy, or the readable one. Nobody else asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llm_explainer.progress import Progress
from llm_explainer.tokenizer import core
from llm_explainer.tokenizer.fast import numpy_splitting, training
from llm_explainer.tokenizer.fast.character_classes import character_classes
from llm_explainer.tokenizer.fast.decoding import CoreDecoder, NumpyDecoder
from llm_explainer.tokenizer.fast.numpy_counting import NumpyCounter
from llm_explainer.tokenizer.fast.numpy_encoding import NumpyEncoder
from llm_explainer.tokenizer.fast.word_counts import WordCounts
from llm_explainer.tokenizer.readable.cuts import leaves_whole
from llm_explainer.tokenizer.readable.naive import Pair
from llm_explainer.tokenizer.readable.patterns import PATTERNS
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.training import Ties

_FEW_CHARS = 2000  # below which arrays cost more than they gain


def has_rules(pattern: str) -> bool:
    """Return whether ``word_ends`` knows a pattern; words of others take ``regex``."""
    return pattern in PATTERNS


def may_be_cut(splitter: Splitter) -> bool:
    """Return whether text is cut into blocks before anything else is known about it.

    If not, its words are those that ``Splitter.stream`` finds.
    """
    return has_rules(splitter.pattern) and leaves_whole(splitter.special_tokens)


def is_encoded_readably(text: str) -> bool:
    """Return whether a text is too short for arrays, where there is nothing but them."""
    return len(text) < _FEW_CHARS and not core.core_in_use()


def word_ends(data: bytes, pattern: str) -> NDArray[np.int32]:
    """Return where every word ends, in bytes (n_words,); see ``numpy_splitting.word_ends``."""
    if core.core_in_use():
        return core.splitting.word_ends(data, character_classes(), pattern == "gpt4")
    return numpy_splitting.word_ends(data, pattern)


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
    byte_ids: Sequence[int],
    most_words: int,
    whole_words: dict[bytes, int],
) -> core.encoding.WordEncoder | NumpyEncoder:
    """Return what merges words, and remembers ``most_words`` of them; see ``NumpyEncoder``."""
    if core.core_in_use():
        pairs = np.array(list(ranks), np.int64).reshape(-1, 2)
        keys = pairs[:, 0] << 32 | pairs[:, 1]
        return core.encoding.WordEncoder(keys, merged, byte_ids, most_words, whole_words)
    return NumpyEncoder(ranks, merged, byte_ids, most_words, whole_words)


def decoder(vocab: Mapping[int, bytes]) -> CoreDecoder | NumpyDecoder:
    """Return what puts the tokens of ids together."""
    return CoreDecoder(vocab) if core.core_in_use() else NumpyDecoder(vocab)
