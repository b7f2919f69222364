"""The engine: one thread runs every model, and whoever asks gets a ticket."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_explainer.server.batch import Batch
from llm_explainer.server.requests import Completion, EngineClosed, QueueFull
from llm_explainer.server.running_text import RunningText, Served, require_model
from llm_explainer.server.ticket import Ticket
from llm_explainer.tokenizer.base import Tokenizer


class Engine:
    """Continues and scores texts of many who ask at once.

    Args:
        models: by their names, with their tokenizers.
        max_batch: most texts that run at a time.
        queue: most that wait beside them.
    """

    def __init__(
        self, models: Mapping[str, tuple[Any, Tokenizer]], max_batch: int = 8, queue: int = 64
    ) -> None:
        self._served = {name: Served(name, *pair) for name, pair in models.items()}
        self._batches = {name: Batch(served) for name, served in self._served.items()}
        self._max_batch, self._most_waiting = max_batch, queue
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._closing = self._stopping = False
        for served in self._served.values():
            # What a lazy backend has yet to compute can only be computed by this thread.
            np.asarray(served.model.next_logits(np.zeros((1, 1), np.int64)))
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def submit(self, completion: Completion, model_name: str) -> Ticket:
        """Ask for a text; returns at once.

        Raises:
            GenerationError: no such model; ids that it does not know, or too many of them.
            QueueFull: too many wait.
            EngineClosed: after ``close``.
        """
        require_model(self._served, model_name).check(completion.prompt_ids)
        ticket = Ticket(completion, model_name, self._forget)
        with self._changed:
            if self._closing:
                raise EngineClosed("the service is shutting down")
            if len(self._waiting) >= self._most_waiting:
                raise QueueFull(f"{self._most_waiting} requests wait already; try again later")
            self._waiting.append(ticket)
            self._changed.notify_all()
        return ticket

    def close(self, drain: bool = True) -> None:
        """Take no more requests; end when all are answered, or without ``drain`` at once."""
        with self._changed:
            self._closing = True
            self._stopping = self._stopping or not drain
            self._changed.notify_all()
        self._thread.join()

    def _forget(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            self._changed.notify_all()

    def _run(self) -> None:
        """Step by step, until the engine is closed."""
        while self._admit():
            for batch in self._batches.values():
                if len(batch):
                    batch.step()

    def _admit(self) -> bool:
        """Let waiting texts in where there is room; sleep while there is nothing to do."""
        with self._changed:
            while True:
                n_running = sum(map(len, self._batches.values()))
                while self._waiting and n_running < self._max_batch:
                    ticket = self._waiting.popleft()
                    text = RunningText(ticket, self._served[ticket.model_name])
                    self._batches[ticket.model_name].add(text)
                    n_running += 1
                if n_running and not self._stopping:
                    return True
                if self._closing:
                    return False
                self._changed.wait()
