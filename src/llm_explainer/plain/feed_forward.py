"""The feed-forward network: widen, bend, narrow; the same for every token.

Explained in ``Tutorial/05 - FeedForwardNetwork.md``.
"""

from llm_explainer.config import ModelConfig
from llm_explainer.plain.activations import ACTIVATIONS, swiglu
from llm_explainer.plain.contract import Array, Layer, Record, ignore
from llm_explainer.plain.layers import linear
from llm_explainer.tree import Tree


def feed_forward(x: Array, p: Tree, config: ModelConfig, record: Record = ignore) -> Layer:
    """y = down(f(up(x))) (Vaswani et al. 2017, section 3.3); with SwiGLU the gated one below.

    >>> sizes = {"vocab_size": 9, "context_length": 9, "d_model": 1, "n_layers": 1, "n_heads": 1}
    >>> config = ModelConfig(**sizes, d_ff=2, activation="relu")
    >>> p = {"up_proj": {"weight": np.array([[1], [-1]])}, "down_proj": {"weight": np.ones((1, 2))}}
    >>> y, backward = feed_forward(np.array([[-3], [5]]), p, config)
    >>> y  # relu(x) + relu(-x) is |x|
    array([[3.],
           [5.]])
    >>> dx, grads = backward(np.array([[1], [1]]))
    >>> dx
    array([[-1.],
           [ 1.]])
    """
    if config.activation == "swiglu":
        return gated_feed_forward(x, p, record)
    up, up_backward = linear(x, p["up_proj"])  # (B, T, F)
    record("up_proj", up)
    hidden, bend_backward = ACTIVATIONS[config.activation](up)  # (B, T, F)
    record("hidden", hidden)
    y, down_backward = linear(hidden, p["down_proj"])  # (B, T, D)

    def backward(dy: Array, record: Record = ignore) -> tuple[Array, Tree]:
        dhidden, down_grads = down_backward(dy)  # (B, T, F)
        record("hidden", dhidden)
        dup = bend_backward(dhidden)  # (B, T, F)
        record("up_proj", dup)
        dx, up_grads = up_backward(dup)  # (B, T, D)
        return dx, {"up_proj": up_grads, "down_proj": down_grads}

    return y, backward


def gated_feed_forward(x: Array, p: Tree, record: Record = ignore) -> Layer:
    """y = down(silu(gate(x)) · up(x)), which is SwiGLU (Shazeer 2020, section 2).

    >>> one = {"weight": np.array([[1.0]])}
    >>> p = {"gate_proj": one, "up_proj": {"weight": np.array([[3.0]])}, "down_proj": one}
    >>> y, backward = gated_feed_forward(np.array([[1.0]]), p)
    >>> y.round(4)  # silu(1) · 3, with silu(1) = 0.7311
    array([[2.1932]])
    >>> dx, grads = backward(np.array([[1.0]]))
    >>> dx.round(4)  # through the gate 0.9277 · 3, and through ``up`` 0.7311 · 3
    array([[4.9762]])
    """
    gate, gate_backward = linear(x, p["gate_proj"])  # (B, T, F)
    record("gate_proj", gate)
    up, up_backward = linear(x, p["up_proj"])  # (B, T, F)
    record("up_proj", up)
    hidden, swiglu_backward = swiglu(gate, up, record)  # (B, T, F)
    record("hidden", hidden)
    y, down_backward = linear(hidden, p["down_proj"])  # (B, T, D)

    def backward(dy: Array, record: Record = ignore) -> tuple[Array, Tree]:
        dhidden, down_grads = down_backward(dy)  # (B, T, F)
        record("hidden", dhidden)
        dgate, dup = swiglu_backward(dhidden, record)  # (B, T, F) each
        record("up_proj", dup)
        record("gate_proj", dgate)
        dx_up, up_grads = up_backward(dup)  # (B, T, D)
        dx_gate, gate_grads = gate_backward(dgate)
        grads = {"gate_proj": gate_grads, "up_proj": up_grads, "down_proj": down_grads}
        return dx_gate + dx_up, grads  # x went both ways

    return y, backward
