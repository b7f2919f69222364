"""GPT: embeddings, a stack of blocks, a final norm, and a head that scores every next token.

Explained in ``Tutorial/07 - GPTModel.md``.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from llm_explainer.array_checks import check_batch, check_limit, check_next
from llm_explainer.config import InitScheme, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.init import initializer
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.numpy_backend.block import Block
from llm_explainer.numpy_backend.cache import KVCache, TextRows
from llm_explainer.numpy_backend.engine.recompute import recomputed
from llm_explainer.numpy_backend.layers import Dropout, Embedding, Linear
from llm_explainer.numpy_backend.loss import head_cross_entropy, softmax_loss_, token_weights
from llm_explainer.numpy_backend.module import Array, Backward, Module, gradients_like, place_for
from llm_explainer.numpy_backend.norms import make_norm
from llm_explainer.numpy_backend.packing import Packing, packing_of
from llm_explainer.numpy_backend.positions import make_position_embedding
from llm_explainer.tree import Tree, flatten


class GPT(Module):
    """A decoder-only transformer, as ``config`` says (Radford et al. 2019; Touvron et al. 2023).

    Letters: B batch, T tokens, D = d_model, V = vocab_size.

    Attributes:
        config: what it is built from.
        is_lazy: whether a call may return before its numbers are computed.
        lora: the adapters that it has, if any.
    """

    is_lazy = False
    lora: LoRAConfig | None = None
    base_sha256: str | None = None  # of what its adapters stand on, where it is known

    def __init__(
        self, config: ModelConfig, seed: int = 0, init_scheme: InitScheme = "normal"
    ) -> None:
        init = initializer(seed, init_scheme)
        self.config = config
        self.token_embedding = Embedding(
            config.vocab_size, config.d_model, init=init, is_head=config.tie_embeddings
        )
        self.position_embedding = make_position_embedding(config, init=init)
        self._dropout = Dropout(config.dropout)
        self.blocks = [Block(config, init=init, layer=i) for i in range(config.n_layers)]
        # Blocks that end with a norm need no further one (Xiong et al. 2020, table 1).
        self.final_norm = make_norm(config) if config.norm_position == "pre" else None
        self.head: Linear | None = None
        if not config.tie_embeddings:
            self.head = Linear(
                config.d_model, config.vocab_size, bias=False, init=init, group="head"
            )

    def __call__(
        self, tokens: Array, cache: KVCache | TextRows | None = None, segments: Array | None = None
    ) -> Array:
        """Return the logits (B, T, V) of the token after each of ``tokens`` (B, T).

        With a cache, ``tokens`` come after those it holds, and are added to it. With ``segments``
        (B, T), whole numbers, a token sees those of its own only, and positions begin anew in each.

        Raises:
            ConfigError: arrays that cannot be, or too long; segments and a cache.
        """
        check_next(self.config.vocab_size, tokens, cache, segments=segments)
        return self._output(self._hidden(tokens, cache, segments))

    def next_logits(
        self,
        tokens: Array,
        cache: KVCache | TextRows | None = None,
        lengths: Array | None = None,
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
        if isinstance(cache, KVCache):
            cache.trim(cache.lengths - tokens.shape[1] + lengths)
        return self._output(hidden[np.arange(len(tokens)), lengths - 1])

    def next_ids(
        self,
        tokens: Array,
        cache: KVCache | TextRows | None = None,
        lengths: Array | None = None,
        vocab_size: int | None = None,
        *,
        known: bool = False,
    ) -> tuple[Array, Array]:
        """Return each row's likeliest next id (B,), of those under ``vocab_size``, and its score.

        Of equal scores the first counts, and nan as the highest.
        """
        check_limit(vocab_size, self.config.vocab_size)
        logits = self.next_logits(tokens, cache, lengths, known=known)[:, :vocab_size]  # (B, V)
        return logits.argmax(-1), logits.max(-1)

    def __repr__(self) -> str:
        return f"<GPT: {self.config.described()}>"

    @property
    def drops(self) -> bool:
        """Whether training drops anything, of the model's numbers or of what its adapters see."""
        return bool(self.config.dropout or (self.lora is not None and self.lora.dropout))

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> KVCache:
        """Return an empty key-value cache for ``capacity`` tokens, by default the whole context."""
        limit = self.config.context_length
        if capacity is not None and capacity > limit:
            raise ConfigError(f"cache capacity {capacity} exceeds the context of {limit} tokens")
        return KVCache(self.config, batch_size, capacity or limit)

    def forward(self, tokens: Array, segments: Array | None = None) -> tuple[Array, Backward]:
        """Return the logits (B, T, V) and the backward pass from any dLoss/dlogits."""
        check_batch(self.config.vocab_size, tokens, segments=segments)
        hidden, hidden_backward = self._forward_hidden(tokens, segments)  # (B, T, D)
        logits, head_backward = self._output.forward(hidden)

        def backward(dlogits: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dhidden, _ = head_backward(dlogits, self._place_for_head(grads))
            return hidden_backward(dhidden, grads)

        return logits, backward

    def loss_and_grads(
        self,
        tokens: Array,
        targets: Array,
        mask: Array | None = None,
        segments: Array | None = None,
        *,
        n_counted: float | None = None,
        rng: np.random.Generator | None = None,
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
        grads = gradients_like(self, out)
        hidden, hidden_backward = self._forward_hidden(tokens, segments, rng, recompute)
        loss, dhidden = head_cross_entropy(
            self._output,
            hidden.reshape(-1, hidden.shape[-1]),
            targets.reshape(-1),
            token_weights(targets, mask, hidden.dtype, n_counted),
            self.config.vocab_size,
            self._place_for_head(grads),
        )
        hidden_backward(dhidden.reshape(hidden.shape), grads)
        return loss, grads

    def loss(
        self,
        tokens: Array,
        targets: Array,
        mask: Array | None = None,
        segments: Array | None = None,
        *,
        n_counted: float | None = None,
    ) -> float:
        """Return the mean loss in nats a token, for evaluation. Arguments as above."""
        check_batch(self.config.vocab_size, tokens, targets, mask, segments, n_counted)
        logits = self._output(self._hidden(tokens, None, segments))
        weights = token_weights(targets, mask, logits.dtype, n_counted)
        return softmax_loss_(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), weights)

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
        self, tokens: Array, cache: KVCache | TextRows | None, segments: Array | None = None
    ) -> Array:
        """Map tokens (B, T) to what the head reads, (B, T, D)."""
        n_tokens = tokens.shape[1]
        self.check_length(n_tokens, cache)
        if cache is not None and segments is not None:
            raise ConfigError("segments do not go with a cache, whose rows are one text each")
        x = self.token_embedding(tokens)  # (B, T, D)
        packing = packing_of(segments)
        if self.position_embedding is not None:
            if cache is not None:
                here = cache.texts.positions(n_tokens)
            else:
                here = packing.positions if packing else np.arange(n_tokens)
            x += self.position_embedding(here)
        for i, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache.layers[i], packing)
        if cache is not None:
            cache.advance(n_tokens)
        return x if self.final_norm is None else self.final_norm(x)

    def _forward_hidden(
        self,
        tokens: Array,
        segments: Array | None,
        rng: np.random.Generator | None = None,
        recompute: bool = False,
    ) -> tuple[Array, Backward]:
        """Map tokens (B, T) to what the head reads, (B, T, D).

        When the backward pass is called, a tied head's gradients are there; it adds the table's.
        """
        self.check_length(tokens.shape[1])
        packing = packing_of(segments)
        embedded, embeddings_backward = self._embed(tokens, packing)
        x, dropout_backward = self._dropout.forward(embedded, rng)
        backwards = []
        for block in self.blocks:
            run = partial(recomputed, block) if recompute else block.forward
            x, block_backward = run(x, rng, packing)
            backwards.append(block_backward)
        norm_backward = None
        if self.final_norm is not None:
            x, norm_backward = self.final_norm.forward(x)

        def backward(dx: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            if norm_backward is not None:
                dx, _ = norm_backward(dx, place_for("final_norm", grads))
            blocks = grads.get("blocks", [{} for _ in backwards])
            for i in reversed(range(len(backwards))):
                if not flatten([_embeddings_in(grads), blocks[: i + 1]]):
                    break  # what comes before learns nothing, and has no use for dx
                dx, _ = backwards[i](dx, blocks[i])
            else:
                embeddings_backward(dropout_backward(dx)[0], grads)
            return np.empty(0, dx.dtype), grads

        return x, backward

    def _embed(self, tokens: Array, packing: Packing | None) -> tuple[Array, Backward]:
        """Look up tokens (B, T) and add their positions: (B, T, D)."""
        x, token_backward = self.token_embedding.forward(tokens)
        if self.position_embedding is not None:
            here = packing.positions if packing else np.arange(tokens.shape[1])
            positions, position_backward = self.position_embedding.forward(here)
            x += positions  # (T, D) or (B, T, D)

        def backward(dx: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            place = place_for("token_embedding", grads)
            if self.head is None:  # tied: the head's gradient is there already
                self.token_embedding.add_gradients(tokens, dx, place)
            else:
                token_backward(dx, place)
            if self.position_embedding is not None and "position_embedding" in grads:
                # Without packing, a position reached every row of the batch, so sum over them.
                dpositions = dx if packing else dx.sum(0)
                position_backward(dpositions, grads["position_embedding"])
            return np.empty(0, dx.dtype), grads

        return x, backward

    @property
    def _output(self) -> Linear:
        """What scores every next token: (..., D) -> (..., V)."""
        return self.token_embedding.as_linear() if self.head is None else self.head

    def _place_for_head(self, grads: Tree) -> Tree:
        return place_for("token_embedding" if self.head is None else "head", grads)


def _embeddings_in(grads: Tree) -> list[Tree]:
    return [place_for(name, grads) for name in ("token_embedding", "position_embedding")]
