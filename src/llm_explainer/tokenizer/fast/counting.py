"""From text to the counts of its words, by one process or several.

The readable way is ``count_words`` (readable/counting.py); this one gives the same counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from llm_explainer.progress import Progress
from llm_explainer.tokenizer.fast import choice
from llm_explainer.tokenizer.fast.blocks import cut_blocks
from llm_explainer.tokenizer.fast.character_classes import SPECIAL_BYTE
from llm_explainer.tokenizer.fast.word_counts import WordCounts
from llm_explainer.tokenizer.readable.counting import Texts, count_words, require_words
from llm_explainer.tokenizer.readable.cuts import last_cut
from llm_explainer.tokenizer.readable.splitting import Splitter, checked_blocks
from llm_explainer.worker_pool import HelperPool

_JOB_CHARS = 1 << 20  # that are counted at a time, by this process or another


class FastCounter:
    """Counts the words of text after text, for a pattern that has a name."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._words = choice.word_counter()

    def add_text(self, data: bytes) -> None:
        """Count the words of UTF-8, in which 0xFF stands between texts and for special tokens."""
        for block, ends in cut_blocks(data, self._pattern):
            self._words.add_words(block, ends)

    def add_counts(self, words: WordCounts) -> None:
        """Add what another has counted."""
        ends = np.cumsum(words.sizes, dtype=np.int32)
        self._words.add_words(words.data.tobytes(), ends, words.counts)

    def result(self) -> WordCounts:
        """Return all counts, without the special tokens."""
        keys, counts, long = self._words.packed()
        letters = keys.astype("<u8").view(np.uint8)  # (n, 16), the last of which is the size
        ordinary = letters[:, 0] != SPECIAL_BYTE[0]
        letters, counts = letters[ordinary], counts[ordinary]
        sizes = letters[:, 15].astype(np.int64)
        short, others = letters[np.arange(16) < sizes[:, None]], WordCounts.of(long)
        return WordCounts(
            np.concatenate([short, others.data]),
            np.concatenate([sizes, others.sizes]),
            np.concatenate([counts, others.counts]),
        )


def count_word_bytes(
    texts: Texts, splitter: Splitter, *, workers: int = 1, progress: Progress | None = None
) -> WordCounts:
    """Return what ``count_words`` returns, as arrays, and raise what it raises.

    More than one worker helps where text may be cut without looking for its words.

    Raises:
        TokenizerError: also workers that cannot start.
    """
    if not choice.may_be_cut(splitter):
        words = count_words(texts, splitter, progress=progress)
        return WordCounts.of({word.encode(): count for word, count in words.items()})
    pattern = str(splitter.pattern)  # a name, and not several
    counter, n_chars = FastCounter(pattern), 0
    with HelperPool(workers - 1, _count_for_others, pattern) as helpers:
        for n_more, data in _jobs(texts, splitter):
            if not helpers.takes(data):
                counter.add_text(data)
            n_chars += n_more
            if progress is not None:
                progress("reading", n_chars, 0)
        for data, sizes, counts in helpers.results():
            counter.add_counts(WordCounts(data, sizes, counts))
    result = counter.result()
    require_words(len(result.sizes))
    return result


def _count_for_others(pattern: str, texts: Iterable[bytes]) -> tuple[NDArray[np.generic], ...]:
    """Do the work of a process that helps."""
    counter = FastCounter(pattern)
    for data in texts:
        counter.add_text(data)
    words = counter.result()
    return words.data, words.sizes, words.counts


def _jobs(texts: Texts, splitter: Splitter) -> Iterator[tuple[int, bytes]]:
    """Yield characters and UTF-8 of about a million of them; 0xFF between texts and so on."""
    parts: list[bytes] = []
    n_chars = 0
    for blocks in texts:
        rest, enough = "", _JOB_CHARS
        for block in checked_blocks(blocks):
            rest += block
            if len(rest) < enough:
                continue
            if cut := last_cut(rest):
                parts += _encoded_parts(splitter, rest[:cut])
                yield n_chars + cut, SPECIAL_BYTE.join(parts)
                parts, n_chars, rest = [], 0, rest[cut:]
            # At least doubling what is held keeps a word of n characters from costing n * n.
            enough = max(_JOB_CHARS, 2 * len(rest))
        parts += _encoded_parts(splitter, rest)
        n_chars += len(rest)
        if n_chars >= _JOB_CHARS:
            yield n_chars, SPECIAL_BYTE.join(parts)
            parts, n_chars = [], 0
    yield n_chars, SPECIAL_BYTE.join(parts)


def _encoded_parts(splitter: Splitter, text: str) -> list[bytes]:
    return [ordinary.encode() for ordinary, _ in splitter.parts(text)]
