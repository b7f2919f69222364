"""Keys and values of the tokens seen so far, so that generating one more costs one more.

Letters: B batch, K key-value heads, L = the most tokens held, H width of a head.
"""

from __future__ import annotations

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend.module import Array


class LayerCache:
    """One layer's keys and values, preallocated as (B, K, L, H)."""

    def __init__(self, shape: tuple[int, int, int, int], lengths: Array) -> None:
        self._keys = np.zeros(shape, np.float32)
        self._values = np.zeros(shape, np.float32)
        self._lengths = lengths  # (B,), shared by all layers

    def positions(self, n_tokens: int) -> Array:
        """Return where the next tokens stand: (T,) where all rows agree, else (B, T)."""
        first = self._lengths[0]
        if (self._lengths == first).all():
            return np.arange(first, first + n_tokens)
        return self._lengths[:, None] + np.arange(n_tokens)

    def append(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Store k and v (B, K, T, H) behind each row's last token; return all, (B, K, S, H).

        S is the longest row's length. Slots behind a shorter row's end hold leftovers: the
        attention mask hides them.
        """
        n_tokens = k.shape[2]
        for row, start in enumerate(self._lengths):
            self._keys[row, :, start : start + n_tokens] = k[row]
            self._values[row, :, start : start + n_tokens] = v[row]
        stop = int(self._lengths.max()) + n_tokens
        return self._keys[:, :, :stop], self._values[:, :, :stop]


class KVCache:
    """A model's cache for a batch of B texts, each with its own length.

    The model appends to it. Texts of different lengths are fed padded on the right and the cache
    is then trimmed to the true lengths; what the padding left behind is overwritten.
    """

    def __init__(self, config: ModelConfig, batch_size: int, capacity: int) -> None:
        self.capacity = capacity
        self.lengths: Array = np.zeros(batch_size, np.int64)  # (B,)
        shape = (batch_size, config.n_kv_heads, capacity, config.head_dim)
        self.layers = [LayerCache(shape, self.lengths) for _ in range(config.n_layers)]

    def advance(self, n_tokens: int) -> None:
        """Count ``n_tokens`` more in every row: the model calls it when all layers have stored."""
        self.lengths += n_tokens

    def trim(self, lengths: Array) -> None:
        """Forget all but the first ``lengths`` (B,) tokens of each row."""
        self.lengths[:] = lengths
