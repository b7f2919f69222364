"""The processes of a distributed run, on MLX's own engine: ring, MPI, NCCL or JACCL.

``mlx.launch`` starts a process for each machine (or several on one) and tells each where the others
are. All of them run the same program and meet in collectives: operations that every process must
call, in the same order, and that return when all have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.nn.utils import average_gradients

from llm_explainer.errors import BackendUnavailable, ProcessLost
from llm_explainer.program import as_typed

FRAME = 1 << 17
"""Bytes of a broadcast's first collective. What a collective costs is its latency, so shorter
messages, such as a batch of a small model, go in one, whose receivers need not know the length."""

SHORT_FRAME = 1 << 12
"""The same for what each process gives to all others."""

CHUNK = 1 << 25
"""Bytes of each further collective of a longer message: its memory is bounded."""

LENGTH = 8
"""Bytes that a message's length takes at the start of a frame."""


class ProcessGroup:
    """All processes of a run, as ``connect`` returns it: the same number of calls in each."""

    def __init__(self, group: mx.distributed.Group) -> None:
        self._group = group

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._group.rank()

    @property
    def size(self) -> int:
        """The number of processes."""
        return self._group.size()

    def average(self, tree: Any) -> Any:
        """Return the mean over all processes of every array of a tree; lazy, like all of MLX."""
        return average_gradients(tree, self._group)

    def broadcast(self, data: bytes = b"") -> bytes:
        """Return the bytes that process 0 gave; what the others give does not count.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        own = data if self.rank == 0 else b""
        frame = self._sum(_with_length(own, FRAME))
        length = int.from_bytes(frame[:LENGTH], "little")
        parts = [frame[LENGTH : LENGTH + length]]
        for start in range(FRAME - LENGTH, length, CHUNK):
            stop = min(start + CHUNK, length)
            parts.append(self._sum(own[start:stop].ljust(stop - start, b"\0")))
        return b"".join(parts)

    def gather(self, data: bytes) -> list[bytes]:
        """Return the bytes that each process gave, in the order of their ranks.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        frames = self._rows(_with_length(data, SHORT_FRAME))
        lengths = [int.from_bytes(frame[:LENGTH], "little") for frame in frames]
        rows = [frame[LENGTH:] for frame in frames]
        n_left = max(lengths) - len(rows[0])
        if n_left > 0:
            rest = self._rows(data[len(rows[0]) :].ljust(n_left, b"\0"))
            rows = [row + more for row, more in zip(rows, rest, strict=True)]
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    @contextmanager
    def collective(self) -> Iterator[None]:
        """Tell the failure of a collective from all others, around work that has one in it.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if not re.match(r"\[(distributed|jaccl|mpi|nccl|ring)\]", str(error), re.IGNORECASE):
                raise  # an error of this process alone, such as too little memory
            raise ProcessLost(f"another process is gone ({error})") from None

    def _sum(self, data: bytes) -> bytes:
        """Return process 0's bytes: the sum of theirs and of the others' zeros."""
        with self.collective():
            total = mx.distributed.all_sum(_as_array(data), group=self._group)
            mx.eval(total)  # here: NumPy, when it asks for the numbers, would swallow the failure
            return np.asarray(total).tobytes()

    def _rows(self, data: bytes) -> list[bytes]:
        """Return what each process gave; all of the same length."""
        with self.collective():
            rows = mx.distributed.all_gather(_as_array(data)[None], group=self._group)
            mx.eval(rows)
            return [row.tobytes() for row in np.asarray(rows)]


def connect() -> ProcessGroup:
    """Join the processes that a launcher such as ``mlx.launch`` has started with this one.

    Raises:
        BackendUnavailable: there is no other.
    """
    try:
        group = mx.distributed.init(backend="any", strict=True)
    except RuntimeError as error:
        raise BackendUnavailable(_alone(" ".join(str(error).split()))) from None
    if group.size() == 1:
        raise BackendUnavailable(_alone("this process is the only one"))
    return ProcessGroup(group)


def _alone(reason: str) -> str:
    return f"no other process to share the work with ({reason}); start two or more: " + as_typed(
        "mlx.launch -n 2 --backend ring -- python train_pretrain.py --distributed ..."
    )


def _with_length(data: bytes, size: int) -> bytes:
    """Return ``size`` bytes: the length of ``data``, and as much of it as fits."""
    return (len(data).to_bytes(LENGTH, "little") + data[: size - LENGTH]).ljust(size, b"\0")


def _as_array(data: bytes) -> mx.array:
    return mx.array(np.frombuffer(data, np.uint8))
