"""Requests that nobody should send: none succeeds, none is answered with our code, none hurts."""

from __future__ import annotations

import logging
import socket
import time

import pytest
from hostile_requests import HOSTILE, LEAST, get, http
from served_model import make_model, serving

from llm_explainer.server.web import bodies, running
from llm_explainer.server.web.bodies import MOST_DEPTH, parse_object
from llm_explainer.server.web.problems import Problem


@pytest.fixture(scope="module")
def service():
    with serving({"tiny": make_model()}, max_batch=4, queue=8, send_buffer=1 << 14) as found:
        yield found


@pytest.fixture
def quiet(service, caplog):
    """Nothing is logged as an error, and afterwards all is as it was."""
    asked = {**LEAST, "max_tokens": 8, "seed": 1}
    before = service.post("/v1/completions", **asked)["choices"]
    with caplog.at_level(logging.WARNING):
        yield
    assert service.post("/v1/completions", **asked)["choices"] == before
    bad = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not bad
    assert not [record for record in caplog.records if record.exc_info]


def send(service, *parts: bytes) -> bytes:
    """Send a request in parts; return all that comes back."""
    answer = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR) if parts[-1] == b"" else None
            connection.settimeout(5)
            while data := connection.recv(1 << 16):
                answer += data
                if is_whole(answer):
                    break
        except (ConnectionError, TimeoutError):
            pass  # hung up: an answer too
    return answer


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length:")
    ]
    return bool(end) and bool(lengths) and len(body) >= lengths[0]


def check_refused(answer: bytes) -> None:
    if answer:
        status = int(answer.split()[1])
        assert 400 <= status < 500, answer[:500]
    for word in (b"Traceback", b'File "', b".py", b"site-packages", b"root:", b"\nX-Evil"):
        assert word not in answer


def test_there_are_sixty():
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(name, service, quiet, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    check_refused(send(service, HOSTILE[name]))


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("rebound host", 403),
        ("foreign origin", 403),
        ("request without preflight", 415),
        ("a gigabyte announced", 413),
        ("path up", 404),
        ("length and chunks", 400),
        ("ten thousand headers", 431),
    ],
)
def test_some_are_told_why(name, status, service):
    assert int(send(service, HOSTILE[name]).split()[1]) == status


def test_what_is_nested_too_deeply_is_refused():
    assert parse_object(b'{"a": [[[["b", {}]]]]}')
    for depth in (MOST_DEPTH + 1, 500, 100_000):
        for inside in (b"", b'"x"', b"1"):
            body = b'{"a": ' + b"[" * depth + inside + b"]" * depth + b"}"
            with pytest.raises(Problem, match="nested more than"):
                parse_object(body)


def test_a_long_body_is_refused_before_its_end(service, quiet, monkeypatch):
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    chunk = b"800\r\n" + b" " * 0x800 + b"\r\n"
    head = http(b"", Content_Length="", Transfer_Encoding="chunked")
    assert send(service, head, chunk).startswith(b"HTTP/1.1 413 ")


def test_a_second_head_is_waited_for_as_the_first(service, quiet, monkeypatch):
    monkeypatch.setattr(running, "HEAD_S", 0.3)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(get("/health"))
        answer = b""
        while not is_whole(answer):
            answer += connection.recv(1 << 16)
        connection.sendall(b"GET /health HT")
        assert connection.recv(1 << 16) == b""


def test_a_gigabyte_in_chunks_is_not_read(service, quiet):
    head = http(b"", Content_Length="", Transfer_Encoding="chunked")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = send(service, head, *[chunk] * 400)
    check_refused(answer)


@pytest.mark.parametrize(
    "parts",
    [(b"",), (b"POST /v1/comp",), (http()[:60],), (http()[:-5],)],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_who_sends_slowly_is_left(parts, service, quiet, monkeypatch):
    monkeypatch.setattr(running, "HEAD_S", 0.2)
    monkeypatch.setattr(bodies, "BODY_S", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while data := connection.recv(1 << 16):  # ends, as the connection does
            answer += data
    assert not answer or b"408" in answer.splitlines()[0]


def test_a_head_that_drips_is_no_reason_to_wait_longer(service, quiet, monkeypatch):
    monkeypatch.setattr(running, "HEAD_S", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:

        def drip() -> None:
            for byte in get("/health", "X: " + "a" * 1000):
                connection.sendall(bytes([byte]))
                time.sleep(0.02)

        with pytest.raises(ConnectionError):
            drip()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_who_does_not_take_an_answer_has_lost_it(stream, service, quiet, monkeypatch):
    monkeypatch.setattr(running, "TAKE_S", 0.2)
    asked = {"prompt": ["Z" * 240] * 8, "echo": True, "logprobs": 20, "max_tokens": 0}
    connections = service.server.server_state.connections
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(http({**LEAST, **asked, "stream": stream}))
        assert connection.recv(1)
        deadline = time.monotonic() + 20
        while connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_words_of_templates_in_a_message_are_words(service, quiet):
    said = "{{ 7 * 7 }}{% for x in range(10**9) %}{% endfor %}{{ ''.__class__.__mro__ }}"
    messages = [{"role": "user", "content": said}]
    tokens = service.post("/tokenize", messages=messages)["tokens"]
    assert service.post("/detokenize", tokens=tokens)["prompt"] == f"User: {said}\nAssistant:"
