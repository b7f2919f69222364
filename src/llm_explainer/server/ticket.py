"""What a caller holds of a request: the pieces of its text as they come, and the way to end it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from llm_explainer.server.requests import Completion, Piece

PATIENCE_S = 0.02
"""A reader is woken no more often than that: where tokens come faster, to wake it for each would
take as long as the token."""


class Ticket(Iterator[Piece], AsyncIterator[Piece]):
    """The pieces of one text: iterate over them with ``for`` in a thread, or ``async for``.

    The model's thread never waits for a reader. An error that ended the text is raised where the
    next piece would have come. One reader at a time.

    Attributes:
        completion: what was asked.
        model_name: of whom.
        submitted_at: when, by ``time.monotonic``.
        ended: whether no more pieces come, for one of these three reasons.
        finished: the text is whole.
        cancelled: nobody wanted the rest.
        error: what went wrong; None for nothing.
        waits_for_all: whether its reader is woken at the end alone, as one who wants the text as a
            whole; it may be set at any time.
    """

    def __init__(
        self, completion: Completion, model_name: str, on_cancel: Callable[[Ticket], None]
    ) -> None:
        self.completion = completion
        self.model_name = model_name
        self._on_cancel = on_cancel
        self._pieces: deque[Piece] = deque()
        self.submitted_at = time.monotonic()
        self.error: Exception | None = None
        self.ended = self.finished = self.cancelled = False
        self.waits_for_all = False
        self._changed = threading.Condition()
        self._woken_at = -math.inf
        self._wake: Callable[[], object] | None = None  # a reader in an event loop

    def cancel(self) -> None:
        """End the text wherever it is: waiting, in its prompt, or going on. From any thread."""
        with self._changed:
            if self.ended:
                return
            self.ended = self.cancelled = True
            self._pieces.clear()
        self._notify()
        self._on_cancel(self)

    def put(self, piece: Piece) -> None:
        """Hand a piece over; one with a ``finish_reason`` is the last. For the engine."""
        with self._changed:
            if self.ended:
                return
            self._pieces.append(piece)
            self.ended = self.finished = piece.finish_reason is not None
            now = time.monotonic()
            is_due = not self.waits_for_all and now - self._woken_at >= PATIENCE_S
            is_due = is_due or self.ended
        if is_due:
            self._woken_at = now
            self._notify()

    def end(self, error: Exception) -> None:
        """Say that no more pieces come, and why. For the engine."""
        with self._changed:
            if self.ended:
                return
            self.ended, self.error = True, error
        self._notify()

    def __iter__(self) -> Ticket:
        return self

    def __next__(self) -> Piece:
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self.ended)
            piece = self._take()
        if piece is None:
            raise StopIteration
        return piece

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> Piece:
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._pieces or self.ended:
                    piece = self._take()
                    break
                came = asyncio.Event()
                self._wake = partial(loop.call_soon_threadsafe, came.set)
            await came.wait()
        if piece is None:
            raise StopAsyncIteration
        return piece

    def _take(self) -> Piece | None:
        """Return the next piece, None behind the last; raise the error that ended the text."""
        if self._pieces:
            return self._pieces.popleft()
        if self.error is not None:
            raise self.error
        return None

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
            wake, self._wake = self._wake, None
        if wake is not None:
            try:
                wake()
            except RuntimeError:  # the reader's event loop is closed: nobody reads on
                self.cancel()
