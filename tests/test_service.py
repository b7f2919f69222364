"""The service's answers: in OpenAI's shape, whole or streamed the same, scored as the loss is."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from served_model import Address, make_model, serving

from llm_explainer.server.web.logprobs import token_text
from llm_explainer.server.web.page import page_response
from llm_explainer.tracing import attribute, lens, trace

TEXTS = ["Once there was", "é — 日本 🦊", "a\x00b", "She said: “no”.", "<|endoftext|>Once", "Z"]


@pytest.fixture(scope="module")
def service():
    with serving({"tiny": make_model(), "other": make_model(seed=1)}) as found:
        yield found


@pytest.fixture(scope="module")
def model():
    return make_model()


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


def test_models_are_listed_and_chosen_by_name(service):
    _, answer, _ = service.ask("GET", "/v1/models")
    assert [each["id"] for each in answer["data"]] == ["tiny", "other"]
    asked = {"prompt": "Once", "max_tokens": 12, "seed": 1}
    texts = {
        name: service.post("/v1/completions", model=name, **asked)["choices"][0]["text"]
        for name in ("tiny", "other")
    }
    assert texts["tiny"] != texts["other"]
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize"):
        error = service.refused(path, model="../tiny", prompt="a", messages=turns("a"))
        assert (error["status"], error["param"]) == (404, "model") or error["status"] == 400


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("stop", [None, ["e", "\u65e5"]])
def test_streamed_text_is_unstreamed_text(text, seed, stop, service):
    asked = {"model": "tiny", "prompt": text, "max_tokens": 20, "seed": seed, "stop": stop}
    asked = {**asked, "logprobs": 2, "echo": bool(seed), "n": 2}
    whole = service.post("/v1/completions", **asked)
    *events, last = service.events(
        "/v1/completions", **asked, stream_options={"include_usage": True}
    )
    assert last == "[DONE]"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"] == whole["usage"]
    assert all(event["usage"] is None for event in events[:-1])
    for choice in whole["choices"]:
        parts = [
            part
            for event in events
            for part in event["choices"]
            if part["index"] == choice["index"]
        ]
        assert "".join(part["text"] for part in parts) == choice["text"]
        reasons = [part["finish_reason"] for part in parts]
        assert reasons[-1] == choice["finish_reason"] in ("stop", "length")
        assert set(reasons[:-1]) <= {None}
        for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
            joined = [entry for part in parts for entry in part["logprobs"][name]]
            assert joined == choice["logprobs"][name]
        assert not stop or not any(each in choice["text"][len(text) :] for each in stop)


@pytest.mark.parametrize("seed", range(6))
def test_a_streamed_chat_is_an_unstreamed_one(seed, service):
    asked = {"model": "tiny", "messages": turns("Who sang?"), "max_tokens": 12, "seed": seed}
    asked = {**asked, "logprobs": True, "top_logprobs": 2}
    whole = service.post("/v1/chat/completions", **asked)["choices"][0]
    *events, last = service.events("/v1/chat/completions", **asked)
    assert last == "[DONE]"
    parts = [event["choices"][0] for event in events]
    assert parts[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert parts[-1]["delta"] == {}
    assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + [
        whole["finish_reason"]
    ]
    said = "".join(part["delta"].get("content", "") for part in parts)
    assert said == whole["message"]["content"]
    scores = [entry for part in parts if part["logprobs"] for entry in part["logprobs"]["content"]]
    assert scores == whole["logprobs"]["content"]
    assert all(len(entry["top_logprobs"]) == 2 for entry in scores)


def test_echoed_prompts_are_scored_as_the_loss_has_it(service, model):
    gpt, tokenizer = model
    texts = [text * 3 for text in TEXTS if text != "Z"]
    asked = {"model": "tiny", "prompt": texts, "max_tokens": 0, "echo": True, "logprobs": 1}
    for text, choice in zip(
        texts, service.post("/v1/completions", **asked)["choices"], strict=True
    ):
        assert choice["text"] == text
        scores = choice["logprobs"]
        ids = np.array([tokenizer.encode(text)])
        assert len(scores["tokens"]) == ids.size
        assert scores["token_logprobs"][0] is None
        loss, _ = gpt.loss_and_grads(ids[:, :-1], ids[:, 1:])
        mean = -sum(scores["token_logprobs"][1:]) / (ids.size - 1)
        assert mean == pytest.approx(float(loss), abs=1e-5)
        assert scores["text_offset"][0] == 0
        assert all(a <= b <= len(text) for a, b in pairwise(scores["text_offset"]))
        by_ids = service.post("/v1/completions", **{**asked, "prompt": ids[0].tolist()})
        assert by_ids["choices"][0]["logprobs"]["token_logprobs"] == scores["token_logprobs"]


def test_seeds_numbers_of_texts_and_lists_of_prompts(service):
    asked = {"model": "tiny", "max_tokens": 15, "seed": 3}
    one = service.post("/v1/completions", **asked, prompt="Once", n=3)
    texts = [choice["text"] for choice in one["choices"]]
    assert len(set(texts)) == 3
    assert service.post("/v1/completions", **asked, prompt="Once")["choices"][0]["text"] == texts[0]
    two = service.post("/v1/completions", **asked, prompt=["She", "Once"], n=2)
    assert [choice["index"] for choice in two["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in two["choices"]][2:] == texts[:2]
    assert two["usage"]["completion_tokens"] <= 60
    unseeded = {
        service.post("/v1/completions", model="tiny", prompt="Once")["choices"][0]["text"]
        for _ in range(4)
    }
    assert len(unseeded) > 1


def test_an_empty_prompt_starts_a_text_and_a_long_one_is_refused(service):
    empty = service.post("/v1/completions", model="tiny", prompt="", max_tokens=3, echo=True)
    assert empty["usage"]["prompt_tokens"] == 1
    assert "<|endoftext|>" not in empty["choices"][0]["text"]
    error = service.refused("/v1/completions", model="tiny", prompt="Z" * 300)
    assert (error["param"], error["code"]) == ("prompt", "context_length_exceeded")
    whole = service.post("/v1/completions", model="tiny", prompt="Z" * 250, max_tokens=50)
    assert whole["usage"]["total_tokens"] <= 257
    assert whole["choices"][0]["finish_reason"] in ("length", "stop")


def test_a_model_without_a_template_says_how_to_get_one():
    gpt, tokenizer = make_model()
    tokenizer.chat_template = None
    with serving({"tiny": (gpt, tokenizer)}) as service:
        error = service.refused("/v1/chat/completions", model="tiny", messages=turns("a"))
        assert error["code"] == "no_chat_template"
        assert "records with messages" in error["message"]
        assert not service.ask("GET", "/v1/models")[1]["data"][0]["chat"]


def test_tokens_there_and_back(service, model):
    _, tokenizer = model
    for text in TEXTS:
        found = service.post("/tokenize", prompt=text)
        assert found["tokens"] == tokenizer.encode(text)
        assert found["count"] == len(found["token_strs"]) == len(found["tokens"])
        assert service.post("/detokenize", tokens=found["tokens"]) == {"prompt": text}
    assert token_text(tokenizer, tokenizer.end_of_text) == "<|endoftext|>"
    chat = service.post("/tokenize", messages=turns("Hi"))
    assert service.post("/detokenize", tokens=chat["tokens"])["prompt"] == "User: Hi\nAssistant:"
    _, info, _ = service.ask("GET", "/tokenizer_info")
    assert info["eos_token"] == "<|endoftext|>"
    assert "messages" in info["chat_template"]


def test_explanations_are_those_of_a_trace(service, model):
    gpt, tokenizer = model
    text = "Once there was"
    traced = trace(gpt, tokenizer, text)
    found = service.post("/v1/explain", model="tiny", prompt=text, top=3)
    assert found["tokens"] == traced.ids.tolist()
    assert found["losses"] == [None, *traced.losses.tolist()]
    assert found["loss"] == traced.loss
    seen = lens(traced, top=3)
    assert found["lens"]["rows"] == list(seen.rows)
    assert found["lens"]["tokens"] == seen.tokens.tolist()
    assert found["lens"]["probabilities"] == seen.probabilities.tolist()
    assert np.shape(found["lens"]["token_strs"]) == seen.tokens.shape
    parts = found["attribution"]["parts"]
    assert sum(parts.values()) == pytest.approx(found["attribution"]["logit"], abs=1e-4)
    chosen = {"position": 1, "token": 40, "against": 41}
    found = service.post("/v1/explain", model="tiny", prompt=traced.ids.tolist(), **chosen)
    split = attribute(traced, 1, 40, against=41)
    assert found["attribution"]["parts"] == dict(zip(split.names, split.values, strict=True))
    for wrong in ({"position": 50}, {"token": 300}, {"against": -1}, {"prompt": ["a", "b"]}):
        asked = {"model": "tiny", "prompt": text, **wrong}
        assert service.refused("/v1/explain", **asked)["param"] == next(iter(wrong))


def test_a_full_queue_says_when_to_come_again():
    with serving({"tiny": make_model()}, max_batch=1, queue=1, most_texts=4) as service:
        error = service.refused("/v1/completions", model="tiny", prompt=["a", "b", "c", "d"])
        assert (error["status"], error["code"]) == (503, "queue_full")
        status, _, headers = service.ask(
            "POST", "/v1/completions", {"model": "tiny", "prompt": ["a", "b", "c", "d"]}
        )
        assert status == 503
        assert int(headers["retry-after"]) > 0
        wait_until_idle(service)
        assert service.post("/v1/completions", model="tiny", prompt="a", max_tokens=1)


def wait_until_idle(service: Address) -> None:
    deadline = time.monotonic() + 20
    while (stats := service.engine.stats()).running or stats.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_figures_are_for_prometheus(service):
    _, text, headers = service.ask("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    assert values["llm_explainer_made_tokens_total"] > 0
    assert values['llm_explainer_http_answers_total{address="/v1/models",status="200"}'] > 0


def test_the_page_asks_nobody_else(service):
    status, page, headers = service.ask("GET", "/")
    assert status == 200
    assert page.encode() == page_response().body
    assert "http" not in page.replace("http-equiv", "")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for word in ("innerHTML", "document.write", "eval("):
        assert word not in page
