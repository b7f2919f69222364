"""Where a model drops: after the embeddings, in the attention weights, and after both parts of a
block (Vaswani et al. 2017, section 5.4; Radford et al. 2018, section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx
from small_models import FAMILIES, random_tokens, small_config

from llm_explainer import numpy_backend

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@pytest.mark.parametrize(
    ("nn", "rng"),
    [(numpy_backend, np.random.default_rng(0)), (mlx_backend, mx.random.key(0))],
    ids=["numpy", "mlx"],
)
@each_family
def test_every_place(
    nn: Any, rng: Any, family: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.GPT(small_config(**family, n_layers=2, dropout=0.1))
    shapes = []
    mask = nn.Dropout.mask

    def noted(self: Any, shape: tuple[int, ...], dtype: Any, rng: Any) -> Any:
        shapes.append((tuple(shape), rng is not None))
        return mask(self, shape, dtype, rng)

    monkeypatch.setattr(nn.Dropout, "mask", noted)
    tokens = random_tokens(model.config, 3, 5)
    model.loss_and_grads(tokens, tokens, rng=rng)
    config = model.config
    stream = (3, 5, config.d_model)
    heads = (config.n_kv_heads, config.n_heads // config.n_kv_heads)
    weights = (3, *heads, 5, 5)
    assert shapes == [(shape, True) for shape in [stream, *(2 * [weights, stream, stream])]]
