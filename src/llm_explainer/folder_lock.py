"""One folder, one process: a lock that dies with the process that holds it.

The system's lock (``flock``) on a file in the folder is let go of by the system when its process
ends, however that happens; on network file systems it holds between machines. The file
says who holds it, for the message to whoever comes second. Where a file system has no such locks,
that text is all there is, and it counts for as long as the process that it names is running.
"""

from __future__ import annotations

import json
import os
import platform
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_explainer.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "run.lock"
_FORMAT = "llm-explainer lock, 1"
_PATIENCE_S = 5.0
"""How long to wait for the workers of a process that was killed: they end when they notice."""

_held: dict[Path, list[int]] = {}
"""Of the locks of this process: descriptor of the file, and how many hold it together."""


def _forget() -> None:
    """Let a forked process not hold the locks of the one that made it."""
    for descriptor, _ in _held.values():
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class FolderLock:
    """The lock of a folder, held from ``acquire`` to ``release`` or to the process's end.

    It keeps other processes away. Several objects of one process may hold it.

    Args:
        folder: which must exist when the lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / LOCK
        self._release: weakref.finalize[..., Any] | None = None

    def acquire(self) -> None:
        """Take the lock; whoever has it may take it again.

        Raises:
            CheckpointError: another process has it, or something else has the name of its file.
            OSError: the folder cannot be written.
        """
        if self._release is not None and self._release.alive:
            return
        path = self._path.resolve()
        if path in _held and path.exists():
            _held[path][1] += 1
        else:
            _held[path] = [self._wait(), 1]
        self._release = weakref.finalize(self, _let_go, path, os.getpid())

    def release(self) -> None:
        """Let go of the lock; the last one that does removes its file."""
        if self._release is not None:
            self._release()
            self._release = None

    def is_of_others(self) -> bool:
        """Whether another process made a lock here; it may be gone, and ``acquire`` tells."""
        return self._path.resolve() not in _held and _read(self._path) is not None

    def _wait(self) -> int:
        """Return the descriptor of the file, locked; wait only for what a dead process left."""
        deadline = time.monotonic() + _PATIENCE_S
        while (descriptor := self._try()) is None:
            holder, is_late = _read(self._path), time.monotonic() >= deadline
            if holder is not None and (is_late or not _is_gone(holder)):
                raise CheckpointError(self._refusal(holder))
            if is_late:
                raise CheckpointError(f"{self._path} is in the way; rename it")
            time.sleep(0.02)
        return descriptor

    def _try(self) -> int | None:
        """Return the descriptor of the file, locked and ours; None if it is another's just now."""
        if self._path.exists() and self._path.stat().st_size and _read(self._path) is None:
            raise CheckpointError(f"{self._path} is in the way; rename it")
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor, self._path):
                os.close(descriptor)
                return None
            if os.path.samestat(self._path.stat(), os.fstat(descriptor)):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps(_this_process()).encode())
                return descriptor
        except FileNotFoundError:
            pass  # its last holder removed it at this moment
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _refusal(self, holder: dict[str, Any]) -> str:
        pid, host = holder.get("pid"), holder.get("host")
        here = host == platform.node()
        stop = f"stop it (kill {pid})" if here else f"stop it there (kill {pid})"
        hint = "" if fcntl is not None else f"; if it is gone, delete {self._path}"
        return (
            f"{self.folder} is in use by process {pid} on {host}; wait until it ends, {stop}, or "
            f"choose another folder{hint}"
        )


def _lock(descriptor: int, path: Path) -> bool:
    """Lock an open file if nobody else has; return whether it is ours now."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks
    holder = _read(path)
    return holder is None or _is_gone(holder)


def _this_process() -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "host": platform.node(),
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
    }


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the process that a lock names is known to have ended."""
    pid = holder.get("pid")
    if holder.get("host") != platform.node() or os.name != "posix" or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # somebody else's
    return holder.get("started") != _start_of(pid)  # a later process may have the same number


def _start_of(pid: int) -> str | None:
    """Return when a process began, in whatever unit the system has; None where it does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # a zombie has ended


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a lock's file says; None where there is none, or none of ours."""
    try:
        content = json.loads(path.read_bytes()[:4096])
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("format") == _FORMAT else None


def _let_go(path: Path, pid: int) -> None:
    if os.getpid() != pid or path not in _held:
        return
    _held[path][1] -= 1
    if _held[path][1]:
        return
    descriptor, _ = _held.pop(path)
    with suppress(OSError):
        if os.path.samestat(path.stat(), os.fstat(descriptor)):
            path.unlink()  # while it is still ours
    with suppress(OSError):
        os.close(descriptor)
