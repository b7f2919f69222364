"""Optimizers go by what a layer declares of a parameter, never by its shape or name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, combinations
from typing import Any, ClassVar

import numpy as np
import pytest
from mlx_twins import copies, mlx_backend, mx
from small_models import FAMILIES, small_config

from llm_explainer import numpy_backend
from llm_explainer.parameter_groups import ORTHOGONALIZED, Group
from llm_explainer.tree import flatten

BACKENDS = {"numpy": numpy_backend, "mlx": mlx_backend}
KINDS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "token embedding": lambda model: [model.token_embedding],
    "positions": lambda model: [model.position_embedding] if model.position_embedding else [],
    "attention": lambda model: [block.attention for block in model.blocks],
    "feed-forward": lambda model: [block.feed_forward for block in model.blocks],
    "norms": lambda model: [
        *(norm for b in model.blocks for norm in (b.attention_norm, b.feed_forward_norm)),
        model.final_norm,
    ],
    "head": lambda model: [model.head] if model.head else [],
}
SUBSETS = list(chain.from_iterable(combinations(KINDS, n) for n in range(len(KINDS))))

each_backend = pytest.mark.parametrize("nn", BACKENDS.values(), ids=BACKENDS)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


class Strange:
    """Parameters whose shape and place say other things than their groups."""

    GROUPS: ClassVar[dict[str, Group]] = {
        "matrix": "vector",  # (3, 3), as DoRA's magnitudes could be
        "line": "matrix",  # (1, 3): a product with one output
        "table": "table",  # (3, 3), in a block
        "vector": "head",  # (3,)
    }
    SHAPES: ClassVar[dict[str, tuple[int, ...]]] = {
        "matrix": (3, 3),
        "line": (1, 3),
        "table": (3, 3),
        "vector": (3,),
    }

    def group_of(self, name: str) -> Group:
        return self.GROUPS[name]


class StrangeNumPy(Strange, numpy_backend.Module):
    def __init__(self) -> None:
        for name, shape in self.SHAPES.items():
            setattr(self, name, np.ones(shape, np.float32))


class StrangeMLX(Strange, mlx_backend.Module):
    def __init__(self) -> None:
        super().__init__()
        for name, shape in self.SHAPES.items():
            setattr(self, name, mx.ones(shape))


@pytest.mark.parametrize(
    ("nn", "layer"), [(numpy_backend, StrangeNumPy), (mlx_backend, StrangeMLX)], ids=BACKENDS
)
def test_the_declared_group_decides_and_not_shape_or_name(nn: Any, layer: Any) -> None:
    gradients = {name: np.full(shape, 0.5) for name, shape in Strange.SHAPES.items()}
    ends = {}
    for kind in ("SGD", "Muon"):
        for decay in (0.0, 0.5):
            module = layer()
            getattr(nn, kind)(module, weight_decay=decay).update(gradients, 0.1)
            ends[kind, decay] = copies(module.parameters())
        shrunk = {
            name
            for name in Strange.SHAPES
            if not np.allclose(ends[kind, 0.5][name], ends[kind, 0.0][name])
        }
        assert shrunk == {"line", "table", "vector"}
    adamw = layer()
    nn.AdamW(adamw, betas=(0.95, 0.95), weight_decay=0.0).update(gradients, 0.1)
    differing = {
        name
        for name, array in copies(adamw.parameters()).items()
        if not np.allclose(array, ends["Muon", 0.0][name], atol=1e-3)
    }
    assert differing == {"line"}


@each_backend
def test_an_untied_head_is_adamws_under_muon(nn: Any) -> None:
    groups = flatten(nn.GPT(small_config(tie_embeddings=False)).groups())
    assert groups["head.weight"] == "head"
    assert "head" not in ORTHOGONALIZED
    assert groups["blocks.0.attention.qkv_proj.weight"] in ORTHOGONALIZED
