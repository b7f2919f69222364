"""Processes that take work whenever they have none, and tell what came of it at the end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NoReturn, Self

from llm_explainer.errors import TokenizerError

_END = b""


class Crew:
    """Helps one process with work that comes in pieces; use it as a context manager.

    A pipe to each worker, and no queue: at most one piece waits for each, so memory stays bounded,
    and whoever hands out the pieces does itself what nobody is free for.

    Args:
        n_workers: processes beside this one; each starts when there is a piece for it.
        work: called in each process with ``argument`` and the pieces that it gets; its result must
            be something that ``multiprocessing`` can send.
        argument: whatever ``work`` needs to know.
    """

    def __init__(
        self, n_workers: int, work: Callable[[Any, Iterable[bytes]], Any], argument: object
    ) -> None:
        self._n_workers, self._work, self._argument = n_workers, work, argument
        self._workers: list[tuple[BaseProcess, Connection]] = []

    def takes(self, piece: bytes) -> bool:
        """Hand a piece to a worker that is free; return whether there was one."""
        if not piece:
            return True
        try:
            for _, connection in self._workers:
                if connection.poll():
                    connection.recv_bytes()
                    connection.send_bytes(piece)
                    return True
            if len(self._workers) < self._n_workers:
                self._start().send_bytes(piece)
                return True
        except (OSError, EOFError):
            self._refuse()
        return False

    def results(self) -> Iterator[Any]:
        """Yield the result of every worker that had something to do."""
        try:
            for _, connection in self._workers:
                connection.recv_bytes()
                connection.send_bytes(_END)
            for _, connection in self._workers:
                yield connection.recv()
        except (OSError, EOFError):
            self._refuse()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process, connection in self._workers:
            connection.close()  # a worker that still waits for pieces ends
            if kind is not None:
                process.terminate()
            process.join()

    def _start(self) -> Connection:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(
            target=_serve, args=(theirs, self._work, self._argument), daemon=True
        )
        process.start()
        theirs.close()  # so that the end of the worker is the end of the pipe
        self._workers.append((process, ours))
        return ours

    def _refuse(self) -> NoReturn:
        raise TokenizerError(
            f"{self._n_workers + 1} workers could not start or were stopped; use workers=1, or put "
            'the script\'s own code under: if __name__ == "__main__"'
        ) from None


def _serve(
    connection: Connection, work: Callable[[Any, Iterable[bytes]], Any], argument: object
) -> None:
    """Run ``work`` in a process of its own."""

    def pieces() -> Iterator[bytes]:
        while piece := connection.recv_bytes():
            yield piece
            connection.send_bytes(_END)  # ready for the next

    with suppress(OSError, EOFError, KeyboardInterrupt):  # when whoever asked has gone
        connection.send(work(argument, pieces()))
