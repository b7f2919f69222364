"""The fast way from text to the counts of its words, by one process or several.

The readable way is ``count_words`` (counting.py); this one gives the same counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import core
from llm_explainer.tokenizer.bpe_training import Progress
from llm_explainer.tokenizer.character_classes import SPECIAL_BYTE
from llm_explainer.tokenizer.counting import Pieces, count_words, has_space, last_cut
from llm_explainer.tokenizer.crew import Crew
from llm_explainer.tokenizer.fast_encoding import cut_blocks
from llm_explainer.tokenizer.patterns import PATTERNS
from llm_explainer.tokenizer.sources import Source, read_texts
from llm_explainer.tokenizer.splitter import Splitter, checked_pieces
from llm_explainer.tokenizer.vector_counting import VectorCounter

_BATCH_CHARS = 1 << 20  # that are counted at a time, by this process or another


@dataclass(frozen=True)
class WordCounts:
    """Distinct words, and how often each occurs."""

    data: NDArray[np.uint8]  # the bytes of word after word
    sizes: NDArray[np.int64]  # (n,)
    counts: NDArray[np.int64]  # (n,)

    @classmethod
    def of(cls, counts: Mapping[bytes, int]) -> Self:
        """Return the same as arrays."""
        return cls(
            np.frombuffer(b"".join(counts), np.uint8),
            np.array([*map(len, counts)], np.int64),
            np.array([*counts.values()], np.int64),
        )

    def as_dict(self) -> dict[bytes, int]:
        """Return the count of every word."""
        ends, data = np.cumsum(self.sizes), self.data.tobytes()
        starts = ends - self.sizes
        words = [data[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
        return dict(zip(words, self.counts.tolist(), strict=True))


class FastCounter:
    """Counts the words of text after text, for a pattern that has a name."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._words: core.counting.WordCounter | VectorCounter
        self._words = core.counting.WordCounter() if core.core_in_use() else VectorCounter()

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
    source: Source, splitter: Splitter, *, workers: int = 1, progress: Progress | None = None
) -> WordCounts:
    """Return what ``count_words`` returns, as arrays, and raise what it raises."""
    if splitter.pattern not in PATTERNS or has_space(splitter.special_tokens):
        words = count_words(source, splitter, workers=workers, progress=progress)
        return WordCounts.of({word.encode(): count for word, count in words.items()})
    counter, n_chars = FastCounter(splitter.pattern), 0
    with Crew(workers - 1, _count_for_others, splitter.pattern) as crew:
        for n_more, data in _batches(read_texts(source), splitter):
            if not crew.takes(data):
                counter.add_text(data)
            n_chars += n_more
            if progress is not None:
                progress("reading", n_chars, 0)
        for data, sizes, counts in crew.results():
            counter.add_counts(WordCounts(data, sizes, counts))
    result = counter.result()
    if not len(result.sizes):
        raise TokenizerError("the training text is empty; give at least one word to learn from")
    return result


def _count_for_others(pattern: str, texts: Iterable[bytes]) -> tuple[NDArray[np.generic], ...]:
    """Do the work of a process of the crew."""
    counter = FastCounter(pattern)
    for data in texts:
        counter.add_text(data)
    words = counter.result()
    return words.data, words.sizes, words.counts


def _batches(texts: Iterable[Pieces], splitter: Splitter) -> Iterator[tuple[int, bytes]]:
    """Yield characters and UTF-8 of about a million of them; 0xFF between texts and so on."""
    parts: list[bytes] = []
    n_chars = 0
    for pieces in texts:
        rest = ""
        for piece in checked_pieces(pieces):
            rest += piece
            if len(rest) >= _BATCH_CHARS and (cut := last_cut(rest)):
                parts += _encoded_parts(splitter, rest[:cut])
                yield n_chars + cut, SPECIAL_BYTE.join(parts)
                parts, n_chars, rest = [], 0, rest[cut:]
        parts += _encoded_parts(splitter, rest)
        n_chars += len(rest)
        if n_chars >= _BATCH_CHARS:
            yield n_chars, SPECIAL_BYTE.join(parts)
            parts, n_chars = [], 0
    yield n_chars, SPECIAL_BYTE.join(parts)


def _encoded_parts(splitter: Splitter, text: str) -> list[bytes]:
    return [ordinary.encode() for ordinary, _ in splitter.parts(text)]
