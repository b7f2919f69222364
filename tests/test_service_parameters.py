"""Every parameter is honoured or refused by name; the page of the docs says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from served_model import make_model, serving

from llm_explainer.server.web.app import Service
from llm_explainer.server.web.parameters import PARAMETERS

DOCS = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}
LEAST = {
    "completions": {"model": "tiny", "prompt": "Once", "max_tokens": 2},
    "chat": {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2},
}
ASKING = {"tools": [{"type": "function"}], "store": True, "logit_bias": {"5": 3}, "n": 2}
ALL = [(each, where) for each in PARAMETERS for where in each.where]
IDS = [f"{each.name} {where}" for each, where in ALL]


@pytest.fixture(scope="module")
def service():
    with serving({"tiny": make_model()}) as found:
        yield found


def test_the_table_of_the_docs_is_that_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|", DOCS, re.MULTILINE)
    known = [
        (
            each.name,
            *(
                "–" if where not in each.where else "refused" if each.refused else "honoured"
                for where in ("completions", "chat")
            ),
        )
        for each in PARAMETERS
    ]
    assert rows == known


def test_the_addresses_of_the_docs_are_those_of_the_service(service):
    rows = re.findall(r"^\| `(GET|POST) (/\S*)` \|", DOCS, re.MULTILINE)
    assert isinstance(service.server.config.app, Service)
    assert sorted(rows) == sorted(service.server.config.app.addresses)


@pytest.mark.parametrize(("parameter", "where"), ALL, ids=IDS)
def test_what_is_refused_is_named_and_what_asks_for_nothing_is_not(parameter, where, service):
    if parameter.refused is None:
        return
    asking = ASKING.get(parameter.name, "yes")
    error = service.refused(ADDRESS[where], **{**LEAST[where], parameter.name: asking})
    assert (error["status"], error["param"]) == (400, parameter.name)
    assert error["code"] == "unsupported_parameter"
    assert error["message"].startswith(f"{parameter.name} is not supported: ")
    for neutral in (None, *parameter.neutral):
        service.post(ADDRESS[where], **{**LEAST[where], parameter.name: neutral})


@pytest.mark.parametrize("where", ADDRESS)
@pytest.mark.parametrize("name", ["temprature", "input", "messages2", "__class__", ""])
def test_what_nobody_knows_is_refused_by_name(name, where, service):
    error = service.refused(ADDRESS[where], **LEAST[where], **{name: 1})
    assert (error["param"], error["code"]) == (name, "unknown_parameter")


WRONG = {
    "model": [None, 3, ["tiny"]],
    "prompt": [None, 3, [], [[]], ["a", 3], [1.5], [True], {"a": 1}, [[1], "b", [[2]]]],
    "messages": [None, [], "hi", [3], [{"role": "user"}], [{"role": "tool", "content": "x"}]],
    "max_tokens": [-1, 1.5, "3", True, 1 << 40],
    "max_completion_tokens": [0, "3"],
    "temperature": [-0.1, 2.1, "hot", True],
    "top_p": [-1, 0, 1.5, "x"],
    "top_k": [0, 1.5, -4],
    "min_p": [-0.1, 2],
    "repetition_penalty": [0, -1, "x"],
    "seed": [-1, 1.5, "x", 1 << 64],
    "n": [0, -1, 1000, 1.5, "2"],
    "stop": [3, [""], "", ["a"] * 17, [None], {}],
    "stream": ["true", 1, "yes"],
    "stream_options": [{"include_usage": True}, 3, []],
    "echo": ["no", 1],
    "logprobs": [-1, 21, "x"],
    "top_logprobs": [3, -1, 21],
    "user": [3, []],
    "safety_identifier": [3],
    "prompt_cache_key": [3],
}


def test_each_that_is_honoured_has_values_that_cannot_be():
    assert {each.name for each in PARAMETERS if each.refused is None} == WRONG.keys()


@pytest.mark.parametrize(("parameter", "where"), ALL, ids=IDS)
def test_a_value_that_cannot_be_is_refused_with_its_name(parameter, where, service):
    for value in WRONG.get(parameter.name, []):
        asked = {**LEAST[where], parameter.name: value}
        if parameter.name == "max_completion_tokens":
            del asked["max_tokens"]
        error = service.refused(ADDRESS[where], **asked)
        assert error["status"] == 400, value
        assert error["param"].partition("[")[0] == parameter.name, (value, error)


def test_a_message_is_a_role_and_a_text(service):
    def refused(**message):
        return service.refused(ADDRESS["chat"], **{**LEAST["chat"], "messages": [message]})

    assert refused(role="user", content="a", name="Ann")["param"] == "messages[0].name"
    assert refused(role="user", content="a", tool_calls=[{}])["param"] == "messages[0].tool_calls"
    assert refused(role="user", content=[{"type": "image_url"}])["param"] == "messages[0].content"
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": " there"}]
    asked = {**LEAST["chat"], "seed": 1}
    by_parts = {**asked, "messages": [{"role": "user", "content": parts, "name": None}]}
    by_text = {**asked, "messages": [{"role": "user", "content": "Hi there"}]}
    answers = [service.post(ADDRESS["chat"], **each)["choices"] for each in (by_parts, by_text)]
    assert answers[0] == answers[1]


def test_old_and_new_name_of_the_limit_are_one(service):
    asked = {**LEAST["chat"], "max_completion_tokens": 2}
    assert service.refused(ADDRESS["chat"], **asked)["param"] == "max_tokens"
    del asked["max_tokens"]
    usage = service.post(ADDRESS["chat"], **asked)["usage"]
    assert usage["completion_tokens"] <= 2
