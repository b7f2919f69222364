"""Choosing a backend: the one place that decides between NumPy and MLX, and imports neither early.

``import llm_explainer`` and ``--help`` wait for no backend.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from llm_explainer.errors import BackendUnavailable

BACKENDS = ("auto", "numpy", "mlx")

MLX_PACKAGES = (
    "install 'mlx' on a Mac with Apple silicon, on Linux 'mlx[cuda13]' with an NVIDIA GPU or "
    "'mlx[cpu]' without"
)


def load_backend(name: str = "auto") -> ModuleType:
    """Return the backend module ``name``; ``auto`` takes MLX where it has a GPU, else NumPy.

    Raises:
        BackendUnavailable: no such backend, or it cannot run here.
    """
    if name not in BACKENDS:
        raise BackendUnavailable(f"unknown backend {name!r}; choose one of {', '.join(BACKENDS)}")
    if name == "mlx":
        _import_mlx()
    if name == "mlx" or (name == "auto" and _mlx_has_gpu()):
        return importlib.import_module("llm_explainer.mlx_backend")
    return importlib.import_module("llm_explainer.numpy_backend")


def backend_of(model: object) -> ModuleType:
    """Return the backend module of a model or layer."""
    for kind in type(model).__mro__:
        for name in ("llm_explainer.numpy_backend", "llm_explainer.mlx_backend"):
            if kind.__module__.startswith(f"{name}."):
                return importlib.import_module(name)
    raise TypeError(f"{type(model).__name__} is no layer of a backend")


def _mlx_has_gpu() -> bool:
    """Whether MLX is installed and finds a GPU: Metal or CUDA. On a CPU, NumPy is the faster."""
    try:
        mx = _import_mlx()
    except BackendUnavailable:
        return False
    return bool(mx.is_available(mx.gpu))


def _import_mlx() -> ModuleType:
    """Import ``mlx.core``; pip's bare mlx on Linux imports, but lacks its native library.

    Raises:
        BackendUnavailable: says what to install.
    """
    try:
        return importlib.import_module("mlx.core")
    except (ImportError, OSError, RuntimeError) as error:  # also: no driver, too old a system
        reason = " ".join(str(error).split())
        raise BackendUnavailable(
            f"the backend 'mlx' cannot be loaded ({reason}); {MLX_PACKAGES}"
        ) from None
