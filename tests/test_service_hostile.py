"""Requests that nobody should send: none succeeds, none is answered with our code, none hurts."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import Any

import pytest
from served_model import make_model, serving

from llm_explainer.server.web import bodies, running
from llm_explainer.server.web.bodies import MOST_DEPTH, parse_object
from llm_explainer.server.web.problems import Problem

LEAST = {"model": "tiny", "prompt": "Once", "max_tokens": 1}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
JSON = {"Content-Type": "application/json"}


def http(
    body: Any = None,
    path: str = "/v1/completions",
    host: str | None = "localhost",
    method: str = "POST",
    **headers: str,
) -> bytes:
    """Return a request as bytes; a header's name has _ for -."""
    data = body if isinstance(body, bytes) else json.dumps(LEAST if body is None else body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"Content-Type": "application/json", "Content-Length": str(len(data)), **named}
    lines = [f"{name}: {value}" for name, value in named.items() if value]
    lines += [f"Host: {host}"] if host is not None else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + data


def chat(**values: Any) -> bytes:
    return http({**CHAT, **values}, "/v1/chat/completions")


def text(**values: Any) -> bytes:
    return http({**LEAST, **values})


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


NESTED: Any = "x"
for _ in range(40):
    NESTED = [NESTED]

HOSTILE = {
    # A page elsewhere, whose name now means this machine.
    "rebound host": http(host="evil.example"),
    "rebound host with our port": http(host="evil.example:8000"),
    "host that begins like ours": http(host="localhost.evil.example"),
    "address that begins like ours": http(host="127.0.0.1.evil.example"),
    "host behind a user": http(host="localhost@evil.example"),
    "no host": http(host=None),
    "empty host": http(host=""),
    "two hosts": http(host="localhost\r\nHost: evil.example"),
    "all in the target": http(path="http://evil.example/v1/completions", host="evil.example"),
    "host with a port that is none": http(host="localhost:99999999"),
    # A page of another origin.
    "foreign origin": http(Origin="http://evil.example"),
    "no origin to speak of": http(Origin="null"),
    "our name, another port": http(Origin="http://localhost:1"),
    "origin of a file": http(Origin="file://"),
    "preflight of a foreign origin": http(b"", method="OPTIONS", Origin="http://evil.example"),
    "request without preflight": http(Content_Type="text/plain"),
    "a form": http(b"model=tiny&prompt=a", Content_Type="application/x-www-form-urlencoded"),
    "a form in parts": http(Content_Type="multipart/form-data; boundary=x"),
    "no type": http(Content_Type=""),
    "foreign site, no origin": http(Sec_Fetch_Site="cross-site"),
    # Bodies.
    "a gigabyte announced": http(b"{", Content_Length=str(1 << 30)),
    "length beyond words": http(b"{", Content_Length="9" * 300),
    "negative length": http(b"{}", Content_Length="-5"),
    "two lengths": http(b"{}", Content_Length="2\r\nContent-Length: 3"),
    "length and chunks": http(
        b"34\r\n" + json.dumps(LEAST).encode() + b"\r\n0\r\n\r\n", Transfer_Encoding="chunked"
    ),
    "chunk that is none": http(b"zz\r\n{}\r\n", Content_Length="", Transfer_Encoding="chunked"),
    "deep lists": http(b"[" * 100_000),
    "deep lists inside": http(b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": http(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "lists in a message": chat(messages=[{"role": "user", "content": NESTED}]),
    "nothing": http(b""),
    "null": http(b"null"),
    "a list": http(b"[1]"),
    "half of it": http(b'{"model": "ti'),
    "no number": http(b'{"model": "tiny", "prompt": "a", "temperature": NaN}'),
    "no end": http(b'{"model": "tiny", "prompt": "a", "temperature": 1e999}'),
    "a number without end": http(b'{"model": "tiny", "prompt": "a", "seed": ' + b"9" * 9999 + b"}"),
    "a key twice": http(b'{"model": "tiny", "prompt": "a", "prompt": "b"}'),
    "bad utf-8": http(b'{"model": "tiny", "prompt": "\xff\xfe"}'),
    "overlong utf-8": http(b'{"model": "tiny", "prompt": "\xc0\xae"}'),
    "half a surrogate": http(b'{"model": "tiny", "prompt": "\\ud800"}'),
    "half a surrogate as a key": http(b'{"model": "tiny", "prompt": "a", "\\udfff": 1}'),
    "utf-16": http(json.dumps(LEAST).encode("utf-16")),
    "a mark of the byte order": http(b"\xef\xbb\xbf" + json.dumps(LEAST).encode()),
    # Paths and code where a name should be.
    "path up": text(model="../../../etc/passwd"),
    "path down": text(model="/etc/passwd"),
    "address of a file": text(model="file:///etc/passwd"),
    "name with an end in it": text(model="tiny\x00.safetensors"),
    "name with a header in it": text(model="tiny\r\nX-Evil: 1"),
    "an adapter's path": text(adapter="/tmp/evil"),
    "file above": get("/../../../../etc/passwd"),
    "file above, spelled out": get("/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
    "file above an address": get("/v1/models/../../../etc/passwd"),
    "bytes in the path": get("/%ff%00"),
    "a template of theirs": chat(chat_template="{{ cycler.__init__.__globals__ }}"),
    "settings of a template": chat(chat_template_kwargs={"messages": "x"}),
    "a role that is code": chat(messages=[{"role": "{{ 7 * 7 }}", "content": "x"}]),
    "a role that is a name": chat(messages=[{"role": "__class__", "content": "x"}]),
    "a field that is a name": chat(messages=[{"role": "user", "content": "x", "__init__": "y"}]),
    "a message that is none": chat(messages=["__class__"]),
    "content that is an object": chat(messages=[{"role": "user", "content": {"__html__": "x"}}]),
    # Numbers.
    "id under 0": text(prompt=[-1]),
    "id over all": text(prompt=[1, 300]),
    "id beyond words": text(prompt=[1 << 80]),
    "half an id": text(prompt=[0.5]),
    "id under 0 as text": http({"tokens": [-1]}, "/detokenize"),
    "id over all as text": http({"tokens": [1 << 40]}, "/detokenize"),
    "fewer than no tokens": text(max_tokens=-1),
    "fewer than no texts": text(n=-1),
    "a billion texts": text(n=10**9),
    "ten thousand prompts": text(prompt=["a"] * 10_000),
    "fewer than no alternatives": text(logprobs=-1),
    "a million alternatives": text(logprobs=10**6),
    "ten thousand stops": text(stop=["a"] * 10_000),
    "cold beyond cold": text(temperature=-1),
    # What is no HTTP, or none of ours.
    "a handshake of TLS": b"\x16\x03\x01\x02\x00\x01" + bytes(range(256)) + b"\r\n\r\n",
    "HTTP 0.9": b"GET /\r\n\r\n",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a head of a megabyte": get("/v1/models", "X: " + "a" * (1 << 20)),
    "ten thousand headers": get("/v1/models", *(f"X-{n}: 1" for n in range(10_000))),
    "a header in two lines": get("/v1/models", "X: a", "\tb", "\x00c: d"),
    "a method of theirs": http(method="BREW"),
    "a tunnel": http(path="evil.example:443", method="CONNECT"),
    "a trace": http(method="TRACE"),
    "a socket": get("/v1/completions", "Connection: Upgrade", "Upgrade: websocket"),
    "delete": http(path="/v1/models", method="DELETE"),
}  # fmt: skip


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
