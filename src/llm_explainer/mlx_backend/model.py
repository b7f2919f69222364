"""GPT: embeddings, a stack of blocks, a final norm, and a head that scores every next token.

Explained in ``Tutorial/07 - GPTModel.md``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx

from llm_explainer.array_checks import check_batch, check_limit, check_next
from llm_explainer.config import InitScheme, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.init import initializer
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.mlx_backend.block import Block
from llm_explainer.mlx_backend.cache import KVCache, TextRows
from llm_explainer.mlx_backend.engine.precision import in_precision
from llm_explainer.mlx_backend.engine.recompute import recomputed
from llm_explainer.mlx_backend.layers import Dropout, Embedding, Linear
from llm_explainer.mlx_backend.loss import token_weights, weighted_loss
from llm_explainer.mlx_backend.module import (
    Array,
    Backward,
    Key,
    Module,
    as_ids,
    holding,
    matching,
    split_key,
    with_backward,
    write_into,
)
from llm_explainer.mlx_backend.norms import make_norm
from llm_explainer.mlx_backend.packing import packing_of
from llm_explainer.mlx_backend.positions import make_position_embedding
from llm_explainer.tree import Tree, flatten


class GPT(Module):
    """A decoder-only transformer of the GPT-2 or Llama kind, as ``config`` says.

    Tokens, targets and masks may be arrays of NumPy or MLX. Letters: B batch, T tokens,
    D = d_model, V = vocab_size. Radford et al. 2019; Touvron et al. 2023.

    Attributes:
        config: what it is built from.
        is_lazy: whether a call may return before its numbers are computed.
        lora: the adapters that it has, if any.
        dtype: what inference computes in; logits are float32 all the same.
    """

    is_lazy = True
    dtype: mx.Dtype = mx.float32
    lora: LoRAConfig | None = None
    base_sha256: str | None = None  # of what its adapters stand on, where it is known

    def __init__(
        self, config: ModelConfig, seed: int = 0, init_scheme: InitScheme = "normal"
    ) -> None:
        super().__init__()
        init = initializer(seed, init_scheme)
        self.config = config
        self.token_embedding = Embedding(
            config.vocab_size, config.d_model, init=init, is_head=config.tie_embeddings
        )
        self.position_embedding = make_position_embedding(config, init=init)
        self._dropout = Dropout(config.dropout)
        self.blocks = [Block(config, init=init, layer=i) for i in range(config.n_layers)]
        # Where each block ends with a norm, one more would do its work again (Xiong et al. 2020,
        # table 1).
        self.final_norm = make_norm(config) if config.norm_position == "pre" else None
        self.head: Linear | None = None
        if not config.tie_embeddings:
            self.head = Linear(
                config.d_model, config.vocab_size, bias=False, init=init, group="head"
            )

    def __call__(
        self, tokens: Any, cache: KVCache | TextRows | None = None, segments: Any | None = None
    ) -> Array:
        """Return the logits (B, T, V) of the token after each of ``tokens`` (B, T).

        With a cache, ``tokens`` come after those it holds, and are added to it. With ``segments``
        (B, T), whole numbers, a token sees those of its own only, and positions begin anew in each.

        Raises:
            ConfigError: more tokens than the context holds; segments and a cache; no such arrays.
        """
        check_next(self.config.vocab_size, tokens, cache, segments=segments)
        return self._output(self._hidden(tokens, cache, segments))

    def next_logits(
        self,
        tokens: Any,
        cache: KVCache | TextRows | None = None,
        lengths: Any | None = None,
        *,
        known: bool = False,
    ) -> Array:
        """Return the logits (B, V) of the token after each row's last one, for generation.

        Rows may have different ``lengths`` (B,): ``tokens`` (B, T) are padded on the right with
        any id, and the cache forgets the padding. Ids that a model chose are ``known`` to be some.
        """
        check_next(self.config.vocab_size, tokens, cache, lengths, known=known)
        hidden = self._hidden(tokens, cache)  # (B, T, D)
        if lengths is None:
            return self._output(hidden[:, -1])
        n_rows, n_tokens = tokens.shape
        if isinstance(cache, KVCache):
            cache.trim(cache.lengths - n_tokens + lengths)
        return self._output(hidden[mx.arange(n_rows), as_ids(lengths - 1)])

    def next_ids(
        self,
        tokens: Any,
        cache: KVCache | TextRows | None = None,
        lengths: Any | None = None,
        vocab_size: int | None = None,
        *,
        known: bool = False,
    ) -> tuple[Array, Array]:
        """Return each row's likeliest next id (B,), of those under ``vocab_size``, and its score.

        Of equal scores the first counts, and nan as the highest. Other arguments as above. MLX
        begins to compute at once, and this does not wait for it.
        """
        check_limit(vocab_size, self.config.vocab_size)
        logits = self.next_logits(tokens, cache, lengths, known=known)[:, :vocab_size]  # (B, V)
        ids, scores = mx.argmax(logits, axis=-1), mx.max(logits, axis=-1)  # (B,)
        mx.async_eval(ids, scores)  # type: ignore[no-untyped-call]
        return ids, scores

    def __repr__(self) -> str:
        return f"<GPT: {self.config.described()}>"

    @property
    def drops(self) -> bool:
        """Whether training drops anything, of the model's numbers or of what its adapters see."""
        return bool(self.config.dropout or (self.lora is not None and self.lora.dropout))

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> KVCache:
        """Return an empty key-value cache for ``capacity`` tokens, by default the whole context.

        Raises:
            ConfigError: more tokens than there are positions.
        """
        limit = self.config.context_length
        if capacity is not None and capacity > limit:
            raise ConfigError(f"cache capacity {capacity} exceeds the context of {limit} tokens")
        return KVCache(self.config, batch_size, capacity or limit)

    def forward(self, tokens: Any, segments: Any | None = None) -> tuple[Array, Backward]:
        """Return the logits (B, T, V) and the backward pass from any dLoss/dlogits."""
        check_batch(self.config.vocab_size, tokens, segments=segments)
        return with_backward(self, lambda ids: self.unchecked(ids, segments), as_ids(tokens))

    def unchecked(self, tokens: Array, segments: Array | None) -> Array:
        """Return the logits (B, T, V); ``tokens`` may be a compiler's, which has no numbers yet."""
        return self._output(self._hidden(tokens, segments=segments))

    def loss_and_grads(
        self,
        tokens: Any,
        targets: Any,
        mask: Any | None = None,
        segments: Any | None = None,
        *,
        n_counted: float | None = None,
        rng: Key | None = None,
        recompute: bool = False,
        out: Tree | None = None,
    ) -> tuple[float, Tree]:
        """Return the mean loss in nats a token, and its gradient for all that is trainable.

        Args:
            tokens: (B, T)
            targets: (B, T), the token after each: ids in [0, V), also where they do not count
            mask: (B, T) of 0 and 1; targets with 0 do not count
            segments: (B, T), which tokens see each other; None for all of a row
            n_counted: tokens of the whole batch where this is a part of one (default: those here)
            rng: draws the dropout; None drops nothing
            recompute: keep each block's input alone, and run it again in the backward pass
            out: receives the gradients, those that it has a place for; nested like ``trainable()``
        """
        check_batch(self.config.vocab_size, tokens, targets, mask, segments, n_counted)
        weights = token_weights(targets, mask, n_counted)
        loss, grads = self.differentiate(
            as_ids(tokens),
            as_ids(targets),
            weights,
            None if segments is None else as_ids(segments),
            rng,
            recompute=recompute,
            places=out,
        )
        return float(loss), write_into(out, grads)

    def loss(
        self,
        tokens: Any,
        targets: Any,
        mask: Any | None = None,
        segments: Any | None = None,
        *,
        n_counted: float | None = None,
    ) -> float:
        """Return the mean loss in nats a token, for evaluation. Arguments as above."""
        check_batch(self.config.vocab_size, tokens, targets, mask, segments, n_counted)
        weights = token_weights(targets, mask, n_counted)
        logits = self._output(self._hidden(tokens, segments=segments))
        return float(weighted_loss(logits, as_ids(targets), weights))

    def differentiate(
        self,
        tokens: Array,
        targets: Array,
        weights: Array,
        segments: Array | None = None,
        rng: Key | None = None,
        *,
        dtype: mx.Dtype = mx.float32,
        recompute: bool = False,
        places: Tree | None = None,
    ) -> tuple[Array, Tree]:
        """Return the loss, a lazy number, and its gradients: all MLX, so it can be compiled.

        ``weights`` (B, T) are from ``token_weights``. The blocks and the head compute in ``dtype``;
        the loss and the gradients are float32. ``places`` has a leaf for each gradient that is
        wanted; None stands for all that is trainable.
        """

        def loss_of(learning: Tree) -> Array:
            with holding(self, learning), holding(self, in_precision(self, dtype)):
                hidden = self._hidden(
                    tokens, segments=segments, rng=rng, dtype=dtype, recompute=recompute
                )
                logits = self._output(hidden)
            return weighted_loss(logits, targets, weights)

        learning = self.trainable() if places is None else matching(self.parameters(), places)
        if not flatten(learning):
            return loss_of(learning), learning
        loss, grads = mx.value_and_grad(loss_of)(learning)
        return loss, grads

    def check_length(self, n_tokens: int, cache: KVCache | TextRows | None = None) -> None:
        """Raise a ConfigError where ``n_tokens`` more do not fit the context, or the cache."""
        n_before = 0 if cache is None else cache.texts.longest
        limit = self.config.context_length if cache is None else cache.capacity
        if n_before + n_tokens > limit:
            raise ConfigError(
                f"{n_before + n_tokens} tokens do not fit the context of {limit}; "
                "shorten the text or keep its end only"
            )

    def _hidden(
        self,
        tokens: Any,
        cache: KVCache | TextRows | None = None,
        segments: Any | None = None,
        *,
        rng: Key | None = None,
        dtype: mx.Dtype | None = None,
        recompute: bool = False,
    ) -> Array:
        """Map tokens (B, T) to what the head reads, (B, T, D), for inference and training."""
        n_tokens = tokens.shape[1]
        self.check_length(n_tokens, cache)
        if cache is not None and segments is not None:
            raise ConfigError("segments do not go with a cache, whose rows are one text each")
        packing = packing_of(None if segments is None else as_ids(segments))
        keys = split_key(rng, 1 + len(self.blocks))
        x = self.token_embedding(as_ids(tokens))  # (B, T, D)
        if self.position_embedding is not None:
            if cache is not None:
                here = cache.positions(n_tokens)
            else:
                here = packing.positions if packing else mx.arange(n_tokens)
            x = x + self.position_embedding(here)
        x = self._dropout.drop(x, keys[0]).astype(self.dtype if dtype is None else dtype)
        for i, block in enumerate(self.blocks):
            layer_cache = None if cache is None else cache.layers[i]
            run = partial(block.run, cache=layer_cache, rng=keys[i + 1], packing=packing)
            x = recomputed(block, run, x) if recompute else run(x)
        if cache is not None:
            cache.advance(n_tokens)
        return x if self.final_norm is None else self.final_norm(x)

    def _output(self, hidden: Array) -> Array:
        """Score every next token: (..., D) -> (..., V), float32."""
        head = self.token_embedding.as_linear() if self.head is None else self.head
        logits: Array = head(hidden)
        return logits.astype(mx.float32)
