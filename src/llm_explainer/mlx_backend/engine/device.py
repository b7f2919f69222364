"""What this backend computes on, and how much memory that has taken."""

from __future__ import annotations

import gc

import mlx.core as mx


def device_kind() -> str:
    """Return "metal" (the GPU of a Mac), "cuda" (one of NVIDIA's), or "cpu"."""
    if mx.default_device() == mx.Device(mx.cpu):
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def device_name() -> str:
    """Return the device's name, for people."""
    return str(mx.device_info().get("device_name", device_kind()))


def leave_thread() -> None:
    """Say that this thread computes no more: MLX aborts a process that ends with its streams."""
    mx.clear_streams()


def peak_memory() -> int:
    """Return the most bytes that MLX's arrays have held so far."""
    return int(mx.get_peak_memory())


def reset_peak_memory() -> None:
    """Count the most bytes anew from here on; what nobody uses any more is given back before."""
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
