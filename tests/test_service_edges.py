"""Values at the edges of what a request may have, and explanations beside the texts of others."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from served_model import make_model, serving
from test_service_ends import request, until

from llm_explainer.server.web import explaining
from llm_explainer.server.web import tokens as tokens_module
from llm_explainer.server.web.explaining import MOST_WAITING
from llm_explainer.server.web.safety import Rules
from llm_explainer.tracing import threads

LEAST = {"model": "tiny", "prompt": "Once", "max_tokens": 2}
EXPLAIN = {"model": "tiny", "prompt": "Once there"}


@pytest.fixture(scope="module")
def service():
    rules = Rules(origins=frozenset({"http://localhost:3000"}))
    with serving({"tiny": make_model(), "a/b": make_model(seed=1)}, rules, queue=4) as found:
        yield found


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "repetition_penalty"])
def test_a_number_beyond_all_others_is_refused_by_its_name(name, service):
    for value in (10**398, -(10**398)):
        error = service.refused("/v1/completions", **{**LEAST, name: value})
        assert (error["status"], error["param"]) == (400, name)
    for digits in ("1" * 401, "1" * 5000):
        body = f'{{"model": "tiny", "prompt": "a", "{name}": {digits}}}'.encode()
        status, answer, _ = service.ask("POST", "/v1/completions", body)
        assert (status, "more than 400 digits" in answer["error"]["message"]) == (400, True)


def test_what_a_body_is_not_is_said_plainly(service):
    for body, words in {
        b"\xef\xbb\xbf{}": "begins with a mark of the byte order",
        b"null": "is JSON, but no object",
        b'{"model": "tiny"}': "prompt is missing",
    }.items():
        status, answer, _ = service.ask("POST", "/v1/completions", body)
        assert (status, words in answer["error"]["message"]) == (400, True)
    status, answer, _ = service.ask("POST", "/tokenize", b"", {"Content-Encoding": "gzip"})
    assert (status, "'gzip'" in answer["error"]["message"]) == (415, True)


def test_a_model_is_found_by_its_name(service):
    listed = service.ask("GET", "/v1/models")[1]["data"]
    for model in listed:
        assert service.ask("GET", f"/v1/models/{model['id']}")[1] == model
    status, answer, _ = service.ask("GET", "/v1/models/none")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    metrics = service.ask("GET", "/metrics")[1]
    assert 'address="/v1/models/{model}",status="404"} 1' in metrics


def test_what_has_no_effect_is_refused_at_a_tokenizer(service):
    assert service.ask("GET", "/tokenizer_info?model=a/b")[0] == 200
    for query, name in {"models=tiny": "models", "model=tiny&model=a/b": "model"}.items():
        status, answer, _ = service.ask("GET", f"/tokenizer_info?{query}")
        assert (status, answer["error"]["param"]) == (400, name)
    turns = [{"role": "user", "content": "Hi"}]
    for asked in ({"prompt": "a", "add_special_tokens": "no"}, {"messages": turns}):
        error = service.refused("/tokenize", **{"add_special_tokens": False, **asked})
        assert error["param"] == "add_special_tokens"


def test_as_many_texts_as_there_may_be_are_taken(service):
    answer = service.post("/v1/completions", **LEAST, n=12)  # 8 that run, 4 that wait
    assert len(answer["choices"]) == 12
    with serving({"tiny": make_model()}, max_batch=2, queue=0) as found:
        assert len(found.post("/v1/completions", **LEAST, n=2)["choices"]) == 2


def test_the_best_of_as_many_as_there_are_are_all_of_them(service):
    assert len(service.post("/v1/completions", **LEAST, n=2, best_of=2)["choices"]) == 2
    for asked in ({"n": 2, "best_of": 3}, {"best_of": True, "n": 1}):
        assert service.refused("/v1/completions", **LEAST, **asked)["param"] == "best_of"


def test_a_prompt_that_is_there_twice_has_two_texts_unless_a_seed_says_otherwise(service):
    asked = {**LEAST, "prompt": ["Once"] * 3, "max_tokens": 12}
    for seed, n_texts in ((None, 3), (1, 1)):
        choices = service.post("/v1/completions", **asked, seed=seed)["choices"]
        assert len({choice["text"] for choice in choices}) == n_texts


def test_an_allowed_page_may_send_the_headers_of_its_client(service):
    def allowed(names: str) -> str:
        asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Headers": names}
        headers = service.ask("OPTIONS", "/v1/completions", headers=asked)[2]
        return headers["access-control-allow-headers"]

    assert allowed("authorization,x-stainless-lang") == "authorization,x-stainless-lang"
    assert allowed("a b; c") == "Authorization, Content-Type"


def test_a_long_text_is_read_while_others_are_answered(service, monkeypatch):
    begun, goes_on = threading.Event(), threading.Event()

    def encode(*_: object, **__: object) -> list[int]:
        begun.set()
        goes_on.wait(20)
        return []

    monkeypatch.setattr(tokens_module, "encode", encode)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(service.post, "/tokenize", prompt="a")
        assert begun.wait(20)
        assert service.ask("GET", "/health")[0] == 200
        assert not reading.done()
        goes_on.set()
        assert reading.result()["count"] == 0


@pytest.fixture
def held(monkeypatch):
    """Explanations that are begun wait until they are let go; those that were begun."""
    begun, goes_on = [], threading.Event()
    explain = explaining.explain

    def wait(asked, *others):
        begun.append(asked)
        assert goes_on.wait(20)
        return explain(asked, *others)

    monkeypatch.setattr(explaining, "explain", wait)
    yield begun, goes_on
    goes_on.set()


def test_texts_go_on_while_one_is_explained_and_few_wait_for_it(service, held):
    begun, goes_on = held
    explainer = service.server.config.app._explainer
    with ThreadPoolExecutor(MOST_WAITING + 1) as pool:
        asked = [
            pool.submit(service.post, "/v1/explain", **EXPLAIN) for _ in range(MOST_WAITING + 1)
        ]
        until(lambda: begun and explainer._n_asked == MOST_WAITING + 1)
        assert service.post("/v1/completions", **LEAST)["choices"]
        error = service.refused("/v1/explain", **EXPLAIN)
        assert (error["status"], error["code"]) == (503, "queue_full")
        assert len(begun) == 1  # one at a time
        goes_on.set()
        found = [each.result() for each in asked]
    assert all(each == found[0] for each in found)
    assert explainer._n_asked == 0


def test_nothing_is_explained_to_who_has_left(service, held):
    begun, goes_on = held
    explainer = service.server.config.app._explainer
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(service.post, "/v1/explain", **EXPLAIN)
        until(lambda: begun)
        with request(service, "/v1/explain", values=EXPLAIN):
            until(lambda: explainer._n_asked == 2)
        time.sleep(0.05)  # the service hears of it
        goes_on.set()
        assert first.result()["object"] == "explanation"
    until(lambda: explainer._n_asked == 0)
    assert len(begun) == 1


def test_beside_texts_of_others_the_number_of_threads_is_left_alone(monkeypatch):
    limits = []
    monkeypatch.setattr(
        threads, "threadpool_limits", lambda n, **_: limits.append(n) or nullcontext()
    )
    config = make_model()[0].config

    def traced() -> None:
        with threads.threads_for(config):
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(traced).result()
    assert not limits
    traced()
    assert limits == [1]


def test_an_explanation_stops_between_its_parts(service, held, monkeypatch):
    begun, goes_on = held
    parts = []
    monkeypatch.setattr("llm_explainer.tracing.lens", lambda *_, **__: parts.append("lens"))
    with request(service, "/v1/explain", values=EXPLAIN):
        until(lambda: begun)
    time.sleep(0.05)
    goes_on.set()
    until(lambda: service.server.config.app._explainer._n_asked == 0)
    assert not parts


def test_a_streams_scores_have_the_shape_of_a_wholes(service):
    turns = [{"role": "user", "content": "Hi"}]
    asked = {"model": "tiny", "messages": turns, "max_tokens": 3, "logprobs": True, "seed": 1}
    whole = service.post("/v1/chat/completions", **asked)["choices"][0]["logprobs"]
    events = service.events("/v1/chat/completions", **asked)[:-1]
    parts = [each["choices"][0]["logprobs"] for each in events]
    assert {json.dumps(sorted(part)) for part in parts if part} == {json.dumps(sorted(whole))}
