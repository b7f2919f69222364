"""What the page holds of the way back, of a run's history, and of two models side by side."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import LLAMA, random_model, small_config
from small_pages import from_base85
from small_traces import TOKENIZER, traced
from test_trainer import change, make_trainer

from llm_explainer import load_checkpoint
from llm_explainer.errors import GenerationError
from llm_explainer.explorer import explore
from llm_explainer.explorer.backward import put_backward
from llm_explainer.explorer.content import Content
from llm_explainer.explorer.history import put_history
from llm_explainer.explorer.pair import put_pair
from llm_explainer.tracing import moments, take_step, trace
from llm_explainer.tree import flatten


def arrays(content: Content) -> dict[str, Any]:
    """Return what was put, by name; packing it must work too."""
    assert content.packed()
    return {name: array for name, (array, _) in content._arrays.items()}


@pytest.mark.parametrize("changes", [{}, LLAMA], ids=["gpt2", "llama"])
def test_the_way_back(changes: dict[str, Any]) -> None:
    _, found = traced({**changes, "n_layers": 2})
    content, step = Content(), take_step(found, top=3)
    put_backward(content, found, step)
    facts, put = content.facts["backward"], arrays(content)
    names = [node["name"] for node in facts["nodes"]]
    assert names == list(found.gradients)[::-1]
    for name, lengths in zip(names, put["backward/lengths"], strict=True):
        gradient = found.gradients[name]
        at_2 = gradient[..., 2, :].ravel()
        assert lengths[2] == pytest.approx(float(np.linalg.norm(at_2)), rel=1e-9)
    ways = [(node["name"], term) for node in facts["nodes"] for term in node["terms"]]
    assert len(ways) == len(put["backward/ways"])
    # What is added has two ways back, and one of them is whole.
    direct = [name for name, _ in ways].index("embeddings")
    np.testing.assert_allclose(
        put["backward/ways"][direct], put["backward/lengths"][names.index("blocks.0.residual")]
    )
    assert {term["rule"] for _, term in ways} <= facts["rules"].keys()
    assert facts["rules"]["linear"]["file"] == "plain/layers.py"
    gradients = flatten(found.parameter_gradients)
    for parameter in facts["parameters"]:
        length = float(np.linalg.norm(gradients[parameter["name"]]))
        assert parameter["length"] == pytest.approx(length, rel=1e-9)
    assert put["backward/before"].shape == (5,)
    assert put["backward/after"][1] == step.after[1, found.ids[2]]
    assert put["backward/likely"][3, 0] == step.before[3].argmax()
    assert put["backward/after_of"][3, 0] == step.after[3, step.before[3].argmax()]
    assert len(facts["step"]["largest"]) == 3


def test_history(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path, change(keep_milestones=2, steps=3, eval_every=0))
    trainer.train()
    found = moments(tmp_path, "lazy dog")
    content = Content()
    put_history(content, found)
    facts, put = content.facts["history"], arrays(content)
    assert facts["steps"] == [0, 1, 3]
    assert put["history/losses"].shape == (3, 7)
    assert put["history/attention"].shape == (3, 1, 2, 8, 8)
    assert put["history/ranks"].shape == (3, 2, 8)
    weights = found[1].attention
    error = np.abs(put["history/attention"][1] - weights)
    assert (error <= weights.max(-1, keepdims=True) / 21).all()
    assert len(np.unique(put["history/attention"][1, 0, 0, 7])) <= 12
    np.testing.assert_array_equal(put["history/tokens"][2, -1], found[2].lens.tokens[-1, :, 0])
    assert facts["samples"][2] == found[2].sample
    assert facts["continued"][2] == found[2].continued


def test_two_models_on_one_text() -> None:
    one, other = (random_model(small_config(n_layers=n), seed=n) for n in (1, 2))
    traces = [trace(model, TOKENIZER, "abcde", dtype="float64") for model in (one, other)]
    content = Content()
    put_pair(content, *traces, ("small", "large"))
    facts, put = content.facts["pair"], arrays(content)
    assert facts["names"] == ("small", "large")
    assert (facts["one"]["layers"], facts["other"]["layers"]) == (1, 2)
    assert facts["other"]["loss"] == traces[1].loss
    p, q = (found.probabilities for found in traces)
    np.testing.assert_allclose(put["pair/divergence"], (p * np.log(p / q)).sum(-1), rtol=1e-9)
    np.testing.assert_array_equal(put["pair/other/losses"], traces[1].losses)
    assert put["pair/other/tokens"][0, 0] == q[0].argmax()
    last = put["pair/other/lens_of_target"][-1]
    np.testing.assert_allclose(last, q[np.arange(5), facts["targets"]])
    assert put["pair/other/attention/1"].shape == (4, 5, 5)


def test_the_same_model_differs_in_nothing() -> None:
    _, found = traced()
    content = Content()
    put_pair(content, found, found, ("a", "a"))
    np.testing.assert_array_equal(arrays(content)["pair/divergence"], 0)


def test_models_that_do_not_go_side_by_side() -> None:
    _, one = traced()
    _, longer = traced({"vocab_size": 8})
    shorter = trace(random_model(small_config()), TOKENIZER, "abc")
    with pytest.raises(GenerationError, match="a and b read the text as other tokens; side by s"):
        put_pair(Content(), one, shorter, ("a", "b"))
    same = trace(random_model(small_config(vocab_size=8)), TOKENIZER, one.ids)
    assert longer.config.vocab_size == 8
    with pytest.raises(GenerationError, match="a knows 7 tokens and b 8; side by side stand"):
        put_pair(Content(), one, same, ("a", "b"))


def test_a_page_with_all_of_them(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path, change(keep_milestones=2, steps=3, eval_every=0))
    trainer.train()
    model, tokenizer = load_checkpoint(tmp_path, "numpy")
    first, _ = load_checkpoint(tmp_path / "milestones" / "step-000000", "numpy")
    page = explore(
        model, tokenizer, "lazy", run=tmp_path, beside=(first, tokenizer), beside_name="fresh"
    )
    facts = facts_of(page.html)
    assert facts["history"]["steps"] == [0, 1, 3]
    assert facts["pair"]["names"] == ["a model", "fresh"]
    assert facts["backward"]["step"]["rate"] == 0.001
    alone = facts_of(explore(model, tokenizer, "l").html)
    assert alone["backward"]["step"] is None  # a single token has no loss
    assert not alone.keys() & {"history", "pair"}
    other = type(tokenizer)(dict(enumerate([*tokenizer.vocab.values()][::-1])), {})
    with pytest.raises(GenerationError, match="read the text as other tokens"):
        explore(model, tokenizer, "a b", beside=(first, other))


def facts_of(html: str) -> dict[str, Any]:
    """Return the facts that a page holds."""
    (packed,) = re.findall(r'id="content">([^<]*)<', html)
    data = zlib.decompress(from_base85(packed))
    length = int.from_bytes(data[:4], "little")
    facts: dict[str, Any] = json.loads(data[4 : 4 + length])
    return facts
