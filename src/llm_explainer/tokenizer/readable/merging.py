"""Turning one word into tokens: apply the learned merges, the earliest learned first.

Sennrich et al. 2016, section 3.2. Two ways to the same result: a plain loop that is fastest for the
few bytes of a usual word, and one for words of any length.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise

from llm_explainer.tokenizer.readable.naive import Pair

LONG_WORD = 128  # symbols, from which on the heap is faster than the plain loop


def merge_word(ids: list[int], ranks: Mapping[Pair, int], merged: Sequence[int]) -> list[int]:
    """Return the ids of a word's tokens.

    ``ranks[a, b]`` says when the merge of a and b was learned, ``merged[rank]`` what it makes. With
    the merges th -> 256 and the -> 257: ``[116, 104, 101] -> [256, 101] -> [257]``.

    Args:
        ids: the ids of the word's single bytes; left as they are.
        ranks: the place of every merge in the order of learning.
        merged: the id that each merge makes.
    """
    if len(ids) >= LONG_WORD:
        return _merge_long_word(ids, ranks, merged)
    ids = list(ids)
    never = len(merged)
    while len(ids) > 1:
        # Among equals min takes the leftmost, and so does training: "aaa" is "aa" + "a".
        rank, place = min(
            (ranks.get(pair, never), place) for place, pair in enumerate(pairwise(ids))
        )
        if rank == never:
            break
        ids[place : place + 2] = [merged[rank]]
    return ids


def _merge_long_word(ids: list[int], ranks: Mapping[Pair, int], merged: Sequence[int]) -> list[int]:
    """Do the same in O(n log n): a heap of the merges to come, and links between neighbours."""
    n, gone = len(ids), -1
    before = list(range(-1, n - 1))  # the place of the left neighbour, -1 at the start
    after = list(range(1, n + 1))  # the place of the right neighbour, n at the end
    # A merge to come is rank * n + place of the left symbol: one number, in the order of both.
    heap = [ranks[pair] * n + place for place, pair in enumerate(pairwise(ids)) if pair in ranks]
    heapq.heapify(heap)
    ids = list(ids)
    while heap:
        rank, place = divmod(heapq.heappop(heap), n)
        taken = after[place]
        # An earlier merge may have taken one of the two; then the pair has another rank, or none.
        if taken == n or ranks.get((ids[place], ids[taken])) != rank:
            continue
        ids[place], ids[taken] = merged[rank], gone
        previous, following = before[place], after[taken]
        after[place] = following
        if following < n:
            before[following] = place
            if (right := ranks.get((ids[place], ids[following]))) is not None:
                heapq.heappush(heap, right * n + place)
        if previous >= 0 and (left := ranks.get((ids[previous], ids[place]))) is not None:
            heapq.heappush(heap, left * n + previous)
    return [token for token in ids if token != gone]
