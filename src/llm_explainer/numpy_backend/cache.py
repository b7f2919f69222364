"""Keys and values of the tokens seen so far, so that generating one more costs one more.

Letters: B batch, K key-value heads, L = the most tokens held, H width of a head.

Explained in ``Tutorial/09 - TextGeneration.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend.kernels import rows_apart
from llm_explainer.numpy_backend.module import Array
from llm_explainer.text_lengths import TextLengths


class LayerCache:
    """One layer's keys and values, preallocated as (B, K, L, H).

    Attributes:
        texts: where they end; shared by all layers.
    """

    def __init__(self, shape: tuple[int, int, int, int], texts: TextLengths) -> None:
        self._keys = np.zeros(shape, np.float32)
        self._values = np.zeros(shape, np.float32)
        self.texts = texts

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Store k and v (B, K, T, H) behind each row's last token; return all, (B, K, S, H).

        S is the longest row's length. Slots behind a shorter row's end hold leftovers: the
        attention mask hides them.
        """
        n_tokens, stop = k.shape[2], self.texts.longest + k.shape[2]
        if self.texts.agree:
            self._keys[:, :, stop - n_tokens : stop] = k
            self._values[:, :, stop - n_tokens : stop] = v
        else:
            for row, start in enumerate(self.texts.lengths.tolist()):
                self._keys[row, :, start : start + n_tokens] = k[row]
                self._values[row, :, start : start + n_tokens] = v[row]
        return self._keys[:, :, :stop], self._values[:, :, :stop]

    def of_one(self) -> tuple[Array, Array]:
        """Return the keys and values of the only row, (K, L, H) each."""
        return self._keys[0], self._values[0]

    def keep(self, rows: Array) -> None:
        """Forget all rows but these."""
        self._keys, self._values = self._keys[rows], self._values[rows]


class KVCache:
    """A model's cache for a batch of B texts, each with its own length.

    The model appends to it. Texts of different lengths are fed padded on the right and the cache
    is then trimmed to the true lengths; what the padding left behind is overwritten.
    """

    def __init__(self, config: ModelConfig, batch_size: int, capacity: int) -> None:
        self.capacity = capacity
        self.texts = TextLengths(batch_size)
        shape = (batch_size, config.n_kv_heads, capacity, config.head_dim)
        self.layers = [LayerCache(shape, self.texts) for _ in range(config.n_layers)]

    @property
    def lengths(self) -> Array:
        """How many tokens of each text it holds, (B,)."""
        return self.texts.lengths

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` more in every row: the model calls it when all layers have stored."""
        self.texts.advance(n_tokens)

    def trim(self, lengths: Array) -> None:
        """Forget all but the first ``lengths`` (B,) tokens of each row."""
        self.texts.move_to(lengths)

    def copy_of(self, start: int, stop: int) -> list[tuple[Array, Array]]:
        """Return copies of the only text's keys and values from ``start`` to ``stop``, by layer."""
        pairs = [layer.of_one() for layer in self.layers]
        return [(k[:, start:stop].copy(), v[:, start:stop].copy()) for k, v in pairs]

    def extend(self, copied: list[tuple[Array, Array]]) -> None:
        """Add what ``copy_of`` returned, (K, T, H) each, behind the only text's last token."""
        for layer, (k, v) in zip(self.layers, copied, strict=True):
            layer.append(k[None], v[None])
        self.advance(copied[0][0].shape[1])

    def keep(self, rows: Array) -> None:
        """Forget all texts but those of ``rows``, an array of their places in the batch."""
        for layer in self.layers:
            layer.keep(rows)
        self.texts.move_to(self.lengths[rows])


class TextRows:
    """Texts with caches of their own as the first rows of a batch; further rows are nobody's.

    To the model it is a cache, by which every text grows by a token. Texts come and go between
    steps, and no text's numbers depend on the others': attention is worked out for each by itself,
    and products as ``rows_apart`` says.

    Attributes:
        multiple: the batch has so many rows, or twice as many, or thrice.
    """

    multiple = 1

    def __init__(self, caches: Sequence[KVCache], n_rows: int) -> None:
        self._caches = caches
        self.capacity = max(cache.capacity for cache in caches)
        self.texts = TextLengths(n_rows)
        lengths = np.zeros(n_rows, np.int64)
        lengths[: len(caches)] = [cache.texts.longest for cache in caches]
        self.texts.move_to(lengths)
        of_layers = zip(*(cache.layers for cache in caches), strict=True)
        self.layers = [LayerRows(of_layer, self.texts) for of_layer in of_layers]

    @property
    def lengths(self) -> Array:
        """How many tokens of each text it holds, (B,)."""
        return self.texts.lengths

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` more in every text."""
        self.texts.advance(n_tokens)
        for cache in self._caches:
            cache.advance(n_tokens)

    def apart(self) -> AbstractContextManager[None]:
        """Return the context to run the model in."""
        return rows_apart()


class LayerRows:
    """One layer's caches of several texts, the first rows of the batch."""

    def __init__(self, caches: Sequence[LayerCache], texts: TextLengths) -> None:
        self._pairs = [cache.of_one() for cache in caches]
        self.texts = texts

    def append(self, k: Array, v: Array, window: int) -> list[tuple[Array, Array]]:
        """Store k and v (B, K, H); return each text's keys and values (K, S, H), of its window."""
        found = []
        ends = self.texts.lengths.tolist()
        for (keys, values), end, k_row, v_row in zip(self._pairs, ends, k, v, strict=False):
            keys[:, end], values[:, end] = k_row, v_row
            seen = slice(max(0, end + 1 - window) if window else 0, end + 1)
            found.append((keys[:, seen], values[:, seen]))
        return found
