"""A transformer block: attention, then the feed-forward network, each read and added back.

Explained in ``Tutorial/06 - TransformerBlock.md``.
"""

from collections.abc import Callable
from functools import partial

from llm_explainer.config import ModelConfig
from llm_explainer.plain.attention import self_attention
from llm_explainer.plain.contract import Array, Layer, Record, ignore, under
from llm_explainer.plain.feed_forward import feed_forward
from llm_explainer.plain.layers import layer_norm, rms_norm
from llm_explainer.tree import Tree


def norm(x: Array, p: Tree, config: ModelConfig) -> Layer:
    """The norm that the config names: GPT-2's or Llama's (Touvron et al. 2023, section 2.2).

    >>> sizes = {"vocab_size": 9, "context_length": 9, "d_model": 2, "n_layers": 1, "n_heads": 1}
    >>> x, p = np.array([[1.0, 7.0]]), {"weight": np.ones(2)}
    >>> norm(x, p, ModelConfig(**sizes, norm="layernorm"))[0].round(3)
    array([[-1.,  1.]])
    >>> norm(x, p, ModelConfig(**sizes, norm="rmsnorm"))[0].round(3)
    array([[0.2, 1.4]])
    """
    f = rms_norm if config.norm == "rmsnorm" else layer_norm
    return f(x, p, config.norm_eps)


def residual(
    x: Array, f: Callable[..., Layer], name: str, p: Tree, config: ModelConfig, record: Record
) -> Layer:
    """x + f(norm(x)), or "post": norm(x + f(x)) (Vaswani et al. 2017, section 3.1, had it so).

    With the norm on f's side, nothing stands in the way of the residual stream x (B, T, D): what f
    makes is added to it, and gradients come back whole (Xiong et al. 2020, section 3.3). f's
    parameters are ``p[name]``, the norm's those of ``name + "_norm"``.

    >>> sizes = {"vocab_size": 9, "context_length": 9, "d_model": 2, "n_layers": 1, "n_heads": 1}
    >>> double = lambda x, p, config, record: (2 * x, lambda dy, record: (2 * dy, {}))
    >>> x, p = np.array([[[1.0, 7.0]]]), {"double": {}, "double_norm": {"weight": np.ones(2)}}
    >>> before, after = ModelConfig(**sizes), ModelConfig(**sizes, norm_position="post")
    >>> residual(x, double, "double", p, before, ignore)[0].round(3)  # [1, 7] + 2 · [-1, 1]
    array([[[-1.,  9.]]])
    >>> residual(x, double, "double", p, after, ignore)[0].round(3)  # norm of 3 · [1, 7]
    array([[[-1.,  1.]]])
    """
    is_pre, norm_name = config.norm_position == "pre", f"{name}_norm"
    read = x  # (B, T, D), as all here
    if is_pre:
        read, norm_backward = norm(x, p[norm_name], config)
        record(norm_name, read)
    made, f_backward = f(read, p[name], config, record=under(record, name))
    record(name, made)
    y = x + made
    if not is_pre:
        y, norm_backward = norm(y, p[norm_name], config)
        record(norm_name, y)

    def backward(dy: Array, record: Record) -> tuple[Array, Tree]:
        if not is_pre:
            record(norm_name, dy)
            dy, norm_grads = norm_backward(dy)
        record(name, dy)
        dx, f_grads = f_backward(dy, under(record, name))
        if is_pre:
            record(norm_name, dx)
            dx, norm_grads = norm_backward(dx)
        return dx + dy, {norm_name: norm_grads, name: f_grads}  # x reached y directly too

    return y, backward


def block(
    x: Array,
    p: Tree,
    config: ModelConfig,
    segments: Array | None = None,
    record: Record = ignore,
    layer: int = 0,
) -> Layer:
    """Attention, then the feed-forward network (Radford et al. 2019, section 2.3).

    x (B, T, D) becomes h = x + attention(norm(x)), then y = h + feed_forward(norm(h)). ``layer`` is
    its number, where not all attend alike.

    >>> sizes = {"vocab_size": 9, "context_length": 9, "d_model": 2, "n_layers": 1, "n_heads": 1}
    >>> zeros = lambda *shape: {"weight": np.zeros(shape)}
    >>> p = {
    ...     "attention_norm": zeros(2),
    ...     "attention": {"qkv_proj": zeros(6, 2), "out_proj": zeros(2, 2)},
    ...     "feed_forward_norm": zeros(2),
    ...     "feed_forward": {"up_proj": zeros(8, 2), "down_proj": zeros(2, 8)},
    ... }
    >>> y, backward = block(np.array([[[1.0, 2.0]]]), p, ModelConfig(**sizes))
    >>> y  # layers of zeros add nothing
    array([[[1., 2.]]])
    >>> dx, grads = backward(np.array([[[3.0, 4.0]]]))
    >>> dx
    array([[[3., 4.]]])
    """
    attend = partial(self_attention, segments=segments, layer=layer)
    h, attend_backward = residual(x, attend, "attention", p, config, record)  # (B, T, D)
    record("residual", h)
    y, feed_backward = residual(h, feed_forward, "feed_forward", p, config, record)  # (B, T, D)

    def backward(dy: Array, record: Record = ignore) -> tuple[Array, Tree]:
        dh, feed_grads = feed_backward(dy, record)
        record("residual", dh)
        dx, attend_grads = attend_backward(dh, record)
        return dx, attend_grads | feed_grads

    return y, backward
