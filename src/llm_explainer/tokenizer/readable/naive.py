"""Byte-pair encoding as the textbook has it: count all pairs, join the most frequent, again.

Sennrich et al. 2016, algorithm 1, on bytes as in Radford et al. 2019, section 2.2. It counts every
pair anew at each merge, so learning 8,000 of them from a megabyte takes more than an hour;
``training`` and ``merging`` give the same merges and ids in a second. Text comes as words (see
``patterns``), since no merge reaches across two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

Pair = tuple[int, int]  # two ids, side by side


def train(words: Iterable[bytes], n_merges: int, min_frequency: int = 2) -> list[Pair]:
    """Return at most ``n_merges`` pairs in the order of learning; pair ``m`` becomes id 256 + m.

    Of equally frequent pairs the greatest pair of byte strings goes first. Wikipedia's example,
    in which aa is the most frequent, then aaa and aaab (97 is a, 98 is b):

    >>> train([b"aaabdaaabac"], 3)
    [(97, 97), (256, 97), (257, 98)]
    """
    sequences = [list(word) for word in words]
    tokens, merges = [bytes([byte]) for byte in range(256)], list[Pair]()
    while len(merges) < n_merges:
        counts = Counter(pair for ids in sequences for pair in pairwise(ids))
        order = {pair: (n, tokens[pair[0]], tokens[pair[1]]) for pair, n in counts.items()}
        best = max(order, key=order.__getitem__, default=None)
        if best is None or counts[best] < min_frequency:
            break
        sequences = [join(ids, best, len(tokens)) for ids in sequences]
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
    return merges


def join(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """Return the ids with every ``pair``, from left to right, as the id ``new``.

    >>> join([97, 97, 97, 98], (97, 97), 256)
    [256, 97, 98]
    """
    joined: list[int] = []
    for token_id in ids:
        if joined and (joined[-1], token_id) == pair:
            joined[-1] = new
        else:
            joined.append(token_id)
    return joined


def encode(word: bytes, merges: Sequence[Pair]) -> list[int]:
    """Return the ids of a word: its bytes, joined by every merge in the order of learning.

    >>> encode(b"aaabdaaabac", [(97, 97), (256, 97), (257, 98)])
    [258, 100, 258, 97, 99]
    """
    ids = list(word)
    for new, pair in enumerate(merges, 256):
        ids = join(ids, pair, new)
    return ids


def decode(ids: Iterable[int], merges: Sequence[Pair]) -> bytes:
    """Return the bytes of the ids.

    >>> decode([258, 100, 258, 97, 99], [(97, 97), (256, 97), (257, 98)])
    b'aaabdaaabac'
    """
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return b"".join(tokens[token_id] for token_id in ids)
