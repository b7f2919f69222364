"""From what is asked to an answer: at once, or as a stream of events; nothing for who has left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from llm_explainer.server.engine import Engine
from llm_explainer.server.requests import Piece
from llm_explainer.server.ticket import Ticket
from llm_explainer.server.web.asking import Asked
from llm_explainer.server.web.problems import problem_of

SILENCE_S = 15.0
"""Seconds after which a stream says that it is still there, so that nobody hangs up on it."""


class Answer:
    """The answer to a request; an ASGI app.

    Args:
        asked: what is wanted; the engine has it from now on.
        engine: who makes the texts.

    Raises:
        QueueFull, EngineClosed, GenerationError: it takes none of them.
    """

    def __init__(self, asked: Asked, engine: Engine) -> None:
        self._asked = asked
        self._tickets: list[Ticket] = []
        self._n_made = 0
        try:
            for choice in asked.choices:
                ticket = engine.submit(choice.completion, asked.model)
                ticket.waits_for_all = not asked.stream
                self._tickets.append(ticket)
        except BaseException:
            self._cancel()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or stop when the client leaves."""
        try:
            async with hearing_who_leaves(receive, self._cancel):
                if self._asked.stream:
                    await self._stream(send)
                else:
                    await self._whole(scope, receive, send)
        finally:  # whatever ended it: no text goes on that nobody will read
            self._cancel()

    def _cancel(self) -> None:
        for ticket in self._tickets:
            ticket.cancel()

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async for place, piece in _merged(self._tickets):
                if piece is not None:
                    self._count(piece)
                    self._asked.choices[place].add(piece)
        except Exception as error:
            await problem_of(error).response()(scope, receive, send)
            return
        if any(ticket.cancelled for ticket in self._tickets):
            return  # there is nobody
        asked = self._asked
        body = asked.frame([choice.whole() for choice in asked.choices], chunk=False)
        body["usage"] = asked.usage(self._n_made)
        await JSONResponse(body)(scope, receive, send)

    async def _stream(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for event in self._events():
            data = event.encode()
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[str]:
        """Yield the events of a stream, each with the empty line that ends it."""
        for choice in self._asked.choices:
            for opening in choice.opening():
                yield self._chunk(opening)
        try:
            async for place, piece in _merged(self._tickets):
                if piece is None:
                    yield ": still at it\n\n"
                    continue
                self._count(piece)
                for part in self._asked.choices[place].add(piece):
                    yield self._chunk(part)
        except Exception as error:  # the answer has begun: what went wrong is its last event
            yield _event(problem_of(error).body())
            return
        if any(ticket.cancelled for ticket in self._tickets):
            return
        if self._asked.include_usage:
            frame = self._asked.frame([], chunk=True)
            yield _event({**frame, "usage": self._asked.usage(self._n_made)})
        yield "data: [DONE]\n\n"

    def _chunk(self, choice: dict[str, Any]) -> str:
        frame = self._asked.frame([choice], chunk=True)
        return _event({**frame, "usage": None} if self._asked.include_usage else frame)

    def _count(self, piece: Piece) -> None:
        if not piece.is_prompt:
            self._n_made += len(piece.ids)


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


@asynccontextmanager
async def hearing_who_leaves(receive: Receive, cancel: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``cancel`` as soon as the client leaves, within the block."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        cancel()

    listener = asyncio.create_task(listen())
    try:
        yield
    finally:
        listener.cancel()


async def _merged(tickets: Sequence[Ticket]) -> AsyncIterator[tuple[int, Piece | None]]:
    """Yield the pieces of several texts as they come, with their places; None after a silence."""
    came: asyncio.Queue[tuple[int, Piece | Exception | None]] = asyncio.Queue()

    async def pump(place: int, ticket: Ticket) -> None:
        # Many pieces may come at a time: none of them waits for its turn in the event loop.
        try:
            async for piece in ticket:
                came.put_nowait((place, piece))
        except Exception as error:
            came.put_nowait((place, error))
        came.put_nowait((place, None))

    pumps = [asyncio.create_task(pump(*each)) for each in enumerate(tickets)]
    left = len(pumps)
    try:
        while left:
            try:
                async with asyncio.timeout(SILENCE_S):
                    place, piece = await came.get()
            except TimeoutError:
                yield 0, None
                continue
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                left -= 1
            else:
                yield place, piece
    finally:
        for task in pumps:
            task.cancel()
