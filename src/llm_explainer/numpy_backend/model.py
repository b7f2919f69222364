"""GPT: embeddings, a stack of blocks, a final norm, and a head that scores every next token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llm_explainer.config import InitScheme, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.init import initializer
from llm_explainer.numpy_backend.block import Block, make_norm
from llm_explainer.numpy_backend.cache import KVCache
from llm_explainer.numpy_backend.engine.recompute import forward_twice
from llm_explainer.numpy_backend.layers import Dropout, Embedding, Linear
from llm_explainer.numpy_backend.loss import linear_cross_entropy, softmax_loss_, token_weights
from llm_explainer.numpy_backend.module import (
    Array,
    Backward,
    Module,
    gradients_like,
    long_lines,
)
from llm_explainer.numpy_backend.positions import SinusoidalPositions
from llm_explainer.tree import Tree


class GPT(Module):
    """A decoder-only transformer of the GPT-2 or Llama kind, as ``config`` says.

    Letters: B batch, T tokens, D = d_model, V = vocab_size. Radford et al. 2019; Touvron et al.
    2023.

    Attributes:
        config: what it is built from.
        is_lazy: whether a call may return before its numbers are computed.
    """

    is_lazy = False

    def __init__(
        self, config: ModelConfig, seed: int = 0, init_scheme: InitScheme = "normal"
    ) -> None:
        init = initializer(seed, init_scheme)
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.d_model, init=init)
        self.position_embedding = (
            Embedding(config.context_length, config.d_model, init=init)
            if config.position == "learned"
            else None
        )
        self._sinusoids = (
            SinusoidalPositions(config.context_length, config.d_model)
            if config.position == "sinusoidal"
            else None
        )
        self._dropout = Dropout(config.dropout)
        self.blocks = [Block(config, init=init) for _ in range(config.n_layers)]
        self.final_norm = make_norm(config)
        self.head: Linear | None = None
        if config.tie_embeddings:
            self.token_embedding.weight = long_lines(self.token_embedding.weight)  # as the head's
        else:
            self.head = Linear(config.d_model, config.vocab_size, bias=False, init=init)

    def __call__(self, tokens: Array, cache: KVCache | None = None) -> Array:
        """Return the logits (B, T, V) of the token after each of ``tokens`` (B, T).

        With a cache, ``tokens`` come after those it holds, and are added to it.

        Raises:
            ConfigError: more tokens than the context holds.
        """
        for _, x in self.hidden_states(tokens, cache):
            logits = x
        return logits

    def hidden_states(
        self, tokens: Array, cache: KVCache | None = None
    ) -> Iterator[tuple[str, Array]]:
        """Yield what each stage makes of ``tokens`` (B, T), with its name.

        The embeddings, every block and the final norm (B, T, D), then the logits (B, T, V).
        """
        positions = self._positions(tokens, cache)
        x = self._embed(tokens, positions)
        yield "embeddings", x
        for i, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache.layers[i])
            yield f"blocks.{i}", x
        if cache is not None:
            cache.advance(tokens.shape[1])
        x = self.final_norm(x)
        yield "final_norm", x
        yield "logits", self._logits(x)

    def next_logits(
        self, tokens: Array, cache: KVCache | None = None, lengths: Array | None = None
    ) -> Array:
        """Return the logits (B, V) of the token after each row's last one, for generation.

        Rows may have different ``lengths`` (B,): ``tokens`` (B, T) are padded on the right with
        any id, and the cache forgets the padding.
        """
        stages = self.hidden_states(tokens, cache)
        hidden = next(x for name, x in stages if name == "final_norm")  # (B, T, D)
        if lengths is None:
            return self._logits(hidden[:, -1])
        if cache is not None:
            cache.trim(cache.lengths - tokens.shape[1] + lengths)
        return self._logits(hidden[np.arange(len(tokens)), lengths - 1])

    def next_ids(
        self,
        tokens: Array,
        cache: KVCache | None = None,
        lengths: Array | None = None,
        vocab_size: int | None = None,
    ) -> tuple[Array, Array]:
        """Return each row's likeliest next id (B,), of those under ``vocab_size``, and its score.

        Of equal scores the first counts, and nan as the highest. Other arguments as above.
        """
        logits = self.next_logits(tokens, cache, lengths)[:, :vocab_size]  # (B, V)
        return logits.argmax(-1), logits.max(-1)

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> KVCache:
        """Return an empty key-value cache for ``capacity`` tokens, by default the whole context.

        Raises:
            ConfigError: more tokens than there are positions.
        """
        limit = self.config.context_length
        if capacity is not None and capacity > limit:
            raise ConfigError(f"cache capacity {capacity} exceeds the context of {limit} tokens")
        return KVCache(self.config, batch_size, capacity or limit)

    def forward(self, tokens: Array) -> tuple[Array, Backward]:
        """Return the logits (B, T, V) and the backward pass from any dLoss/dlogits."""
        hidden, body_backward = self._body(tokens, None)  # (B, T, D)
        head = self._head_weight
        hidden_rows = hidden.reshape(-1, hidden.shape[-1])
        logits = hidden_rows @ head.T  # (B·T, V)

        def backward(dlogits: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dlogits_rows = dlogits.reshape(logits.shape)
            np.matmul(dlogits_rows.T, hidden_rows, out=self._head_gradient(grads))
            dhidden = (dlogits_rows @ head).reshape(hidden.shape)
            return body_backward(dhidden, grads)

        return logits.reshape(*tokens.shape, -1), backward

    def loss_and_grads(
        self,
        tokens: Array,
        targets: Array,
        mask: Array | None = None,
        *,
        n_counted: float | None = None,
        rng: np.random.Generator | None = None,
        recompute: bool = False,
        out: Tree | None = None,
    ) -> tuple[float, Tree]:
        """Return the mean loss in nats a token, and its gradient for every parameter.

        Args:
            tokens: (B, T)
            targets: (B, T), the token after each
            mask: (B, T) of 0 and 1; targets with 0 do not count
            n_counted: tokens of the whole batch where this is a part of one (default: those here)
            rng: draws the dropout; None drops nothing
            recompute: keep each block's input alone, and run it again in the backward pass
            out: receives the gradients; nested like ``parameters()``
        """
        grads = gradients_like(self, out)
        hidden, body_backward = self._body(tokens, rng, recompute)  # (B, T, D)
        loss, dhidden = linear_cross_entropy(
            hidden.reshape(-1, hidden.shape[-1]),
            self._head_weight,
            targets.reshape(-1),
            token_weights(targets, mask, hidden.dtype, n_counted),
            self._head_gradient(grads),
        )
        body_backward(dhidden.reshape(hidden.shape), grads)
        return loss, grads

    def loss(
        self,
        tokens: Array,
        targets: Array,
        mask: Array | None = None,
        *,
        n_counted: float | None = None,
    ) -> float:
        """Return the mean loss in nats a token, for evaluation. Arguments as above."""
        logits = self(tokens)
        weights = token_weights(targets, mask, logits.dtype, n_counted)
        return softmax_loss_(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), weights)

    def _body(
        self, tokens: Array, rng: np.random.Generator | None, recompute: bool = False
    ) -> tuple[Array, Backward]:
        """Map tokens (B, T) to what the head reads, (B, T, D)."""
        positions = self._positions(tokens, None)
        x, dropout_backward = self._dropout.forward(self._embed(tokens, positions), rng)
        backwards = []
        for block in self.blocks:
            x, block_backward = forward_twice(block, x, rng) if recompute else block.forward(x, rng)
            backwards.append(block_backward)
        hidden, norm_backward = self.final_norm.forward(x)

        def backward(dhidden: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dx, _ = norm_backward(dhidden, grads["final_norm"])
            for i in reversed(range(len(backwards))):
                # Dropping a closure once it has run frees what it kept.
                dx, _ = backwards[i](dx, grads["blocks"][i])
            dx, _ = dropout_backward(dx)
            dtable = grads["token_embedding"]["weight"]
            if self.head is not None:
                dtable.fill(0)  # where it is tied, the head's gradient is there already
            Embedding.add_gradient(tokens, dx, dtable)
            if self.position_embedding is not None:
                dpositions = grads["position_embedding"]["weight"]  # (context_length, D)
                np.sum(dx, axis=0, out=dpositions[: len(positions)])  # every row of the batch
                dpositions[len(positions) :] = 0
            return np.empty(0, dx.dtype), grads

        return hidden, backward

    def _logits(self, hidden: Array) -> Array:
        """Score every next token: (..., D) -> (..., V)."""
        rows = hidden.reshape(-1, hidden.shape[-1]) @ self._head_weight.T  # (N, D) @ (D, V)
        return rows.reshape(*hidden.shape[:-1], -1)

    def _embed(self, tokens: Array, positions: Array) -> Array:
        x = self.token_embedding(tokens)  # (B, T, D)
        if self.position_embedding is not None:
            x += self.position_embedding(positions)
        elif self._sinusoids is not None:
            x += self._sinusoids(positions)
        return x

    def _positions(self, tokens: Array, cache: KVCache | None) -> Array:
        """Return where the tokens stand, (T,) or (B, T)."""
        n_before = 0 if cache is None else cache.texts.longest
        limit = self.config.context_length if cache is None else cache.capacity
        if n_before + tokens.shape[1] > limit:
            raise ConfigError(
                f"{n_before + tokens.shape[1]} tokens do not fit the context of {limit}; "
                "shorten the text or keep its end only"
            )
        if cache is None:
            return np.arange(tokens.shape[1])
        return cache.texts.positions(tokens.shape[1])

    @property
    def _head_weight(self) -> Array:
        return self.token_embedding.weight if self.head is None else self.head.weight  # (V, D)

    def _head_gradient(self, grads: Tree) -> Array:
        head = grads["token_embedding"] if self.head is None else grads["head"]
        weight: Array = head["weight"]
        return weight
