"""What NumPy can compute in."""

from __future__ import annotations

from llm_explainer.errors import ConfigError


def check_dtype(dtype: str) -> None:
    """Raise a ConfigError where training cannot compute in ``dtype``: NumPy has no bfloat16."""
    if dtype != "float32":
        raise ConfigError(
            f"dtype is {dtype!r}, which NumPy does not have; use float32, or --backend mlx"
        )
