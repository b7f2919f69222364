"""Requests that nobody should send, as bytes."""

from __future__ import annotations

import json
from typing import Any

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
