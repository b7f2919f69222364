"""Learning merges: count what stands side by side, join the most frequent pair, count again.

Sennrich et al. 2016, section 3.2, on bytes as in Radford et al. 2019. Counting everything again
after each merge would be quadratic; a merge changes the counts of its neighbours only, so those
alone are updated, and the work grows with the number of places where merges happen.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

from llm_explainer.progress import Progress
from llm_explainer.tokenizer.readable import byte_alphabet
from llm_explainer.tokenizer.readable.naive import Pair

Ties = Literal["greatest-bytes", "lower-ids", "lower-ids-hf"]

_NOWHERE = -1  # the neighbour of a word's first or last symbol
_GONE = -1  # the symbol of a place that has been merged into the one before it


class Chains:
    """Every distinct word as a chain of symbols, and where each pair of neighbours stands.

    The words lie one after the other: place ``i`` holds ``symbols[i]``, its neighbours in the word
    are at ``before[i]`` and ``after[i]``. Joining two symbols is O(1) however long the word is.
    """

    def __init__(self, word_counts: Mapping[bytes, int]) -> None:
        self.symbols: list[int] = []
        self.before: list[int] = []
        self.after: list[int] = []
        self.weights: list[int] = []  # how often the word of a place occurs
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.places: defaultdict[Pair, list[int]] = defaultdict(list)  # of a pair's left symbol
        for word, count in word_counts.items():
            self._append(word, count)

    def _append(self, word: bytes, count: int) -> None:
        start = len(self.symbols)
        end = start + len(word)
        self.symbols.extend(word)
        self.before.extend([_NOWHERE, *range(start, end - 1)])
        self.after.extend([*range(start + 1, end), _NOWHERE])
        self.weights.extend([count] * len(word))
        for place, pair in enumerate(pairwise(word), start):
            self.counts[pair] += count
            self.places[pair].append(place)

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Join every occurrence of ``pair`` into the symbol ``new``; return the pairs this made.

        ``a b c`` becomes ``ab c``: there is one (b, c) less and one (ab, c) more, likewise to the
        left. The counts of the returned pairs are final: later merges can only lower them, as no
        other merge makes a pair with ``new`` in it.
        """
        left, right = pair
        symbols, before, after, counts = self.symbols, self.before, self.after, self.counts
        made: set[Pair] = set()
        # From left to right, as a reader would: "aaa" is "aa" + "a". Places are always in order.
        for i in self.places.pop(pair):
            j = after[i]
            if symbols[i] != left or j == _NOWHERE or symbols[j] != right:
                continue  # a merge since then has taken one of the two
            weight = self.weights[i]
            symbols[i], symbols[j] = new, _GONE
            h, k = before[i], after[j]
            after[i] = k
            if h != _NOWHERE:
                counts[symbols[h], left] -= weight
                self._add((symbols[h], new), h, weight, made)
            if k != _NOWHERE:
                before[k] = i
                counts[right, symbols[k]] -= weight
                self._add((new, symbols[k]), i, weight, made)
        del counts[pair]
        return made

    def _add(self, pair: Pair, place: int, weight: int, made: set[Pair]) -> None:
        self.counts[pair] += weight
        self.places[pair].append(place)
        made.add(pair)


def learn_merges(
    word_counts: Mapping[bytes, int],
    n_merges: int,
    *,
    min_frequency: int = 2,
    ties: Ties = "greatest-bytes",
    progress: Progress | None = None,
) -> list[Pair]:
    """Return at most ``n_merges`` pairs, in the order in which they are to be merged.

    Symbols 0 to 255 are the bytes; merge number ``m`` makes symbol ``256 + m``. Learning stops
    early when no pair occurs ``min_frequency`` times. Among pairs that are equally frequent the
    lexicographically greatest pair of byte strings goes first. The other rules are there to compare
    merge by merge: ``lower-ids`` takes the pair of lower symbols, as rustbpe does, and
    ``lower-ids-hf`` numbers the bytes by their character in the byte alphabet, as HF tokenizers do.

    ``{b"aaab": 2}`` -> ``[(97, 97), (256, 97), (257, 98)]``: aa, aaa, aaab.
    """
    chains = Chains(word_counts)
    precedence = _PRECEDENCES[ties]
    tokens = [bytes([byte]) for byte in range(256)]  # the bytes of every symbol
    first = [precedence(symbol, token) for symbol, token in enumerate(tokens)]

    def entry(pair: Pair) -> tuple[int, str, str, Pair]:
        # heapq gives the smallest first: so the count is negated, and `first` is small for
        # what wins ties.
        return -chains.counts[pair], first[pair[0]], first[pair[1]], pair

    heap = [entry(pair) for pair, count in chains.counts.items() if count >= min_frequency]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < n_merges:
        negated_count, _, _, pair = heapq.heappop(heap)
        if chains.counts[pair] != -negated_count:
            # Merges of its neighbours took some of its occurrences. Nothing told the heap, which is
            # what makes it cheap; now that the pair is due it goes back with its present count.
            if chains.counts[pair] >= min_frequency:
                heapq.heappush(heap, entry(pair))
            continue
        merges.append(pair)
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        new = len(tokens) - 1
        first.append(precedence(new, tokens[new]))
        for made in chains.merge(pair, new):
            if chains.counts[made] >= min_frequency:
                heapq.heappush(heap, entry(made))
        if progress is not None and (len(merges) % 64 == 0 or len(merges) == n_merges):
            progress("merging", len(merges), n_merges)
    return merges


def _by_bytes(_symbol: int, token: bytes) -> str:
    """Return a text that is smaller the greater the token is: ``b > ab > aa > a``.

    Each byte is turned around, and a last character greater than all makes a beginning greater
    than what it is the beginning of.
    """
    return "".join(chr(255 - byte) for byte in token) + chr(256)


def _by_id(symbol: int, _token: bytes) -> str:
    return f"{symbol:010}"


def _by_hf_id(symbol: int, token: bytes) -> str:
    return f"{symbol if symbol > 255 else HF_ORDER.index(token):010}"


HF_ORDER = sorted((bytes([byte]) for byte in range(256)), key=byte_alphabet.to_text)

_PRECEDENCES: dict[Ties, Callable[[int, bytes], str]] = {
    "greatest-bytes": _by_bytes,
    "lower-ids": _by_id,
    "lower-ids-hf": _by_hf_id,
}
