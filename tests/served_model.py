"""A tiny model behind a real server on this machine, for tests of the service."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from small_models import LLAMA, random_model

from llm_explainer.config import ModelConfig
from llm_explainer.server.engine import Engine
from llm_explainer.server.web.app import Service
from llm_explainer.server.web.running import Server, listen
from llm_explainer.server.web.safety import Rules
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate

TEXTS = ["Once there was a shy fox named Ella. She lived by the river. é — 日本 🦊 " * 20]


def make_tokenizer() -> BPETokenizer:
    return BPETokenizer.train(TEXTS, vocab_size=300)


def make_model(context_length: int = 256, seed: int = 0) -> tuple[Any, BPETokenizer]:
    """A model of random weights that knows conversations."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = ChatTemplate()
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        context_length=context_length,
        d_model=16,
        n_layers=1,
        n_heads=4,
        d_ff=24,
        **LLAMA,
    )
    return random_model(config, "float32", seed), tokenizer


class Address:
    """Where a service is, and how to ask it."""

    def __init__(self, port: int, engine: Engine, server: Server) -> None:
        self.port, self.engine, self.server = port, engine, server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body (taken apart where it is JSON) and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {**sent, **(headers or {})})
        response = connection.getresponse()
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        if found.get("content-type", "").startswith("application/json"):
            return response.status, json.loads(content), found
        return response.status, content.decode(), found

    def post(self, path: str, **values: Any) -> Any:
        """Return the answer to a request that has to work."""
        status, answer, _ = self.ask("POST", path, values)
        assert status == 200, answer
        return answer

    def refused(self, path: str, **values: Any) -> dict[str, Any]:
        """Return the error of a request that has to be refused, with its ``status``."""
        status, answer, _ = self.ask("POST", path, values)
        assert status >= 400, answer
        assert answer.keys() == {"error"}
        assert answer["error"].keys() == {"message", "type", "param", "code"}
        assert "\n" not in answer["error"]["message"]
        return {**answer["error"], "status": status}

    def events(self, path: str, **values: Any) -> list[Any]:
        """Return the events of a stream, the last one being "[DONE]"."""
        status, text, headers = self.ask("POST", path, {**values, "stream": True})
        assert status == 200, text
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = [line for line in text.split("\n\n") if line]
        assert all(line.startswith("data: ") for line in lines)
        found = [line.removeprefix("data: ") for line in lines]
        return [each if each == "[DONE]" else json.loads(each) for each in found]


@contextmanager
def serving(
    models: Mapping[str, tuple[Any, Any]],
    rules: Rules | None = None,
    *,
    max_batch: int = 8,
    queue: int = 64,
    most_texts: int | None = None,
    send_buffer: int | None = None,
) -> Iterator[Address]:
    """Serve models at a free port for as long as the block takes."""
    engine = Engine(models, max_batch=max_batch, queue=queue)
    service = Service(engine, rules or Rules(), most_texts or max_batch + queue, created=0)
    server, ready = Server(service), threading.Event()
    with listen("127.0.0.1", 0) as listening:
        if send_buffer:  # of the system, in bytes, which connections inherit
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        thread = threading.Thread(target=server.run_on, args=(listening, ready.set))
        thread.start()
        assert ready.wait(30)
        try:
            yield Address(listening.getsockname()[1], engine, server)
        finally:
            server.stop()
            thread.join(30)
            engine.close(drain=False)
            assert not thread.is_alive()
