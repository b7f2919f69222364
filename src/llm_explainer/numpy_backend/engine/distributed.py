"""Distributed runs, which this backend leaves to MLX's engine."""

from __future__ import annotations

from typing import NoReturn

from llm_explainer.errors import BackendUnavailable


def connect() -> NoReturn:
    """Join other processes.

    Raises:
        BackendUnavailable: always.
    """
    raise BackendUnavailable(
        "the backend 'numpy' trains in one process; --distributed takes --backend mlx"
    )
