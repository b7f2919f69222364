"""What Linux's control groups leave to a process: the limits of containers, jobs and services.

Groups are nested, and each limit holds for all that is below it, so every level counts. There are
two versions (kernel documentation, admin-guide/cgroup-v1 and admin-guide/cgroup-v2.rst): in the
first each kind of limit has a tree of its own, in the second all share one. A system may have both.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

_V2 = ("", "unified")  # below the root: the tree of all kinds, alone or beside the first version's
_V1 = {"memory": ("memory",), "cpu": ("cpu", "cpu,cpuacct", "cpuacct,cpu")}


def processors(root: Path, membership: Path) -> int:
    """Return how many processors keep a process as busy as its limits allow, rounded up.

    Two for one and a half: the second works half of its time.

    Args:
        root: where the trees are, /sys/fs/cgroup
        membership: which groups the process is in, /proc/self/cgroup
    """
    shares = [sys.maxsize]
    for group in _groups(root, membership, "", _V2):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        shares.append(_share(quota, period))
    for group in _groups(root, membership, "cpu", _V1["cpu"]):
        quota = _read(group / "cpu.cfs_quota_us")
        shares.append(_share(quota, _read(group / "cpu.cfs_period_us")))
    return min(shares)


def memory_left(root: Path, membership: Path) -> int:
    """Return the bytes of memory that the limits leave; without limits, a very large number.

    What files are kept in memory for is not used up: the kernel gives it back when it is needed.
    """
    left = [sys.maxsize]
    for group in _groups(root, membership, "", _V2):
        limits = [_number(group / name) for name in ("memory.max", "memory.high")]
        used = _number(group / "memory.current")
        left.append(_left(limits, used, _statistics(group)))
    for group in _groups(root, membership, "memory", _V1["memory"]):
        statistics = _statistics(group)
        # Of the groups above, which a container may not see.
        above = statistics.get("hierarchical_memory_limit")
        limits = [_number(group / "memory.limit_in_bytes"), above]
        left.append(_left(limits, _number(group / "memory.usage_in_bytes"), statistics))
    return min(left)


def _share(quota: str, period: str) -> int:
    """Return processors from microseconds of work that every period of time allows."""
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:
        return sys.maxsize  # max, -1, or no such file
    return max(1, math.ceil(int(quota) / int(period)))


def _left(limits: list[int | None], used: int | None, statistics: dict[str, int]) -> int:
    known = [limit for limit in limits if limit is not None]
    if not known:
        return sys.maxsize
    given_back = 0
    for name in ("inactive_file", "active_file"):  # v1 has the sums of all below as total_...
        given_back += statistics.get(f"total_{name}", statistics.get(name, 0))
    return max(min(known) - max((used or 0) - given_back, 0), 0)


def _groups(root: Path, membership: Path, kind: str, trees: tuple[str, ...]) -> Iterator[Path]:
    """Yield the folders of the process's group and of all that it is in, up to the trees' roots."""
    path = _path_of(membership, kind)
    for tree in (root / name for name in trees):
        parts = [part for part in path.split("/") if part]
        # The path is as the host sees it; in a container, its first parts may be missing.
        while parts and not tree.joinpath(*parts).is_dir():
            parts = parts[1:]
        for depth in range(len(parts) + 1):
            yield tree.joinpath(*parts[:depth])


def _path_of(membership: Path, kind: str) -> str:
    """Return the path of the process's group, as in ``4:memory:/docker/3f2a``; v2's has no kind."""
    for line in _read(membership).splitlines():
        _, kinds, path = line.split(":", 2) if line.count(":") > 1 else ("", "?", "")
        if kind in kinds.split(","):
            return path
    return ""


def _statistics(group: Path) -> dict[str, int]:
    pairs = (line.split() for line in _read(group / "memory.stat").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _number(file: Path) -> int | None:
    """Return the number in a file; None if it is not there or says ``max``."""
    text = _read(file)
    return int(text) if text.isdecimal() else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
