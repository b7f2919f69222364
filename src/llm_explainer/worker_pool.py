"""Processes that share work: those that tell at the end, and those that answer job by job.

A job is whatever one of them gets at a time, such as a block of text.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from llm_explainer.errors import LLMExplainerError, TokenizerError

Argument = TypeVar("Argument")
Job = TypeVar("Job")
Result = TypeVar("Result")

_END = b""


class WorkerPool:
    """Worker processes with a pipe to each; a context manager that ends them.

    Args:
        n_workers: how many processes work in all, for the message when one fails.
        serve: called in each process with its end of the pipe, ``work`` and ``argument``.
        work: what there is to do.
        argument: whatever ``work`` needs to know.
    """

    def __init__(
        self,
        n_workers: int,
        serve: Callable[..., None],
        work: Callable[..., Any],
        argument: object,
    ) -> None:
        self._n_workers, self._serve = n_workers, serve
        self._work, self._argument = work, argument
        self.workers: list[tuple[BaseProcess, Connection]] = []

    def start(self) -> Connection:
        """Start one more process; return our end of its pipe."""
        ours, theirs = multiprocessing.Pipe()
        # A forked process has all our ends, its own among them. It must let go of them, or it would
        # never see the end of its pipe, and wait for ever if this process were killed.
        forked = multiprocessing.get_start_method() == "fork"
        inherited = [ours, *(connection for _, connection in self.workers)] if forked else []
        process = multiprocessing.Process(
            target=_run,
            args=(inherited, self._serve, theirs, self._work, self._argument),
            daemon=True,
        )
        process.start()
        theirs.close()  # so that the end of the worker is the end of the pipe
        self.workers.append((process, ours))
        return ours

    def refuse(self) -> NoReturn:
        """Say that a process is gone.

        Raises:
            TokenizerError: always.
        """
        raise TokenizerError(
            f"{self._n_workers} workers could not start or were stopped; use workers=1, or put "
            'the script\'s own code under: if __name__ == "__main__"'
        ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process, connection in self.workers:
            connection.close()  # a worker that still waits for jobs ends
            if kind is not None:
                process.kill()
            process.join()


class HelperPool(WorkerPool):
    """Helps one process with its jobs; use it as a context manager.

    A pipe to each worker, and no queue: at most one job waits for each, so memory stays bounded,
    and whoever hands out the jobs does itself what nobody is free for.

    Args:
        n_workers: processes beside this one; each starts when there is a job for it.
        work: called in each process with ``argument`` and the jobs that it gets; its result must
            be something that ``multiprocessing`` can send.
        argument: whatever ``work`` needs to know.
    """

    def __init__(
        self, n_workers: int, work: Callable[[Any, Iterable[bytes]], Any], argument: object
    ) -> None:
        super().__init__(n_workers + 1, _sum_up, work, argument)
        self._most = n_workers

    def takes(self, job: bytes) -> bool:
        """Hand a job to a worker that is free; return whether there was one."""
        if not job:
            return True
        try:
            for _, connection in self.workers:
                if connection.poll():
                    connection.recv_bytes()
                    connection.send_bytes(job)
                    return True
            if len(self.workers) < self._most:
                self.start().send_bytes(job)
                return True
        except (OSError, EOFError):
            self.refuse()
        return False

    def results(self) -> Iterator[Any]:
        """Yield the result of every worker that had something to do."""
        try:
            for _, connection in self.workers:
                connection.recv_bytes()
                connection.send_bytes(_END)
            for _, connection in self.workers:
                yield connection.recv()
        except (OSError, EOFError):
            self.refuse()


def in_order(
    n_workers: int,
    work: Callable[[Argument, Job], Result],
    argument: Argument,
    jobs: Iterable[Job],
) -> Iterator[Result]:
    """Yield ``work(argument, job)`` of every job, in the order of the jobs.

    Held in memory: two jobs or results for each worker, however many there are.

    Args:
        n_workers: processes that work while this one reads the jobs and takes the results, 1 or
            more; with 1, this one does everything.
        work: a function of a module, so that another process finds it.
        argument: the first argument of every call.
        jobs: the second one; like results, what ``multiprocessing`` can send.

    Raises:
        TokenizerError: a worker that could not start or was stopped.
        LLMExplainerError: what ``work`` raises.
    """
    if n_workers == 1:
        yield from (work(argument, job) for job in jobs)
        return
    with WorkerPool(n_workers, _answer, work, argument) as pool:
        yield from _relay(pool, n_workers, iter(jobs))


def _relay(pool: WorkerPool, n_workers: int, jobs: Iterator[Any]) -> Iterator[Any]:
    free: list[Connection] = []
    busy: dict[Connection, int] = {}  # the number of the job that a worker has
    done: dict[int, Any] = {}  # the answer to it
    n_yielded = 0
    for number, job in enumerate(jobs):  # the next job is read while the others are worked on
        while len(busy) == n_workers or (
            number >= n_yielded + 2 * n_workers and n_yielded not in done
        ):
            _receive(pool, busy, done, free)
        try:
            connection = free.pop() if free else pool.start()
            connection.send(job)
        except OSError:
            pool.refuse()
        busy[connection] = number
        while n_yielded in done:
            yield _result(done.pop(n_yielded))
            n_yielded += 1
    while busy or done:
        if n_yielded not in done:
            _receive(pool, busy, done, free)
            continue
        yield _result(done.pop(n_yielded))
        n_yielded += 1


def _receive(
    pool: WorkerPool,
    busy: dict[Connection, int],
    done: dict[int, Any],
    free: list[Connection],
) -> None:
    """Wait for an answer or several."""
    for connection in wait(list(busy)):
        assert isinstance(connection, Connection)
        try:
            done[busy.pop(connection)] = connection.recv()
        except (OSError, EOFError):
            pool.refuse()
        free.append(connection)


def _result(answer: tuple[Any, LLMExplainerError | None]) -> Any:
    result, error = answer
    if error is not None:
        raise error
    return result


def _run(
    inherited: Iterable[Connection],
    serve: Callable[..., None],
    connection: Connection,
    work: Callable[..., Any],
    argument: object,
) -> None:
    """Be a process: serve at one end of a pipe until whoever has the other goes away.

    What ends a command, and reaches all of its processes, is for the one that leads.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for other in inherited:
        other.close()
    with suppress(OSError, EOFError, KeyboardInterrupt):
        serve(connection, work, argument)


def _sum_up(
    connection: Connection, work: Callable[[Any, Iterable[bytes]], Any], argument: object
) -> None:
    """Run ``work`` on all jobs in a process of its own, and send what comes of it at the end."""

    def jobs() -> Iterator[bytes]:
        while job := connection.recv_bytes():
            yield job
            connection.send_bytes(_END)  # ready for the next

    connection.send(work(argument, jobs()))


def _answer(connection: Connection, work: Callable[[Any, Any], Any], argument: object) -> None:
    """Run ``work`` in a process of its own on job after job, and send back each result."""
    while True:
        job = connection.recv()
        answer: tuple[Any, LLMExplainerError | None]
        try:
            answer = work(argument, job), None
        except LLMExplainerError as error:
            answer = None, error
        connection.send(answer)
