"""A transformer block: attention, then the feed-forward network, each read and added back."""

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


def block(x: Array, p: Tree, config: ModelConfig, record: Record = ignore) -> Layer:
    """h = x + attention(norm(x)); y = h + feed_forward(norm(h)) (Radford et al. 2019, section 2.3).

    The residual stream x (B, T, D) runs through, and the two layers add to it; nothing else does.

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
    in_attention, in_feed_forward = under(record, "attention"), under(record, "feed_forward")
    normed, norm1_backward = norm(x, p["attention_norm"], config)  # (B, T, D), as all here
    record("attention_norm", normed)
    attended, attention_backward = self_attention(normed, p["attention"], config, in_attention)
    record("attention", attended)
    h = x + attended
    record("residual", h)
    normed, norm2_backward = norm(h, p["feed_forward_norm"], config)
    record("feed_forward_norm", normed)
    fed, fed_backward = feed_forward(normed, p["feed_forward"], config, in_feed_forward)
    record("feed_forward", fed)
    y = h + fed

    def backward(dy: Array, record: Record = ignore) -> tuple[Array, Tree]:
        record("feed_forward", dy)
        dnormed, fed_grads = fed_backward(dy, under(record, "feed_forward"))
        record("feed_forward_norm", dnormed)
        dh, norm2_grads = norm2_backward(dnormed)
        dh = dh + dy  # h reached y directly too
        record("residual", dh)
        record("attention", dh)
        dnormed, attention_grads = attention_backward(dh, under(record, "attention"))
        record("attention_norm", dnormed)
        dx, norm1_grads = norm1_backward(dnormed)
        grads = {"attention_norm": norm1_grads, "attention": attention_grads}
        grads |= {"feed_forward_norm": norm2_grads, "feed_forward": fed_grads}
        return dx + dh, grads  # x reached h directly too

    return y, backward
