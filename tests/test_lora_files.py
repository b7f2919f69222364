"""Adapters on disk: what is saved comes back, on its own base and on no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx_twins import copies, mlx_backend
from small_models import FAMILIES, random_model, random_tokens, small_config

from llm_explainer import (
    LoRAConfig,
    apply_lora,
    numpy_backend,
    save_checkpoint,
)
from llm_explainer.checkpoint import (
    base_of,
    load_adapter,
    load_config,
    load_model,
    save_adapter,
)
from llm_explainer.tree import flatten

BACKENDS = {"numpy": numpy_backend, "mlx": mlx_backend}
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
CONFIG = LoRAConfig(rank=2, dora=True, targets=["all-linear", "head"], rank_pattern="k_proj=1")


def saved(folder: Path, backend: str = "numpy", **changes: Any) -> tuple[Any, Any, Path]:
    """Return a base, the same with random adapters, and the directory of the adapters."""
    base = random_model(small_config(**changes), np.float32)
    save_checkpoint(folder / "base", base)
    base = load_model(folder / "base", backend)
    adapted = apply_lora(base, CONFIG, seed=1)
    rng = np.random.default_rng(2)
    drawn = {
        name: array + rng.normal(scale=0.2, size=array.shape).astype(np.float32)
        for name, array in copies(adapted.parameters()).items()
        if "lora" in name or "magnitude" in name
    }
    adapted.update({**flatten(adapted.parameters()), **drawn})
    return base, adapted, save_adapter(folder / "adapter", adapted, base=folder / "base")


@each_backend
@each_family
def test_they_come_back_on_their_base(tmp_path: Path, backend: str, family: dict[str, Any]) -> None:
    base, adapted, path = saved(tmp_path, backend, **family)
    tokens = random_tokens(base.config, 2, 5)
    expected = np.asarray(adapted(tokens))
    assert base_of(path) == (tmp_path / "base").resolve()
    assert load_config(path) == base.config
    for model in (load_adapter(path, base), load_model(path, backend)):
        assert model.lora == CONFIG
        assert list(flatten(model.trainable())) == list(flatten(adapted.trainable()))
        np.testing.assert_array_equal(np.asarray(model(tokens)), expected)
    for name, array in copies(base.parameters()).items():
        np.testing.assert_array_equal(
            array, copies(load_model(tmp_path / "base").parameters())[name]
        )
