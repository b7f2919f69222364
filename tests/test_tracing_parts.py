"""What is read off a trace: the lens, attribution, saliency, ablation, a step of training."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from small_models import LLAMA, SWITCHES
from small_traces import TOKENIZER, traced

from llm_explainer import plain
from llm_explainer.errors import GenerationError
from llm_explainer.tracing import (
    Target,
    ablate,
    attribute,
    lens,
    lens_logits,
    one_token,
    saliency,
    take_step,
    trace,
)
from llm_explainer.tree import flatten

every_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
TWO = {"n_layers": 2}


@every_switch
def test_parts_of_a_score_add_up_to_it(changes: dict[str, Any]) -> None:
    _, found = traced(changes)
    for position, token, against in ((-1, None, None), (2, 3, None), (4, 0, 6)):
        parts = attribute(found, position, token, against=against)
        logits = found.logits[position]
        expected = logits[logits.argmax() if token is None else token]
        expected = expected - (0 if against is None else logits[against])
        assert parts.logit == pytest.approx(expected, rel=1e-12)
        assert parts.total == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {"position_embedding", "biases"}),
        ({"position": "sinusoidal", "bias": False}, {"position_embedding"}),
        (LLAMA, set()),
        ({"norm_position": "post"}, {"position_embedding", "biases"}),
    ],
)
def test_every_part_is_a_bar_of_its_own(changes: dict[str, Any], more: set[str]) -> None:
    _, found = traced({**changes, **TWO})
    names = set(attribute(found).names)
    expected = {"token_embedding"} | (more & {"position_embedding"})
    for i in range(2):
        expected |= {f"blocks.{i}.attention.heads.{head}" for head in range(4)}
        expected.add(f"blocks.{i}.feed_forward")
    biases = {f"{n}.bias" for n in found_biases(found)} if "biases" in more else set()
    assert names == expected | biases


def found_biases(found: Any) -> list[str]:
    """Return the layers whose bias is added to the residual stream, or by a norm in its way."""
    after = "attention_norm", "feed_forward_norm"
    ends = ("out_proj", "down_proj", *after)
    if found.config.norm_position == "pre":
        ends = ("out_proj", "down_proj", "final_norm")
    names = [name.removesuffix(".bias") for name in flatten(found.parameters)]
    return [name for name in names if name.endswith(ends) and not name.endswith("weight")]


@pytest.mark.parametrize("changes", [TWO, {**TWO, **LLAMA}], ids=["gpt2", "llama"])
def test_a_head_s_share_is_what_the_score_would_lose_with_the_scale_held(
    changes: dict[str, Any],
) -> None:
    """Taken out of the last stream by hand, and normed with the numbers of before."""
    _, found = traced(changes)
    parts = attribute(found, 3, 2)
    p, head, i = found.parameters, 1, 1
    width = found.config.head_dim
    columns = p["blocks"][i]["attention"]["out_proj"]["weight"][:, head * width :][:, :width]
    written = columns @ found.activations[f"blocks.{i}.attention.heads"][head, 3]  # (D,)
    stream = found.activations["blocks.1"][3]
    if found.config.norm == "layernorm":
        scale, written = stream.std(), written - written.mean()
        scale = np.sqrt(scale**2 + found.config.norm_eps)
    else:
        scale = np.sqrt((stream**2).mean() + found.config.norm_eps)
    share = (written / scale * p["final_norm"]["weight"]) @ p["token_embedding"]["weight"][2]
    index = parts.names.index(f"blocks.{i}.attention.heads.{head}")
    assert parts.values[index] == pytest.approx(share, rel=1e-9)


@every_switch
def test_the_last_row_of_the_lens_is_the_output(changes: dict[str, Any]) -> None:
    _, found = traced(changes)
    read = lens(found, top=3, after_attention=True)
    n_layers = found.config.n_layers
    assert len(read.rows) == 1 + 2 * n_layers
    assert read.rows[0] == "embeddings"
    assert read.rows[-2:] == (f"blocks.{n_layers - 1}.residual", f"blocks.{n_layers - 1}")
    np.testing.assert_array_equal(lens_logits(found, read.rows[-1]), found.logits)
    p = found.probabilities
    targets = [*found.ids[1:], p[-1].argmax()]
    assert read.targets.tolist() == targets
    for t, target in enumerate(targets):
        assert read.tokens[-1, t].tolist() == np.argsort(-p[t])[:3].tolist()
        np.testing.assert_array_equal(read.probabilities[-1, t], np.sort(p[t])[::-1][:3])
        assert read.target_probabilities[-1, t] == p[t, target]
        assert read.ranks[-1, t] == (p[t] > p[t, target]).sum()
    assert read.ranks[-1, -1] == 0


def test_the_lens_reads_with_the_final_norm_and_the_head() -> None:
    _, found = traced({**TWO, "tie_embeddings": False})
    p, config = found.parameters, found.config
    normed, _ = plain.layer_norm(found.activations["blocks.0"], p["final_norm"], config.norm_eps)
    expected = normed @ p["head"]["weight"].T
    np.testing.assert_allclose(lens_logits(found, "blocks.0"), expected, rtol=1e-9, atol=1e-12)
    followed = lens(found, targets=4, top=100)
    assert followed.tokens.shape == (3, 6, 7)
    weights, _ = plain.softmax(expected)
    np.testing.assert_allclose(followed.target_probabilities[1], weights[:, 4], rtol=1e-9)


def test_saliency_is_the_slope_towards_an_embedding_of_zero() -> None:
    model, found = traced(LLAMA, target=Target.logit(4, 2))
    step = 1e-6

    def shrunk(place: int) -> float:
        def record(name: str, array: Any) -> None:
            if name == "token_embedding":
                array[0, place] *= 1 - step

        logits, _ = plain.gpt(found.ids[None], model.parameters(), model.config, record)
        return float(logits[0, 4, 2])

    measured = [(found.value - shrunk(place)) / step for place in range(6)]
    np.testing.assert_allclose(saliency(found), measured, rtol=1e-4, atol=1e-7)
    assert saliency(found)[5] == 0  # it comes after


@every_switch
def test_without_a_head_is_as_with_zeros_in_its_columns(changes: dict[str, Any]) -> None:
    target = Target.log_probability(3, 1)
    model, found = traced(changes, target=target)
    without = ablate(found)
    config = found.config
    assert without.heads.shape == (config.n_layers, config.n_heads)
    for layer in range(config.n_layers):
        for head in (0, config.n_heads - 1):
            parameters = copy.deepcopy(found.parameters)
            columns = slice(head * config.head_dim, (head + 1) * config.head_dim)
            parameters["blocks"][layer]["attention"]["out_proj"]["weight"][:, columns] = 0
            assert without.heads[layer, head] == pytest.approx(value_of(found, parameters))
        parameters = copy.deepcopy(found.parameters)
        for array in parameters["blocks"][layer]["feed_forward"]["down_proj"].values():
            array[:] = 0
        assert without.feed_forwards[layer] == pytest.approx(value_of(found, parameters))
    np.testing.assert_allclose(without.head_effects, without.heads - found.value)
    again = trace(model, TOKENIZER, found.ids, target=target, dtype="float64")
    np.testing.assert_array_equal(again.logits, found.logits)  # nothing was left out for good


def value_of(found: Any, parameters: Any) -> float:
    logits, _ = plain.gpt(found.ids[None], parameters, found.config)
    return float(found.target.values(logits[:, found.target.rows], found.ids)[0])


def test_mean_ablation_leaves_what_a_head_always_says(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = traced(TWO)

    def record(name: str, array: Any) -> None:
        if name == "blocks.1.attention.heads":
            array[0, 2] = array[0, 2].mean(0)

    logits, _ = plain.gpt(found.ids[None], found.parameters, found.config, record)
    expected = float(found.target.values(logits[:, found.target.rows], found.ids)[0])
    without = ablate(found, "mean")
    assert without.heads[1, 2] == pytest.approx(expected, rel=1e-9)
    # However many are left out at once.
    monkeypatch.setattr("llm_explainer.tracing.ablation.MOST_TOGETHER", 12)
    np.testing.assert_allclose(ablate(found, "mean").heads, without.heads, rtol=1e-12)
    with pytest.raises(GenerationError, match="instead is 'none'; it takes 'zero' or 'mean'"):
        ablate(found, "none")  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [None, Target.logit(-1, 2)], ids=["loss", "logit"])
def test_a_step_goes_against_the_gradient_of_the_loss(target: Target | None) -> None:
    model, found = traced({**LLAMA, "tie_embeddings": False}, target=target)
    step = take_step(found, rate=0.01, top=4)
    ids = found.ids[None]
    loss, grads = model.loss_and_grads(ids[:, :-1], ids[:, 1:])
    assert step.loss_before == pytest.approx(float(loss), rel=1e-9)
    gradients = flatten(grads)
    largest = max(gradients, key=lambda name: np.abs(gradients[name]).max())
    sizes = np.concatenate([np.abs(array).ravel() for array in gradients.values()])
    np.testing.assert_allclose(
        [abs(weight.gradient) for weight in step.largest], np.sort(sizes)[::-1][:4], rtol=1e-7
    )
    first = step.largest[0]
    assert first.name == largest
    assert first.value == flatten(model.parameters())[largest][first.index]
    for name, array in flatten(model.parameters()).items():
        array -= 0.01 * gradients[name]
    after, _ = plain.softmax(model(ids)[0])
    np.testing.assert_allclose(step.after, after, rtol=1e-6, atol=1e-9)
    assert step.loss_after < step.loss_before
    np.testing.assert_array_equal(step.before, found.probabilities)


def test_what_has_no_answer_is_one_line() -> None:
    _, found = traced()
    with pytest.raises(GenerationError, match="the position is 6; this text has 0 to 5"):
        attribute(found, 6)
    with pytest.raises(GenerationError, match="the token to explain is 7; this model knows 0 to 6"):
        attribute(found, 0, 1, against=7)
    model, _ = traced()
    with pytest.raises(GenerationError, match="a text of one token has no next one"):
        take_step(trace(model, TOKENIZER, "a"))


def test_one_token() -> None:
    assert one_token(TOKENIZER, "c") == 2
    with pytest.raises(GenerationError, match=r"'bad' is 3 tokens .*: \['b', 'a', 'd'\]; give one"):
        one_token(TOKENIZER, "bad")
    with pytest.raises(GenerationError, match="the token to explain is empty"):
        one_token(TOKENIZER, "")
