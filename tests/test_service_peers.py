"""Clients of others ask the service: openai, and lm-evaluation-harness.

By hand: ``uv run --group peers-serve pytest tests/test_service_peers.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from served_model import make_model, serving

from llm_explainer.server.web.parameters import PARAMETERS

openai = pytest.importorskip("openai")

pytestmark = pytest.mark.filterwarnings("default")
TURNS = [{"role": "user", "content": "Who sang?"}]
HONOURED = {
    "max_tokens": 5,
    "max_completion_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 20,
    "min_p": 0.05,
    "repetition_penalty": 1.2,
    "seed": 7,
    "n": 2,
    "stop": ["e"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "echo": True,
    "logprobs": 2,
    "top_logprobs": 2,
    "user": "ann",
    "safety_identifier": "ann",
    "prompt_cache_key": "a",
}
OURS = {"top_k", "min_p", "repetition_penalty"}
REFUSED = {
    "best_of": 3,
    "logit_bias": {"5": 1},
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "functions": [{"name": "f"}],
    "modalities": ["audio"],
    "store": True,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "web_search_options": {},
}


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def service():
    with serving({"tiny": make_model()}) as found:
        yield found


@pytest.fixture(scope="module")
def client(service):
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as found:
        yield found


def ask(client, where: str, **values):
    if where == "chat":
        return client.chat.completions.create(model="tiny", messages=TURNS, **values)
    return client.completions.create(model="tiny", prompt="Once", **values)


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.list().data[0].object == "model"


@pytest.mark.parametrize("where", ["completions", "chat"])
@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda each: each.name)
def test_each_parameter_through_openai(parameter, where, client):
    name = parameter.name
    if where not in parameter.where or name in ("model", "prompt", "messages"):
        return
    value = REFUSED.get(name, "yes") if parameter.refused else HONOURED[name]
    values = {name: True if where == "chat" and name == "logprobs" else value}
    values |= {"stream": True} if name == "stream_options" else {}
    values |= {"logprobs": True} if name == "top_logprobs" else {}
    if parameter.refused or name in OURS:
        values = {"extra_body": values}
    if parameter.refused:
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, where, **values)
        assert caught.value.param == name
        assert caught.value.code == "unsupported_parameter"
        return
    limit = {} if name.startswith("max_") else {"max_tokens": 5}
    answer = ask(client, where, **limit, **values)
    if name in ("stream", "stream_options"):
        events = list(answer)
        assert [e.choices[0].finish_reason for e in events if e.choices][-1] in ("stop", "length")
        assert (events[-1].usage is not None) == (name == "stream_options")
    else:
        assert len(answer.choices) == (2 if name == "n" else 1)
        assert answer.usage.completion_tokens <= 10
        if "logprobs" in name:
            assert answer.choices[0].logprobs is not None


def test_errors_are_those_that_openai_raises(client, service):
    with pytest.raises(openai.NotFoundError, match="there is no model"):
        client.completions.create(model="none", prompt="a")
    with pytest.raises(openai.BadRequestError, match="temperature is -1"):
        client.completions.create(model="tiny", prompt="a", temperature=-1)


def test_streams_and_wholes_are_the_same(client):
    for where in ("completions", "chat"):
        whole = ask(client, where, max_tokens=20, seed=3).choices[0]
        pieces = ask(client, where, max_tokens=20, seed=3, stream=True)
        if where == "chat":
            text = "".join(e.choices[0].delta.content or "" for e in pieces)
            assert text == whole.message.content
        else:
            assert "".join(e.choices[0].text for e in pieces) == whole.text


def test_lm_eval_scores_as_the_library_does(service, model, tmp_path: Path):
    """A task of two choices: its accuracy, and each score, are what the model itself says."""
    pytest.importorskip("lm_eval")
    gpt, tokenizer = model
    animals = ["fox", "owl", "bear", "é", "日本", "🦊"]
    rows = [
        {"context": f"Once there was a shy {a}. Who was it? The", "choices": [a, b], "gold": 0}
        for a in animals
        for b in animals
        if a != b
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(
        "task: shy\n"
        "dataset_path: json\n"
        "dataset_kwargs:\n"
        f"  data_files: {{test: {tmp_path}/rows.jsonl}}\n"
        "test_split: test\n"
        "output_type: multiple_choice\n"
        'doc_to_text: "{{context}}"\n'
        "doc_to_target: gold\n"
        'doc_to_choice: "{{choices}}"\n'
        "metric_list:\n  - metric: acc\n"
    )
    url = f"{service.url}/v1/completions"
    words = [
        *("-m", "lm_eval", "--model", "local-completions", "--tasks", "shy"),
        *("--include_path", str(tmp_path), "--output_path", "out", "--log_samples"),
        *("--model_args", f"model=tiny,base_url={url},tokenizer_backend=remote,num_concurrent=4"),
    ]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = (tmp_path / "out").rglob("samples_shy*.jsonl")
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(samples) == len(rows)
    right = []
    for sample in samples:
        row = sample["doc"]
        own = [score(gpt, tokenizer, row["context"], f" {each}") for each in row["choices"]]
        theirs = [float(each[0][0]) for each in sample["resps"]]
        assert theirs == pytest.approx(own, abs=1e-4)
        right.append(own[0] > own[1])
        assert sample["acc"] == float(right[-1])
    (results,) = (tmp_path / "out").rglob("results*.json")
    found = json.loads(results.read_text())["results"]["shy"]["acc,none"]
    assert found == pytest.approx(np.mean(right))


def score(gpt, tokenizer, context: str, answer: str) -> float:
    """Return the log-probability of an answer behind a context, as the model's loss has it."""
    before, ids = tokenizer.encode(context), tokenizer.encode(context + answer)
    tokens = np.array([ids])
    mask = np.zeros((1, len(ids) - 1), bool)
    mask[0, len(before) - 1 :] = True
    loss, _ = gpt.loss_and_grads(tokens[:, :-1], tokens[:, 1:], mask=mask)
    return -float(loss) * mask.sum()
