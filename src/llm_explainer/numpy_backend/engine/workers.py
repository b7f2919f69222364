"""Several processors for one training step: forked processes on Linux, threads elsewhere.

Threads of Python share one lock, which NumPy lets go of inside an operation and takes again after
it, a thousand times a step. Where operations are short, much of a step is waiting for that lock: at
size tiny, forked processes make a step a third shorter than threads do. They start in milliseconds
with everything that this process has made so far, and share what lies in shared memory: parameters,
gradients and the optimizer's state (``flat.py``). macOS and Windows have no safe ``fork``, so
threads do the same work there, with the same results to the last bit.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from llm_explainer.errors import TrainingError, WorkerLost

Method = Callable[..., Any]
"""A method of the owner's class, as the class has it; processes are told its name."""

Arguments = Sequence[tuple[Any, ...]]
"""What each worker's call gets, worker 0's first; there may be fewer than workers."""

_ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if os.name == "posix" else []

AWAKE_S = 0.002
"""How long a worker looks for a message before it sleeps until there is one."""


class Workers(Protocol):
    """Runs a method of an object in several workers at once."""

    def run(self, owner: object, method: Method, arguments: Arguments) -> list[Any]:
        """Return what ``method(owner, index, *arguments[index])`` returns, in order of index."""
        ...


def make_workers(n_workers: int) -> Workers:
    """Return the fastest kind of workers that is safe here."""
    return ForkWorkers(n_workers) if sys.platform == "linux" else ThreadWorkers(n_workers)


class ThreadWorkers:
    """Workers that are threads of this process."""

    def __init__(self, n_workers: int) -> None:
        self._pool = ThreadPoolExecutor(n_workers)

    def run(self, owner: object, method: Method, arguments: Arguments) -> list[Any]:
        """Run a method in all workers; see ``Workers``."""
        indices = range(len(arguments))
        return list(self._pool.map(lambda i: _call(owner, method, i, arguments[i]), indices))


class ForkWorkers:
    """Workers that are this process (worker 0) and copies of it.

    They are made at the first call. From then on they see of ``owner`` what lies in shared memory
    and what they are told; other changes stay in this process.
    """

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._others: list[tuple[BaseProcess, Connection]] = []
        # When nobody needs the workers any more, or Python ends, so do they.
        self._finalizer = weakref.finalize(self, _stop, self._others, os.getpid())

    def run(self, owner: object, method: Method, arguments: Arguments) -> list[Any]:
        """Run a method in all workers; see ``Workers``.

        Raises:
            WorkerLost: a worker was stopped from outside.
            TrainingError: a worker could not do its part.
        """
        if not self._others:
            self._start(owner)
        busy = self._others[: len(arguments) - 1]
        try:
            for (_, connection), argument in zip(busy, arguments[1:], strict=True):
                connection.send((method.__name__, argument))
            results = [_call(owner, method, 0, arguments[0])]
            for _, connection in busy:
                result, error = _receive(connection)
                if error:
                    raise TrainingError(f"a training process failed: {error}")
                results.append(result)
        except (OSError, EOFError):
            _stop(self._others, os.getpid())
            raise WorkerLost(
                "a training process was stopped, perhaps for lack of memory; use workers=1 or a "
                "smaller batch"
            ) from None
        except BaseException:
            # Otherwise the next call would read the answers to this one.
            _stop(self._others, os.getpid())
            raise
        return results

    def _start(self, owner: object) -> None:
        fork = multiprocessing.get_context("fork")
        for index in range(1, self._n_workers):
            ours, theirs = fork.Pipe()
            process = fork.Process(target=_serve, args=(owner, index, theirs, ours), daemon=True)
            with warnings.catch_warnings(), _signals_wait():
                # Python warns of forking beside other threads, whose locks the copy could wait for
                # in vain. This copy computes with NumPy and touches nothing else.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            theirs.close()  # so that the end of the worker is the end of the pipe
            self._others.append((process, ours))


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold back what ends a run, so that a new worker does not get it before it can ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _call(owner: object, method: Method, index: int, arguments: tuple[Any, ...]) -> Any:
    """Run a worker's part; what is not finite shows in the result, so NumPy need not warn."""
    with np.errstate(all="ignore"):
        return method(owner, index, *arguments)


def _serve(owner: object, index: int, connection: Connection, other_end: Connection) -> None:
    """Be a worker: run what the pipe says until it ends."""
    # What ends a run is for the process that gives the orders, which finishes its step first; a
    # terminal, ``timeout``, systemd and others send it to the whole group.
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    other_end.close()  # a copy of the other side; held open here, the pipe would never end
    with suppress(OSError, EOFError), threadpool_limits(1, user_api="blas"):
        while True:
            name, arguments = _receive(connection)
            method = getattr(type(owner), name)
            result, error = None, ""
            try:
                result = _call(owner, method, index, arguments)
            except Exception as exception:
                error = f"{type(exception).__name__}: {exception}"
            connection.send((result, error))


def _receive(connection: Connection) -> Any:
    """Return the next message. Wait for it awake for a moment, then asleep.

    An order and its answer take half as long this way (0.08 against 0.16 ms), and a step has three.
    In the meantime the processor is offered to whoever else wants it.
    """
    messages = select.poll()
    messages.register(connection)
    deadline = time.perf_counter() + AWAKE_S
    while time.perf_counter() < deadline and not messages.poll(0):
        os.sched_yield()
    return connection.recv()


def _stop(others: list[tuple[BaseProcess, Connection]], pid: int) -> None:
    """End the workers, whatever they are doing, if this process (``pid``) made them.

    A later fork has a copy of the list, which means nothing there.
    """
    if os.getpid() != pid:
        return
    for process, connection in others:
        connection.close()
        process.kill()
        process.join()
    others.clear()
