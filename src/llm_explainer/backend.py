"""Choosing a backend: the one place that decides between NumPy and MLX."""

from __future__ import annotations

import importlib
from types import ModuleType

from llm_explainer.errors import BackendUnavailable

BACKENDS = ("auto", "numpy")


def load_backend(name: str = "auto") -> ModuleType:
    """Return the backend module ``name``; ``auto`` takes the fastest that this machine has.

    Raises:
        BackendUnavailable: no such backend, or it cannot run here.
    """
    if name not in BACKENDS:
        raise BackendUnavailable(f"unknown backend {name!r}; choose one of {', '.join(BACKENDS)}")
    return importlib.import_module("llm_explainer.numpy_backend")
