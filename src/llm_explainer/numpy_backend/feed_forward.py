"""The feed-forward network: widen, bend, narrow; the same for every token.

Explained in ``Tutorial/05 - FeedForwardNetwork.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.numpy_backend.activations import GELU, Activation, ReLU, SiLU
from llm_explainer.numpy_backend.kernels import row_blocks
from llm_explainer.numpy_backend.layers import Linear
from llm_explainer.numpy_backend.module import (
    Array,
    Backward,
    Module,
    gradients_like,
    place_for,
)
from llm_explainer.tree import Tree

ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "gelu": GELU,
    "silu": SiLU,
    "swiglu": SiLU,
}


Rng = np.random.Generator | None
RowsBackward = Callable[[Array, Tree], tuple[Array, Tree]]


class FeedForward(Module):
    """y = down(f(up(x))), or gated: y = down(silu(gate(x)) ∘ up(x)), which is SwiGLU.

    Vaswani et al. 2017, section 3.3; Shazeer 2020 for the gate. D = d_model, F = d_ff.
    """

    def __init__(self, config: ModelConfig, *, init: Init) -> None:
        d_model, d_ff, bias = config.d_model, config.d_ff, config.bias
        gated = config.activation == "swiglu"
        self._activation = ACTIVATIONS[config.activation]()
        self.gate_proj = Linear(d_model, d_ff, bias, init=init) if gated else None
        self.up_proj = Linear(d_model, d_ff, bias, init=init)
        residual_scale = 1 / math.sqrt(2 * config.n_layers)
        self.down_proj = Linear(d_ff, d_model, bias, init=init, scale=residual_scale)

    def __call__(self, x: Array) -> Array:
        """Map (..., D) to (..., D)."""
        if self.gate_proj is None:
            hidden = self._activation(self.up_proj(x))  # (..., F)
        else:
            hidden = self._activation(self.gate_proj(x))
            hidden *= self.up_proj(x)
        return self.down_proj(hidden)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Map (..., D) to (..., D); ``rng`` is for adapters in the place of its layers."""
        forward = self._forward_plain if self.gate_proj is None else self._forward_gated
        y, rows_backward = forward(x.reshape(-1, x.shape[-1]), rng)  # (N, D)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            dx, grads = rows_backward(dy.reshape(y.shape), gradients_like(self, out))
            return dx.reshape(x.shape), grads

        return y.reshape(x.shape), backward

    def _forward_plain(self, x: Array, rng: Rng) -> tuple[Array, RowsBackward]:
        up, up_backward = self.up_proj.forward(x, rng)  # (N, F)
        # Nothing else needs ``up``, so its slope takes its place.
        hidden, slope = self._activation.value_and_slope(up, slope=up)
        y, down_backward = self.down_proj.forward(hidden, rng)

        def backward(dy: Array, grads: Tree) -> tuple[Array, Tree]:
            dup, _ = down_backward(dy, place_for("down_proj", grads))  # dhidden, (N, F)
            dup *= slope
            dx, _ = up_backward(dup, place_for("up_proj", grads))
            return dx, grads

        return y, backward

    def _forward_gated(self, x: Array, rng: Rng) -> tuple[Array, RowsBackward]:
        assert self.gate_proj is not None
        gate, gate_backward = self.gate_proj.forward(x, rng)  # (N, F)
        up, up_backward = self.up_proj.forward(x, rng)  # (N, F)
        value, hidden, slope = np.empty_like(up), np.empty_like(up), gate
        for rows in row_blocks(up):
            self._activation.write_value_and_slope(gate[rows], value[rows], slope[rows])
            np.multiply(value[rows], up[rows], out=hidden[rows])
        y, down_backward = self.down_proj.forward(hidden, rng)

        def backward(dy: Array, grads: Tree) -> tuple[Array, Tree]:
            dhidden, _ = down_backward(dy, place_for("down_proj", grads))  # (N, F)
            dup, dgate = np.empty_like(up), dhidden
            for rows in row_blocks(up):
                np.multiply(dhidden[rows], value[rows], out=dup[rows])
                dgate[rows] *= up[rows]
                dgate[rows] *= slope[rows]
            dx, _ = up_backward(dup, place_for("up_proj", grads))
            dx_gate, _ = gate_backward(dgate, place_for("gate_proj", grads))
            dx += dx_gate
            return dx, grads

        return y, backward
