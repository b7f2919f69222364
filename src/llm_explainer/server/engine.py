"""The engine: one thread runs every model, and whoever asks gets a ticket."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from llm_explainer.errors import GenerationError
from llm_explainer.server.batch import Batch
from llm_explainer.server.prefix_cache import PrefixCache
from llm_explainer.server.requests import Completion, EngineClosed, QueueFull
from llm_explainer.server.running_text import RunningText
from llm_explainer.server.served import Served
from llm_explainer.server.stats import Stats
from llm_explainer.server.ticket import Ticket
from llm_explainer.tokenizer.base import Tokenizer

T = TypeVar("T")


class Engine:
    """Continues and scores texts of many who ask at once; close it in the end.

    Args:
        models: by their names, with their tokenizers.
        max_batch: most texts that run at a time.
        queue: most that wait beside them.
        prefix_bytes: most memory that the beginnings of earlier prompts take.
    """

    def __init__(
        self,
        models: Mapping[str, tuple[Any, Tokenizer]],
        max_batch: int = 8,
        queue: int = 64,
        prefix_bytes: int = 1 << 28,
    ) -> None:
        self._stats, self._prefixes = Stats(), PrefixCache(prefix_bytes)
        self._served = {name: Served(name, *pair) for name, pair in models.items()}
        for served in self._served.values():
            served.prepare()
        self._batches = {
            name: Batch(served, self._prefixes, self._stats)
            for name, served in self._served.items()
        }
        self._max_batch, self._most_waiting = max_batch, queue
        self._waiting: deque[Ticket] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._closing = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def served(self) -> Mapping[str, Served]:
        """The models, by their names."""
        return self._served

    def submit(self, completion: Completion, model_name: str) -> Ticket:
        """Ask for a text; returns at once.

        Raises:
            GenerationError: no such model; ids that it does not know, or too many of them.
            QueueFull: too many wait.
            EngineClosed: after ``close``.
        """
        if model_name not in self._served:
            known = ", ".join(self._served)
            raise GenerationError(f"there is no model {model_name!r}; there is {known}")
        self._served[model_name].check(completion.prompt_ids)
        ticket = Ticket(completion, model_name, self._forget)
        with self._changed:
            self._require_open()
            n_running = sum(map(len, self._batches.values()))
            n_free = max(0, self._max_batch - n_running)  # who takes these does not wait
            if len(self._waiting) >= self._most_waiting + n_free:
                self._stats.refused += 1
                raise QueueFull(f"{self._most_waiting} requests wait already; try again later")
            self._waiting.append(ticket)
            self._stats.submitted += 1
            self._changed.notify_all()
        return ticket

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Let the model's thread call a function between two steps: all else of a model is its own.

        Raises:
            EngineClosed: after ``close``.
        """
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)

        with self._changed:
            self._require_open()
            self._calls.append(run)
            self._changed.notify_all()
        return future

    def stats(self) -> Stats:
        """Return the figures as they stand."""
        with self._changed:
            self._stats.waiting = len(self._waiting)
            self._stats.running = sum(map(len, self._batches.values()))
            return dataclasses.replace(self._stats)

    def close(self, drain: bool = True) -> None:
        """Take no more requests, and return when all are answered; without ``drain``, end them.

        May be called again, from another thread too, while it waits: with ``drain=False`` what
        goes on then ends at its next step, with an ``EngineClosed`` on every ticket.
        """
        with self._changed:
            self._closing = True
            self._stopping = self._stopping or not drain
            self._changed.notify_all()
        self._thread.join()

    def _require_open(self) -> None:
        if self._closing:
            raise EngineClosed("the service is shutting down")

    def _forget(self, ticket: Ticket) -> None:
        """Hear that a ticket was cancelled."""
        with self._changed:
            self._stats.cancelled += 1
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            self._changed.notify_all()

    def _run(self) -> None:
        """Step by step, until the engine is closed: the model's thread."""
        while self._goes_on():
            while self._calls:
                self._calls.popleft()()
            for batch in self._batches.values():
                try:
                    batch.step()
                except Exception as error:  # of them all: a text's own is caught before
                    batch.end(error)
        closed = EngineClosed("the service stopped before the text was done")
        for batch in self._batches.values():
            batch.end(closed)
        for ticket in self._waiting:
            ticket.end(closed)
        self._waiting.clear()
        for served in self._served.values():
            served.backend.leave_thread()

    def _goes_on(self) -> bool:
        """Let waiting texts in where there is room, sleep while there is nothing to do.

        Returns False where the engine is to stop.
        """
        with self._changed:
            while not self._stopping:
                n_running = sum(map(len, self._batches.values()))
                while self._waiting and n_running < self._max_batch:
                    self._let_in(self._waiting.popleft())
                    n_running += 1
                if n_running or self._calls:
                    return True
                if self._closing:
                    return False
                self._changed.wait()
        return False

    def _let_in(self, ticket: Ticket) -> None:
        try:
            text = RunningText(ticket, self._served[ticket.model_name])
        except Exception as error:  # a prompt that its tokenizer cannot decode
            ticket.end(error)
        else:
            self._batches[ticket.model_name].add(text)
