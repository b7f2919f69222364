"""Clients that leave stop costing and disturb nobody; a service that ends answers first."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from served_model import Address, make_model, serving

from llm_explainer.checkpoint import save_checkpoint
from llm_explainer.server.batch import Batch

STEP_S = 0.004
LONG = {"model": "tiny", "max_tokens": 200, "seed": 1, "repetition_penalty": 1.0}
OTHER = {"prompt": "She", "max_tokens": 60}
PROMPT = "Once there was a shy fox. " * 4


def slow_model():
    """A model that takes its time, so that something can happen in between."""
    model, tokenizer = make_model()
    quick = model.next_logits

    def slow(*arguments, **options):
        time.sleep(STEP_S)
        return quick(*arguments, **options)

    model.next_logits = slow
    tokenizer.roles = type(tokenizer.roles)(None)  # no text ends before it has to
    return model, tokenizer


@pytest.fixture(scope="module")
def alone():
    """The answer to ``OTHER`` with nobody else there: how long a step takes changes no text."""
    model, tokenizer = make_model()
    tokenizer.roles = type(tokenizer.roles)(None)
    with serving({"tiny": (model, tokenizer)}, max_batch=2) as found:
        return found.post("/v1/completions", **{**LONG, **OTHER})


@pytest.fixture
def service():
    with serving({"tiny": slow_model()}, max_batch=2) as found:
        yield found


def until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def counts(service: Address) -> tuple[int, ...]:
    """Return how many texts were submitted, and how each of them ended."""
    stats = service.engine.stats()
    return stats.submitted, stats.finished, stats.cancelled, stats.failed


@contextmanager
def request(
    service: Address, path: str = "/v1/completions", *, values: object = None, **changes: object
) -> Iterator[socket.socket]:
    """Send a request, and hold its connection."""
    body = json.dumps(values or {**LONG, "prompt": PROMPT, **changes}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        yield connection


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("stage", ["waiting", "reading", "writing"])
def test_who_leaves_stops_costing_and_disturbs_nobody(stage, stream, service, alone):
    with request(service, **OTHER) as other:
        if stage == "waiting":
            with request(service, n=2, stream=stream), request(service, stream=stream):
                until(lambda: service.engine.stats().waiting >= 1)
            left = 3
        else:
            with request(service, stream=stream) as connection:
                made = 1 if stage == "reading" else 4
                until(lambda: service.engine.stats().running == 2)
                if stage == "writing":
                    until(lambda: service.engine.stats().first_tokens >= 2)
                    assert not stream or connection.recv(made)
            left = 1
        until(lambda: service.engine.stats().cancelled == left)
        until(lambda: service.engine.stats().running <= 1)
        answer = b""
        while b'"usage"' not in answer:
            answer += other.recv(1 << 16)
    together = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert together["choices"] == alone["choices"]
    until(lambda: counts(service) == (1 + left, 1, left, 0))


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_text_that_fails_ends_the_others_of_its_request(stream, service, monkeypatch):
    read = Batch._read

    def fails(self, text):
        if text.ticket.completion.index == 1:
            raise ZeroDivisionError
        return read(self, text)

    monkeypatch.setattr(Batch, "_read", fails)
    asked = {**LONG, "prompt": "She", "n": 2, "stream": stream}
    status, answer, _ = service.ask("POST", "/v1/completions", asked)
    assert status == (200 if stream else 500)
    assert "the service failed at this request" in str(answer)
    assert "[DONE]" not in str(answer)
    assert "ZeroDivisionError" not in str(answer)
    until(lambda: counts(service) == (2, 0, 1, 1))


def test_a_request_before_the_answer_to_the_last_one_ends_the_connection(service):
    with request(service) as connection:
        until(lambda: service.engine.stats().running == 1)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: service.engine.stats().cancelled == 1)
        assert connection.recv(1) == b""


def test_a_connection_is_used_again(service):
    connection = HTTPConnection("127.0.0.1", service.port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()


def test_draining_answers_what_was_asked(service):
    with request(service, stream=True, max_tokens=30) as connection:
        until(lambda: service.engine.stats().running == 1)
        service.server.drain()
        text = b""
        while data := connection.recv(1 << 16):
            text += data
        assert b"data: [DONE]\n\n" in text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port), timeout=5)
    assert service.engine.stats().finished == 1


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_stopping_waits_for_nobody_and_is_no_error(stream, service, caplog):
    with request(service, stream=stream, max_tokens=200) as connection:
        until(lambda: service.engine.stats().running == 1)
        service.server.stop()
        text = b""
        while data := connection.recv(1 << 16):
            text += data
        assert b"[DONE]" not in text
        assert b'"usage"' not in text
    assert not [record for record in caplog.records if record.exc_info]
    until(lambda: service.engine.stats().running == 0)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *([signal.SIGINT] if os.environ.get("CAMPAIGNS") else [])]
)
def test_a_signal_ends_the_command_in_order(number, tmp_path: Path):
    save_checkpoint(tmp_path / "tiny", *make_model())
    words = ["serve", "tiny", "--port=0", "--backend=numpy"]
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_explainer", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("serving tiny at http://127.0.0.1:"), line + process.stderr.read()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "ending when all that was asked is answered" in errors
