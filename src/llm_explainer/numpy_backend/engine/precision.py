"""What NumPy can compute in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_explainer.errors import ConfigError

Read = Callable[[str], Any]
_WITH_MLX = "take --backend mlx"


def check_dtype(dtype: str) -> None:
    """Raise a ConfigError where training cannot compute in ``dtype``: NumPy has no bfloat16."""
    if dtype != "float32":
        raise ConfigError(
            f"dtype is {dtype!r}, which NumPy does not have; use float32, or --backend mlx"
        )


def filler(dtype: str, bits: int | None) -> Callable[[Any, Read], None]:
    """Return what fills a new model with what ``read`` returns for each parameter's dotted name.

    MLX's twin can keep them in bfloat16, or in ``bits``.

    Raises:
        ConfigError: anything but float32.
    """
    if dtype != "float32" or bits is not None:
        asked = f"dtype is {dtype!r}" if bits is None else f"quantize is {bits}"
        raise ConfigError(f"{asked}, and NumPy computes in float32; leave it out, or {_WITH_MLX}")
    return lambda model, read: model.update_each(read)
