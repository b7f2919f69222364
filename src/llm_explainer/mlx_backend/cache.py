"""Keys and values of the tokens seen so far, so that generating one more costs one more.

Letters: B batch, K key-value heads, L = the most tokens held, S = the tokens seen, H width of a
head. How long each text is, is kept in NumPy: Python decides by it what MLX is to compute.

Explained in ``Tutorial/09 - TextGeneration.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from llm_explainer.config import ModelConfig
from llm_explainer.mlx_backend.engine.device import device_kind
from llm_explainer.mlx_backend.module import Array, as_ids
from llm_explainer.text_lengths import TextLengths

Lengths = NDArray[np.int64]


class LayerCache:
    """One layer's keys and values, preallocated as (B, K, L, H).

    Attributes:
        texts: where they end; shared by all layers.
    """

    def __init__(self, shape: tuple[int, int, int, int], texts: TextLengths) -> None:
        self._keys = mx.zeros(shape)
        self._values = mx.zeros(shape)
        self.texts = texts

    def start(self) -> int | Array:
        """Return where the next token stands: one number where all rows agree, else (B,)."""
        return self.texts.longest if self.texts.agree else as_ids(self.texts.lengths)

    def mask(self, n_tokens: int, window: int = 0) -> Array | str | None:
        """Return what hides the keys that the next tokens do not see, as MLX's attention wants it.

        Where rows agree, the last query is that of the last key, which is what MLX means by
        "causal"; a single query then sees all keys, or with a window the last so many.
        """
        is_whole = not 0 < window < self.texts.longest + n_tokens
        if self.texts.agree and is_whole:
            return None if n_tokens == 1 else "causal"
        unseen = self.texts.unseen(n_tokens, window)  # (T, S) or (B, T, S)
        assert unseen is not None
        return mx.array(~unseen[..., None, :, :])  # (1, T, S) or (B, 1, T, S): the same for heads

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Store k and v (B, K, T, H) behind each row's last token; return all, (B, K, S, H).

        Slots behind a shorter row's end hold leftovers: the mask hides them.
        """
        n_tokens, stop = k.shape[2], self.texts.longest + k.shape[2]
        if k.dtype != self._keys.dtype:  # the model computes in fewer bits
            self._keys, self._values = (x.astype(k.dtype) for x in (self._keys, self._values))
        if self.texts.agree:
            self._keys[:, :, stop - n_tokens : stop] = k
            self._values[:, :, stop - n_tokens : stop] = v
        else:
            slots = as_ids(self.texts.positions(n_tokens))[:, None, :, None]  # (B, 1, T, 1)
            self._keys = mx.put_along_axis(self._keys, slots, k, axis=2)
            self._values = mx.put_along_axis(self._values, slots, v, axis=2)
        return self._keys[:, :, :stop], self._values[:, :, :stop]

    def of_one(self) -> tuple[Array, Array]:
        """Return the keys and values of the only row, (K, L, H) each."""
        return self._keys[0], self._values[0]

    def keep(self, rows: Lengths) -> None:
        """Forget all rows but these."""
        kept = as_ids(rows)
        self._keys, self._values = self._keys[kept], self._values[kept]


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
    def lengths(self) -> Lengths:
        """How many tokens of each text it holds, (B,)."""
        return self.texts.lengths

    def positions(self, n_tokens: int) -> Array:
        """Return where the next tokens stand: (T,) where all texts agree, else (B, T)."""
        if self.texts.agree:
            return mx.arange(self.texts.longest, self.texts.longest + n_tokens)
        return as_ids(self.texts.positions(n_tokens))

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` more in every row: the model calls it when all layers have stored."""
        self.texts.advance(n_tokens)

    def trim(self, lengths: Lengths) -> None:
        """Forget all but the first ``lengths`` (B,) tokens of each row."""
        self.texts.move_to(lengths)

    def copy_of(self, start: int, stop: int) -> list[tuple[Array, Array]]:
        """Return copies of the only text's keys and values from ``start`` to ``stop``, by layer."""
        pairs = [layer.of_one() for layer in self.layers]
        return [(_copied(k[:, start:stop]), _copied(v[:, start:stop])) for k, v in pairs]

    def extend(self, copied: list[tuple[Array, Array]]) -> None:
        """Add what ``copy_of`` returned, (K, T, H) each, behind the only text's last token."""
        for layer, (k, v) in zip(self.layers, copied, strict=True):
            layer.append(k[None], v[None])
        self.advance(copied[0][0].shape[1])

    def keep(self, rows: Lengths) -> None:
        """Forget all texts but those of ``rows``, an array of their places in the batch."""
        for layer in self.layers:
            layer.keep(rows)
        self.texts.move_to(self.lengths[rows])


def _copied(part: Array) -> Array:
    """Return a copy of a part of an array: MLX's own part would hold on to all of it."""
    in_bytes = np.array(part.view(mx.uint8))  # NumPy has no bfloat16
    return mx.array(in_bytes).view(part.dtype)


class TextRows:
    """Texts with caches of their own as the first rows of a batch; further rows are nobody's.

    To the model it is a cache, by which every text grows by a token. Texts come and go between
    steps, and no text's numbers depend on the others': attention is worked out for each by itself,
    and products have always as many rows.
    """

    def __init__(self, caches: Sequence[KVCache], n_rows: int) -> None:
        self._caches = caches
        self.capacity = max(cache.capacity for cache in caches)
        self.texts = TextLengths(n_rows)
        lengths = np.zeros(n_rows, np.int64)
        lengths[: len(caches)] = [cache.texts.longest for cache in caches]
        self.texts.move_to(lengths)
        of_layers = zip(*(cache.layers for cache in caches), strict=True)
        self.layers = [LayerRows(of_layer, self.texts) for of_layer in of_layers]

    @staticmethod
    def n_rows() -> int | None:
        """Return how many rows a batch has to have, whoever is there: products round by it.

        To a GPU eight are hardly more than one. To a processor, as MLX multiplies there, they are
        four times as much, so a text has a batch of its own.
        """
        return 1 if device_kind() == "cpu" else 8

    @property
    def lengths(self) -> Lengths:
        """How many tokens of each text it holds, (B,)."""
        return self.texts.lengths

    def positions(self, n_tokens: int) -> Array:
        """Return where the next tokens stand, (B, T)."""
        return as_ids(self.texts.lengths[:, None] + np.arange(n_tokens))

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` more in every text."""
        self.texts.advance(n_tokens)
        for cache in self._caches:
            cache.advance(n_tokens)

    def apart(self) -> AbstractContextManager[None]:
        """Return the context to run the model in; here it needs none."""
        return nullcontext()


class LayerRows:
    """One layer's caches of several texts, the first rows of the batch."""

    def __init__(self, caches: Sequence[LayerCache], texts: TextLengths) -> None:
        self._caches = caches
        self.texts = texts

    def start(self) -> Array:
        """Return where the next tokens stand, (B,), also where they agree: MLX may round apart."""
        return as_ids(self.texts.lengths)

    def append(self, k: Array, v: Array) -> Iterator[tuple[int, Array, Array]]:
        """Store k and v (B, K, 1, H); yield each text's row, and its keys and values."""
        for row, cache in enumerate(self._caches):
            own = slice(row, row + 1)
            yield row, *cache.append(k[own], v[own])
