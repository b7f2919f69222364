"""Ask the C library to keep the memory that it is given back.

A training step makes and drops the same large arrays every time. By default glibc hands each one
back to the kernel, which must zero every page of the next one: 15 to 35 % of a step. Keeping the
pages makes reuse free. Elsewhere (macOS, musl, Windows) this does nothing.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# Names and numbers from glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def keep_freed_memory() -> bool:
    """Tell glibc not to use mmap, not to trim, and to use one arena. Returns whether it did."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False  # not glibc
    settings = {
        _M_MMAP_MAX: 0,  # large arrays come from the heap too, where they are kept
        _M_TRIM_THRESHOLD: -1,  # the heap's end is never given back
        _M_TOP_PAD: 64 << 20,  # the heap grows in steps of 64 MB
        _M_ARENA_MAX: 1,  # one heap for all threads, so that each reuses what others freed
    }
    accepted = [mallopt(name, value) == 1 for name, value in settings.items()]
    return all(accepted)


def give_freed_memory_back() -> None:
    """Let the system have what was kept, where there is such a thing."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
