"""Merging many words at a time with NumPy: each step does one merge in every word.

The same rule as in readable/merging.py, on a matrix with a word in each row: the ranks of all pairs
of neighbours stand beside it, every row joins its best pair, and rows in which nothing is left to
join drop out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast.key_table import KeyTable

Ids = NDArray[np.int32]

_NEVER = np.int32(0x7FFFFFFF)  # the rank of a pair that is not merged


class MergeTable:
    """The learned merges, to be looked up thousands at a time.

    Args:
        pairs: the two ids of every merge (n_merges, 2), in the order of learning.
        merged: the id that each makes (n_merges,).
    """

    def __init__(self, pairs: NDArray[np.int64], merged: Ids) -> None:
        self._table = KeyTable()
        self._merged = merged
        if len(pairs):
            self._table.add(*_keys(pairs[:, 0], pairs[:, 1]))

    def ranks(self, left: Ids, right: Ids) -> Ids:
        """Return when each pair's merge was learned (n,)."""
        ranks = self._table.find(*_keys(left, right))
        ranks[ranks < 0] = _NEVER
        return ranks

    def merge_rows(self, ids: Ids, sizes: NDArray[np.int64]) -> tuple[Ids, NDArray[np.int64]]:
        """Merge words; return their tokens and how many these are.

        Args:
            ids: the ids of a word's single bytes in each row (n, W), padded at the end.
            sizes: the bytes of each word (n,).

        Returns:
            Rows of tokens (n, W), padded, and their number (n,).
        """
        n_rows, width = ids.shape
        done, done_sizes = ids.copy(), sizes.copy()
        ranks = np.full((n_rows, width), _NEVER, np.int32)  # of the pair that begins here
        rows, columns = np.nonzero(np.arange(width) < (sizes - 1)[:, None])
        if rows.size:
            ranks[rows, columns] = self.ranks(ids[rows, columns], ids[rows, columns + 1])
        active = np.arange(n_rows)
        ids, sizes = ids.copy(), sizes.copy()
        while active.size:
            best = ranks.argmin(1)  # the leftmost among equals
            best_ranks = ranks[np.arange(len(active)), best]
            go_on = best_ranks != _NEVER
            if not go_on.all():
                stop = np.flatnonzero(~go_on)
                done[active[stop], : ids.shape[1]] = ids[stop]
                done_sizes[active[stop]] = sizes[stop]
                go_on = np.flatnonzero(go_on)
                active, ids, ranks, sizes = active[go_on], ids[go_on], ranks[go_on], sizes[go_on]
                best, best_ranks = best[go_on], best_ranks[go_on]
            if active.size:
                ids, ranks = self._join(ids, ranks, sizes, best, self._merged[best_ranks])
        return done, done_sizes

    def _join(
        self, ids: Ids, ranks: Ids, sizes: NDArray[np.int64], best: NDArray[np.int64], merged: Ids
    ) -> tuple[Ids, Ids]:
        """Put ``merged`` where the best pair was in each row, and move the rest to the left."""
        rows, width = np.arange(len(ids)), ids.shape[1]
        moved = np.arange(width - 1) > best[:, None]
        ids = np.where(moved, ids[:, 1:], ids[:, :-1])
        ranks = np.where(moved, ranks[:, 1:], ranks[:, :-1])
        ids[rows, best] = merged
        sizes -= 1
        ranks[rows, best] = _NEVER
        right, left = np.flatnonzero(best + 1 < sizes), np.flatnonzero(best > 0)
        rows, columns = np.append(right, left), np.append(best[right], best[left] - 1)
        if rows.size:  # the pairs that the new token makes
            ranks[rows, columns] = self.ranks(ids[rows, columns], ids[rows, columns + 1])
        return ids, ranks


def _keys(left: NDArray[np.integer], right: NDArray[np.integer]) -> tuple[NDArray[np.uint64], ...]:
    low = left.astype(np.uint64) << np.uint64(32) | right.astype(np.uint64)
    return low, np.ones(len(low), np.uint64)
