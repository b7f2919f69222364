"""What this machine has: processors and memory that this process may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llm_explainer import cgroups

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Return the number of processors that this process may use, by a container's limit too."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), cgroups.processors(CGROUP, MEMBERSHIP))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Return the bytes of memory that are free now, or that other programs' caches would give back.

    Where the system does not say how much is free, three quarters of what the machine has.
    """
    if MEMINFO.exists():
        return min(_meminfo("MemAvailable"), cgroups.memory_left(CGROUP, MEMBERSHIP))
    if sys.platform == "win32":
        return _free_on_windows()
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4


def _meminfo(name: str) -> int:
    """Return a number of Linux's memory statistics, in bytes."""
    for line in MEMINFO.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return sys.maxsize


if sys.platform == "win32":

    def _free_on_windows() -> int:
        """Return the free physical memory, from GlobalMemoryStatusEx."""
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = (
                ("size", ctypes.c_uint32),
                ("load", ctypes.c_uint32),
                *((name, ctypes.c_uint64) for name in ("total", "free", "a", "b", "c", "d", "e")),
            )

        status = Status(size=ctypes.sizeof(Status))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.free)
