"""The fast way from words to merges: compiled where the core is in use.

The readable way is ``learn_merges`` (bpe_training.py), which does the work elsewhere.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from llm_explainer.tokenizer import core
from llm_explainer.tokenizer.bpe_training import HF_ORDER, Pair, Progress, Ties, learn_merges
from llm_explainer.tokenizer.fast_counting import WordCounts


def learn_merges_fast(
    words: WordCounts,
    n_merges: int,
    *,
    min_frequency: int = 2,
    ties: Ties = "greatest-bytes",
    progress: Progress | None = None,
) -> list[Pair]:
    """Return what ``learn_merges`` returns."""
    if not core.core_in_use():
        with _no_search_for_cycles():
            return learn_merges(
                words.as_dict(), n_merges, min_frequency=min_frequency, ties=ties, progress=progress
            )
    orders = {
        "greatest-bytes": None,
        "lower-ids": range(256),
        "lower-ids-hf": [HF_ORDER.index(bytes([byte])) for byte in range(256)],
    }
    learner = core.training.Learner(orders[ties], min_frequency)
    learner.load(words.data, words.sizes, words.counts)
    return learner.learn(n_merges, progress)


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
