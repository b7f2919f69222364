"""From the counts of words to merges: by the core, or by the readable trainer, held to its work."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from llm_explainer.progress import Progress
from llm_explainer.tokenizer import core
from llm_explainer.tokenizer.fast.word_counts import WordCounts
from llm_explainer.tokenizer.readable.naive import Pair
from llm_explainer.tokenizer.readable.training import HF_ORDER, Ties, learn_merges

MOST_MERGES = 2**31 - 1
"""So far the core counts; no text has as many pairs to offer."""


def learn_with_core(
    words: WordCounts, n_merges: int, min_frequency: int, ties: Ties, progress: Progress | None
) -> list[Pair]:
    """Return what ``learn_merges`` returns."""
    orders = {
        "greatest-bytes": None,
        "lower-ids": range(256),
        "lower-ids-hf": [HF_ORDER.index(bytes([byte])) for byte in range(256)],
    }
    learner = core.training.Learner(orders[ties], min_frequency)
    learner.load(words.data, words.sizes, words.counts)
    return learner.learn(min(n_merges, MOST_MERGES), progress)


def learn_readably(
    words: WordCounts, n_merges: int, min_frequency: int, ties: Ties, progress: Progress | None
) -> list[Pair]:
    """Return what ``learn_merges`` returns, a little sooner."""
    with _no_search_for_cycles():
        return learn_merges(
            words.as_dict(), n_merges, min_frequency=min_frequency, ties=ties, progress=progress
        )


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Hold Python's garbage collector back.

    Learning makes tuples by the million and no cycles; looking for some takes a sixth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
