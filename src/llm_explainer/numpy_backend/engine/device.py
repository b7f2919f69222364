"""What this backend computes on, and how much memory that has taken."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from pathlib import Path

from llm_explainer.numpy_backend.engine.allocator import give_freed_memory_back

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def device_kind() -> str:
    """Return "cpu": NumPy knows nothing else."""
    return "cpu"


def device_name() -> str:
    """Return the device's name, for people."""
    return "CPU"


def leave_thread() -> None:
    """Say that this thread computes no more; here that needs nothing."""


def peak_memory() -> int:
    """Return the most bytes that this process has held so far; 0 where the system does not say."""
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak_memory() -> None:
    """Count the most bytes anew from here on, where the system can: on Linux.

    What nobody uses any more is given back before.
    """
    gc.collect()
    give_freed_memory_back()
    if sys.platform == "linux":
        with suppress(OSError):  # a container may forbid it
            Path("/proc/self/clear_refs").write_text("5")
