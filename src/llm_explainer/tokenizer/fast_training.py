"""The fast way from words to merges: compiled where the core is in use.

The readable way is ``learn_merges`` (bpe_training.py), which does the work elsewhere.
"""

from __future__ import annotations

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
