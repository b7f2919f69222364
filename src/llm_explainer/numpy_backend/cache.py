"""Keys and values of the tokens seen so far, so that generating one more costs one more.

Letters: B batch, K key-value heads, L = the most tokens held, H width of a head.

Explained in ``Tutorial/09 - TextGeneration.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llm_explainer.config import ModelConfig
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

    def keep(self, rows: Array) -> None:
        """Forget all texts but those of ``rows``, an array of their places in the batch."""
        for layer in self.layers:
            layer.keep(rows)
        self.texts.move_to(self.lengths[rows])


class TextRows:
    """Texts with caches of their own as the rows of one batch, of which some may be empty.

    To the model it is a cache, and every text grows by a token. Texts come and go between steps,
    and no text's numbers depend on the others': attention is worked out for each by itself.
    """

    def __init__(self, caches: Sequence[KVCache | None]) -> None:
        self._caches = [cache for cache in caches if cache is not None]
        self.capacity = max(cache.capacity for cache in self._caches)
        self.texts = TextLengths(len(caches))
        self.texts.move_to(np.array([0 if c is None else c.texts.longest for c in caches]))
        of_layers = zip(*(cache.layers for cache in self._caches), strict=True)
        rows = [row for row, cache in enumerate(caches) if cache is not None]
        self.layers = [
            LayerRows(dict(zip(rows, of_layer, strict=True)), self.texts) for of_layer in of_layers
        ]

    @property
    def lengths(self) -> Array:
        """How many tokens of each text it holds, (B,)."""
        return self.texts.lengths

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` more in every text."""
        self.texts.advance(n_tokens)
        for cache in self._caches:
            cache.advance(n_tokens)


class LayerRows:
    """One layer's caches of several texts, by their rows of the batch."""

    def __init__(self, caches: dict[int, LayerCache], texts: TextLengths) -> None:
        self._caches = caches
        self.texts = texts

    def append(self, k: Array, v: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Store k and v (B, K, 1, H); yield each text's row, and its keys and values."""
        for row, cache in self._caches.items():
            own = slice(row, row + 1)
            yield own, *cache.append(k[own], v[own])
