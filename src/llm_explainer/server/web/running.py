"""The server under the service: it waits for nobody too long, and ends in order.

Waiting for a request's head, for its body, or for who reads an answer has an end: whoever opens
connections and does nothing would have them all otherwise. The body's is in ``bodies``, the head's
and the answer's are here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from llm_explainer.errors import ConfigError
from llm_explainer.server.web.safety import MOST_HEAD_BYTES

HEAD_S = 10.0
"""Seconds in which the head of a request has to be there, from its connection's beginning."""

TAKE_S = 30.0
"""Seconds in which some of a long answer has to be taken."""

KEEP_ALIVE_S = 30
MOST_CONNECTIONS = 512


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn has it, for as long as patience lasts."""

    _deadline: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        self._watch_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came. A request before the last one's answer ends the connection.

        Uvicorn would stop reading then, and so not hear who leaves.
        """
        cycle = self.cycle
        is_early = self.conn.their_state is h11.DONE and cycle and not cycle.response_complete
        if is_early:
            self.transport.close()
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._wait_no_more()
        elif self._deadline is None:
            self._wait()

    def pause_writing(self) -> None:
        """Begin to watch whether anything is taken of what was sent."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Watch no more."""
        self._watch_no_more()
        super().resume_writing()

    def _watch(self) -> None:
        n_left = self.transport.get_write_buffer_size()

        def judge() -> None:
            if self.transport.get_write_buffer_size() >= n_left:
                self.transport.abort()
            else:
                self._watch()

        self._taking = self.loop.call_later(TAKE_S, judge)

    def _watch_no_more(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def is_no_end(record: logging.LogRecord) -> bool:
    """Return whether a record of uvicorn's says something else than that an answer was ended."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class Server(uvicorn.Server):
    """A server that leaves signals to its caller.

    Args:
        app: the service.
    """

    def __init__(self, app: ASGIApp) -> None:
        logging.getLogger("uvicorn.error").addFilter(is_no_end)
        super().__init__(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield

    def drain(self) -> None:
        """Take no more connections, and end when all requests are answered."""
        self.should_exit = True

    def stop(self) -> None:
        """End now."""
        self.should_exit = self.force_exit = True

    def run_on(self, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
        """Answer until it is told to end; ``ready`` is called when it has begun."""

        async def serve() -> None:
            serving = asyncio.create_task(self.serve([listening]))
            while not self.started and not serving.done():
                await asyncio.sleep(0.01)
            if self.started:
                ready()
            await serving

        asyncio.run(serve())


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; port 0 is a free one.

    Raises:
        ConfigError: it cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it lets two programs listen at one port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(MOST_CONNECTIONS)  # two that have bound at a port find out here
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen at {host}:{port}: {reason}") from None
    return listening
