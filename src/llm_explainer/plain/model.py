"""GPT: embeddings, a stack of blocks, a final norm, and a head that scores every next token.

What ``record`` sees, by name, in the order of the forward pass. A layer's result has the name of
the layer, as in ``model.parameters()``; what is made inside a layer stands below that name. The
backward pass hands out gradients of the same names and shapes in the opposite order.

    name                              shape
    token_embedding                   (B, T, D)
    position_embedding                (T, D)                 learned or sinusoidal
    embeddings                        (B, T, D)              their sum, the residual stream's start
    blocks.0.attention_norm           (B, T, D)
    blocks.0.attention.q              (B, n_heads, T, H)
    blocks.0.attention.k              (B, n_kv_heads, T, H)
    blocks.0.attention.v              (B, n_kv_heads, T, H)
    blocks.0.attention.q_norm         (B, n_heads, T, H)     qk_norm
    blocks.0.attention.q_rotated      (B, n_heads, T, H)     rope
    blocks.0.attention.k_norm         (B, n_kv_heads, T, H)  qk_norm
    blocks.0.attention.k_rotated      (B, n_kv_heads, T, H)  rope
    blocks.0.attention.scores         (B, n_heads, T, T)     before the mask
    blocks.0.attention.weights        (B, n_heads, T, T)     rows sum to 1
    blocks.0.attention.heads          (B, n_heads, T, H)     what each head gathered
    blocks.0.attention                (B, T, D)
    blocks.0.residual                 (B, T, D)              the residual stream after attention
    blocks.0.feed_forward_norm        (B, T, D)
    blocks.0.feed_forward.gate_proj   (B, T, F)              swiglu
    blocks.0.feed_forward.up_proj     (B, T, F)
    blocks.0.feed_forward.activated   (B, T, F)              swiglu: silu of the gate
    blocks.0.feed_forward.hidden      (B, T, F)              what down_proj reads
    blocks.0.feed_forward             (B, T, D)
    blocks.0                          (B, T, D)              the residual stream after the block
    final_norm                        (B, T, D)              pre
    logits                            (B, T, V)

With ``norm_position`` "post" a block's norms come after their layers, in this order too, and what
``attention_norm`` makes is the residual stream after attention.

Explained in ``Tutorial/07 - GPTModel.md``.
"""

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.plain.block import block, norm
from llm_explainer.plain.contract import Array, Layer, Lookup, Record, as_numpy, ignore, under
from llm_explainer.plain.layers import embedding, linear
from llm_explainer.plain.positions import places, sinusoids
from llm_explainer.tree import Tree


def embed(
    ids: Array, p: Tree, config: ModelConfig, segments: Array | None = None, record: Record = ignore
) -> Lookup:
    """A vector for each token, plus one for its place (Vaswani et al. 2017, sections 3.4, 3.5).

    ids (B, T). With RoPE, attention rotates queries and keys instead, and nothing is added here.

    >>> config = ModelConfig(vocab_size=3, context_length=2, d_model=1, n_layers=1, n_heads=1)
    >>> tables = {"token_embedding": [[1], [2], [3]], "position_embedding": [[10], [20]]}
    >>> p = {name: {"weight": np.array(table)} for name, table in tables.items()}
    >>> x, backward = embed(np.array([[2, 2]]), p, config)
    >>> x
    array([[[13],
            [23]]])
    >>> grads = backward(np.array([[[1], [5]]]))
    >>> grads["token_embedding"]["weight"].tolist(), grads["position_embedding"]["weight"].tolist()
    ([[0], [0], [6]], [[1], [5]])
    """
    is_learned = config.position == "learned"
    here = np.arange(ids.shape[1]) if segments is None else places(segments)  # (T,) or (B, T)
    x, token_backward = embedding(ids, p["token_embedding"])  # (B, T, D)
    record("token_embedding", x)
    if is_learned:
        positions, position_backward = embedding(here, p["position_embedding"])
    elif config.position == "sinusoidal":
        positions = sinusoids(here, config.d_model).astype(x.dtype)
    if config.position != "rope":
        record("position_embedding", positions)  # (T, D) or (B, T, D)
        x = x + positions

    def backward(dx: Array, record: Record = ignore) -> Tree:
        grads = {"token_embedding": token_backward(dx)}
        if config.position != "rope":  # where all rows share positions, they share the gradient
            dpositions = dx.sum(0) if segments is None else dx
            record("position_embedding", dpositions)
        if is_learned:
            grads["position_embedding"] = position_backward(dpositions)
        record("token_embedding", dx)
        return grads

    return x, backward


def unembed(x: Array, p: Tree, config: ModelConfig, record: Record = ignore) -> Layer:
    """A score for each token of the vocabulary (Press and Wolf 2017, section 1, for a tied head).

    x (B, T, D) is normed before; where each block ends with a norm, that would do its work again
    (Xiong et al. 2020, table 1). ``grads["head"]`` is the table's, tied or not.

    >>> config = ModelConfig(vocab_size=3, context_length=2, d_model=2, n_layers=1, n_heads=1)
    >>> table, ones = np.array([[1, 0], [0, 1], [1, 1]]), {"weight": np.ones(2)}
    >>> p = {"token_embedding": {"weight": table}, "final_norm": ones}
    >>> logits, backward = unembed(np.array([[[1.0, 7.0]]]), p, config)  # normed: -1 and 1
    >>> logits.round(3)
    array([[[-1.,  1.,  0.]]])
    >>> dx, grads = backward(np.array([[[0.0, 0.0, 1.0]]]))
    >>> grads["head"]["weight"].round(3).tolist()
    [[0.0, 0.0], [0.0, 0.0], [-1.0, 1.0]]
    """
    is_pre = config.norm_position == "pre"
    if is_pre:
        x, norm_backward = norm(x, p["final_norm"], config)  # (B, T, D)
        record("final_norm", x)
    head = p["token_embedding"] if config.tie_embeddings else p["head"]
    logits, head_backward = linear(x, head)  # (B, T, V)

    def backward(dlogits: Array, record: Record = ignore) -> tuple[Array, Tree]:
        grads: Tree = {}
        dx, head_grads = head_backward(dlogits)  # (B, T, D)
        if is_pre:
            record("final_norm", dx)
            dx, grads["final_norm"] = norm_backward(dx)
        return dx, {**grads, "head": head_grads}

    return logits, backward


def gpt(
    ids: Array,
    parameters: Tree,
    config: ModelConfig,
    record: Record | None = None,
    segments: Array | None = None,
) -> Lookup:
    """Scores of every next token: ids (B, T) -> logits (B, T, V) (Radford et al. 2019, section 2).

    ``parameters`` are a model's, of any backend. ``backward(dlogits, record=None)`` returns their
    gradients, nested and ordered like them. Either ``record`` is called as ``record(name, array)``
    with what this module's docstring lists: here with the results, there with their gradients.
    With segments (B, T), ids of any kind, each segment is read as if it were a text by itself.

    Raises:
        ConfigError: more tokens than the context holds.

    >>> from llm_explainer import load_backend
    >>> config = ModelConfig(vocab_size=5, context_length=4, d_model=2, n_layers=1, n_heads=1)
    >>> model, seen, gradients = load_backend("numpy").GPT(config), {}, {}
    >>> logits, backward = gpt(np.array([[3, 1, 4]]), model.parameters(), config, seen.__setitem__)
    >>> logits.shape
    (1, 3, 5)
    >>> seen["blocks.0.attention.weights"][0, 0].round(2)  # fresh weights prefer nothing
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]], dtype=float32)
    >>> grads = backward(np.ones_like(logits), gradients.__setitem__)
    >>> grads["blocks"][0]["attention"]["out_proj"]["bias"].shape
    (2,)
    >>> gradients["blocks.0.attention.weights"].shape
    (1, 1, 3, 3)
    """
    if (n_tokens := ids.shape[1]) > config.context_length:
        raise ConfigError(f"{n_tokens} tokens do not fit the context of {config.context_length}")
    p, record = as_numpy(parameters), record or ignore
    x, embed_backward = embed(ids, p, config, segments, record)  # (B, T, D)
    record("embeddings", x)
    backwards = []
    for i, p_block in enumerate(p["blocks"]):
        in_block = under(record, f"blocks.{i}")
        x, block_backward = block(x, p_block, config, segments, in_block, i)  # (B, T, D)
        record(f"blocks.{i}", x)
        backwards.append(block_backward)
    logits, unembed_backward = unembed(x, p, config, record)  # (B, T, V)
    record("logits", logits)

    def backward(dlogits: Array, record: Record | None = None) -> Tree:
        record = record or ignore
        record("logits", dlogits)
        dx, unembed_grads = unembed_backward(dlogits, record)  # (B, T, D)
        all_block_grads: list[Tree] = []
        for i in reversed(range(config.n_layers)):
            record(f"blocks.{i}", dx)
            dx, block_grads = backwards[i](dx, under(record, f"blocks.{i}"))  # (B, T, D)
            all_block_grads.insert(0, block_grads)
        record("embeddings", dx)
        grads = {**embed_backward(dx, record), "blocks": all_block_grads, **unembed_grads}
        if config.tie_embeddings:  # one table, used twice
            grads["token_embedding"]["weight"] += grads.pop("head")["weight"]
        return grads

    return logits, backward
