"""Records from a JSONL file: three kinds, and a wrong one is named by its line and the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_explainer.data.records import Conversation, Message, Pair, Passage, read_records
from llm_explainer.errors import CorpusError

CHAT = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "qa.jsonl"


def test_three_kinds_of_records_are_read(file: Path) -> None:
    lines = [
        '{"prompt": "Who?", "completion": " Pip", "id": 7}',
        "",
        CHAT,
        '  {"text": "n\\u00e4ive 🦊\\u2028 one line"}\r',
        '{"prompt": "", "completion": "x"}',
    ]
    file.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    assert read_records(file) == [
        Pair("Who?", " Pip", f"{file}, line 1"),
        Conversation((Message("user", "Hi"), Message("assistant", "Yes")), f"{file}, line 3"),
        Passage("näive 🦊\u2028 one line", f"{file}, line 4"),
        Pair("", "x", f"{file}, line 5"),
    ]


def messages(*turns: object) -> bytes:
    return json.dumps({"messages": list(turns)}).encode()


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "a", "completion": "b"', "is not valid JSON (Expecting ',' delimiter"),
        (b"prompt,completion", "is not valid JSON (Expecting value"),
        (b'\xef\xbb\xbf{"text": "a"}', "is not valid JSON"),
        (b'{"text": "\xe9"}', "is not UTF-8: byte 0xe9 at offset 10"),
        (b'{"text": "a"}'.decode().encode("utf-16"), "is not UTF-8: byte 0xff at offset 0"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'["prompt", "completion"]', "holds a list; it takes a JSON object"),
        (b"3", "holds a number; it takes"),
        (b"null", "holds null; it takes"),
        (b"1" * 5000, "is not valid JSON"),
        (b"{}", "has no keys; it takes prompt and completion, messages, or text"),
        (b'{"question": "a", "answer": "b"}', "has 'question', 'answer'; it takes prompt and"),
        (b'{"prompt": "a"}', "has a prompt and no completion"),
        (b'{"completion": "a"}', "has a completion and no prompt"),
        (b'{"prompt": "a", "completion": "b", "text": "c"}', "prompt and completion and text; it"),
        (b'{"text": "a", "messages": []}', "has messages and text; it takes one kind of record"),
        (b'{"text": "a", "text": "b"}', "has the key 'text' twice"),
        (b'{"text": ""}', "has an empty text; it takes some text"),
        (b'{"text": null}', "has null as text; it takes a text"),
        (b'{"prompt": "a", "completion": " "}', "has an empty completion"),
        (b'{"prompt": ["a"], "completion": "b"}', "has a list as prompt; it takes a text"),
        (b'{"prompt": "a", "completion": true}', "has true or false as completion"),
        (b'{"text": "\\ud800"}', "has half a character (a lone surrogate) in its text"),
        (b'{"text": "a", "tools": [1]}', "has tools, which cannot be learned from"),
        (b'{"messages": []}', "has an empty list as messages; it takes a list of one or more"),
        (b'{"messages": {}}', "has an object as messages"),
        (messages("Hi"), "has a message 1 that is a text; it takes an object with role and"),
        (messages(USER, {"role": "assistant"}), "has a message 2 that has no content"),
        (messages({"content": "a"}), "has a message 1 that has no role"),
        (messages(USER | {"role": "human"}), "has the role 'human'; it takes system, user, ass"),
        (messages(USER | {"role": ["user"]}), "has the role ['user']; it takes"),
        (messages(USER | {"content": [{"type": "text"}]}), "has a list as content; it takes a t"),
        (messages(USER | {"weight": 0}), "has 'weight'; it takes role and content only"),
        (messages({"role": "assistant", "content": ""}), "message 1 that has an empty content"),
    ],
)
def test_a_wrong_record_is_named_by_line_and_reason(file: Path, line: bytes, reason: str) -> None:
    file.write_bytes(b'{"text": "good"}\n\n' + line + b"\n" + CHAT.encode())
    with pytest.raises(CorpusError) as caught:
        read_records(file)
    assert str(caught.value).startswith(f"{file}, line 3 ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_lines_of_other_wrong_records_are_named(file: Path) -> None:
    file.write_text("{\n" + '{"text": "good"}\n' + "[]\n" * 7)
    with pytest.raises(
        CorpusError, match=r"line 1 is not valid JSON .*; 7 more lines are wrong: "
    ) as e:
        read_records(file)
    assert str(e.value).endswith("3, 4, 5, 6, 7, ...")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty; it takes"), (b"\n \n", "is empty; it takes"), (None, "No such file")],
)
def test_a_file_without_records_is_refused(file: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_records(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cannot read .*: Is a directory; it takes a JSONL file"):
        read_records(tmp_path)
    with pytest.raises(CorpusError, match="cannot read"):
        read_records("a\0b")
    with pytest.raises(CorpusError, match="line 1 is longer than 64 MiB"):
        read_records("/dev/zero")


KEYS = st.sampled_from(
    ["prompt", "completion", "messages", "text", "role", "content", "user", "x\x1b"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
LINES = st.one_of(
    st.binary(max_size=30),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(KEYS, JSON, max_size=3).map(lambda value: json.dumps(value).encode()),
)


@given(st.lists(LINES, max_size=3).map(b"\n".join))
@example(CHAT.encode())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_bytes_are_too_strange_to_read(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        assert read_records(file)
    except CorpusError as error:
        message = str(error)
    else:
        message = ""
    assert not re.search("[\x00-\x1f]", message)
