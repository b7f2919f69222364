"""The feed-forward network: widen, bend, narrow; the same for every token.

Explained in ``Tutorial/05 - FeedForwardNetwork.md``.
"""

from __future__ import annotations

import math

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.mlx_backend.activations import GELU, ReLU, SiLU
from llm_explainer.mlx_backend.layers import Linear
from llm_explainer.mlx_backend.module import (
    Array,
    Backward,
    Key,
    Module,
    split_key,
    with_backward,
)

ACTIVATIONS: dict[str, type[ReLU | GELU | SiLU]] = {
    "relu": ReLU,
    "gelu": GELU,
    "silu": SiLU,
    "swiglu": SiLU,
}


class FeedForward(Module):
    """y = down(f(up(x))), or gated: y = down(silu(gate(x)) ∘ up(x)), which is SwiGLU.

    Vaswani et al. 2017, section 3.3; Shazeer 2020 for the gate. D = d_model, F = d_ff.
    """

    def __init__(self, config: ModelConfig, *, init: Init) -> None:
        super().__init__()
        d_model, d_ff, bias = config.d_model, config.d_ff, config.bias
        gated = config.activation == "swiglu"
        self._activation = ACTIVATIONS[config.activation]()
        self.gate_proj = Linear(d_model, d_ff, bias, init=init) if gated else None
        self.up_proj = Linear(d_model, d_ff, bias, init=init)
        residual_scale = 1 / math.sqrt(2 * config.n_layers)
        self.down_proj = Linear(d_ff, d_model, bias, init=init, scale=residual_scale)

    def __call__(self, x: Array) -> Array:
        """Map (..., D) to (..., D)."""
        return self.run(x)

    def forward(self, x: Array, rng: Key | None = None) -> tuple[Array, Backward]:
        """Map (..., D) to (..., D); ``rng`` is for adapters in the place of its layers."""
        return with_backward(self, lambda x: self.run(x, rng), x)

    def run(self, x: Array, rng: Key | None = None) -> Array:
        """Map (..., D) to (..., D), for inference and training."""
        keys = split_key(rng, 3)
        if self.gate_proj is None:
            hidden = self._activation(self.up_proj.run(x, keys[0]))  # (..., F)
        else:
            hidden = self._activation(self.gate_proj.run(x, keys[1])) * self.up_proj.run(x, keys[0])
        return self.down_proj.run(hidden, keys[2])
