"""The client and services that are not ours, break off, or refuse: one line each, no traceback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from command_line import FakeInput, assert_one_line, command_runner

from llm_explainer.commands import client as module
from llm_explainer.commands.client import client
from llm_explainer.commands.serve import KEY_VARIABLE

MODELS = json.dumps({"data": [7, {"id": None}, {"id": "m"}]})
DONE = "data: [DONE]\n\n"


def event(**choice: Any) -> str:
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


class Foreign(BaseHTTPRequestHandler):
    """Answers as it is told: by path, a status and a body."""

    answers: dict[str, tuple[int, str]]
    asked: list[Any]

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(json.loads(body or b"null"))
        status, text = self.answers[self.path]
        if callable(text):
            status, text = text(self.asked[-1])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def foreign(**answers: Any) -> Iterator[tuple[str, list[Any]]]:
    """Serve answers to /v1/models, /v1/completions, ...; yield the address and what was asked."""
    paths = {"models": (200, MODELS), **answers}
    found = {
        ("/tokenize" if name == "tokenize" else f"/v1/{name.replace('_', '/')}"): answer
        for name, answer in paths.items()
    }
    kind = type("Here", (Foreign,), {"answers": found, "asked": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", kind.asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    "address",
    [
        *("", "http://", "http://.", "http://a..b", "http://a b", "http://[::1", "http://h:99999"),
        *("http://h/?key=x", "http://h#x", "http://h/é", "file:///etc/passwd"),
    ],
)
def test_an_address_that_is_none_is_refused(address, call):
    assert_one_line(call(client, address), "the address is")


def test_a_password_in_an_address_is_not_repeated(call):
    ended = call(client, "http://ann:sesame@127.0.0.1:1")
    assert_one_line(ended, "a name or a password")
    assert "sesame" not in str(ended)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "[]"), "no JSON object"),
        ((200, "<html>"), "no JSON object"),
        ((200, '{"data": null}'), "serves no model"),
        ((200, '{"data": [1, {"id": 2}]}'), "serves no model"),
        ((502, "<html>Bad gateway"), "answers 502"),
        ((401, '{"detail": "Not authenticated"}'), "401: Not authenticated"),
        ((500, '{"error": "broken"}'), "500: broken"),
        ((500, "{}"), "500: it does not say why"),
        ((301, "{}"), "answers 301"),
    ],
)
def test_a_service_that_says_something_else_is_told_in_one_line(answer, said, call):
    with foreign(models=answer) as (url, _):
        assert_one_line(call(client, url), said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (event(text="a"), "broke its answer off"),
        ('{"choices": [{"text": "a"}]}', "broke its answer off"),
        ("data: [1]\n\n", "no JSON object"),
        ('data: {"error": {"message": "no room"}}\n\n', "no room"),
    ],
)
def test_a_stream_that_does_not_end_well_is_an_error(body, said, call):
    with foreign(completions=(200, body)) as (url, _):
        code, out, err = call(client, url, "--prompt=x")
    assert (code, out) == (2, "a\n" if "text" in body and "data" in body else "")
    assert said in err
    assert err.count("\n") == 1


def test_what_is_no_text_in_a_stream_is_read_over(call):
    odd = 'data: {"choices": null}\n\ndata: {"usage": {}}\n\n' + event(index=0) + ": hello\n\n"
    text = odd + event(text="a") + DONE
    chat = odd + event(delta=None) + event(delta={"content": "b"}) + DONE
    with foreign(completions=(200, text), chat_completions=(200, chat)) as (url, _):
        assert call(client, url, "--prompt=x")[:2] == (0, "a\n")
        assert call(client, url, stdin=FakeInput(b"Hi\n"))[:2] == (0, "b\n")


def test_tokens_that_are_none_are_no_tokens(call):
    for answer in ("{}", '{"tokens": [1], "token_strs": []}', '{"tokens": 1, "token_strs": 1}'):
        with foreign(tokenize=(200, answer)) as (url, _):
            assert_one_line(call(client, url, "--tokenize=x"), "what the tokens of a text are")


def test_a_conversation_goes_on_after_a_refusal_and_without_its_oldest_turn(call, monkeypatch):
    def answer(body: Any) -> tuple[int, str]:
        said = [message["content"] for message in body["messages"]]
        if said[-1] == "bad":
            return 400, '{"error": {"message": "not that"}}'
        if len(said) > 4:
            return 400, '{"error": {"message": "long", "code": "context_length_exceeded"}}'
        return 200, event(delta={"content": "yes"}) + DONE

    lines = iter(["one", "bad", "two", "three"])
    monkeypatch.setattr(module, "typed_lines", lambda: lines)
    with foreign(chat_completions=(200, answer)) as (url, asked):
        code, out, err = call(client, url, "--system=Be kind.", stdin=FakeInput(terminal=True))
    assert (code, out) == (0, "yes\n" * 3)
    assert "400: not that" in err
    assert "its oldest turn is left out" in err
    said = [message["content"] for message in asked[-1]["messages"]]
    assert said == ["Be kind.", "two", "yes", "three"]
