"""A trace: the backends' own numbers, by name, and the right gradients for every target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import LLAMA, SWITCHES, random_model, small_config
from small_traces import TOKENIZER, traced

import llm_explainer
from llm_explainer import LoRAConfig, apply_lora, plain, tracing
from llm_explainer.errors import GenerationError
from llm_explainer.gradcheck import STEP
from llm_explainer.tracing import Target, Trace, piece_of, save_trace, trace
from llm_explainer.tree import flatten

every_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
TARGETS = [Target.loss(), Target.logit(3, 2), Target.log_probability(-1, 5)]


@every_switch
def test_a_trace_has_the_numbers_of_the_tuned_backend(changes: dict[str, Any]) -> None:
    model, found = traced(changes)
    ids = found.ids[None]
    np.testing.assert_allclose(found.logits, model(ids)[0], rtol=1e-9, atol=1e-12)
    loss, grads = model.loss_and_grads(ids[:, :-1], ids[:, 1:])
    assert found.value == found.loss == pytest.approx(float(loss), rel=1e-9)
    expected = flatten(grads)
    gradients = flatten(found.parameter_gradients)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_a_model_of_mlx_is_traced_alike() -> None:
    nn = pytest.importorskip("llm_explainer.mlx_backend")
    model = nn.GPT(small_config(**LLAMA), seed=3)
    ids = np.array([0, 3, 2, 6])
    found = trace(model, TOKENIZER, ids)
    np.testing.assert_allclose(found.logits, np.asarray(model(ids[None]))[0], atol=1e-5)
    loss, _ = model.loss_and_grads(ids[None, :-1], ids[None, 1:])
    assert found.loss == pytest.approx(float(loss), abs=1e-5)
    assert found.logits.dtype == np.float32


def test_names_are_those_of_the_plain_model_without_the_axis_of_the_batch() -> None:
    model, found = traced()
    expected: dict[str, Any] = {}
    plain.gpt(found.ids[None], model.parameters(), model.config, expected.__setitem__)
    assert list(found.activations) == list(found.gradients) == list(expected)
    for name, array in expected.items():
        shape = array.shape if name == "position_embedding" else array.shape[1:]
        assert found.activations[name].shape == found.gradients[name].shape == shape, name


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
def test_gradients_are_those_of_the_target(target: Target) -> None:
    """Moving a result on its way moves the target by the gradient times that."""
    model, found = traced(LLAMA, target=target)
    rng = np.random.default_rng(0)
    for name in ("token_embedding", "blocks.0.attention.weights", "blocks.0", "logits"):
        move = STEP * rng.normal(size=found.activations[name].shape)

        def nudged(sign: int, name: str = name, move: Any = move) -> float:
            def record(recorded: str, array: Any) -> None:
                if recorded == name:
                    array += sign * move

            logits, _ = plain.gpt(found.ids[None], model.parameters(), model.config, record)
            return float(found.target.values(logits[:, found.target.rows], found.ids)[0])

        measured = (nudged(1) - nudged(-1)) / 2
        assert measured == pytest.approx(float((found.gradients[name] * move).sum()), rel=1e-5)


def test_values_of_targets() -> None:
    _, found = traced(target=Target.logit(-2, 3))
    assert found.target == Target.logit(4, 3)  # counted from the start
    assert found.value == found.logits[4, 3]
    logits = found.logits[None]
    for target in (Target.logit(3, 2), Target.logit(-3, 2)):
        assert target.values(logits[:, target.rows], found.ids) == found.logits[3, 2]
    last = Target.logit(-1, 2)
    assert last.values(logits[:, last.rows], found.ids) == found.logits[5, 2]
    log_p = Target.log_probability(3, 2).values(logits[:, 3:4], found.ids)
    np.testing.assert_allclose(log_p, np.log(found.probabilities[3, 2]))
    surprises = [-np.log(found.probabilities[t, found.ids[t + 1]]) for t in range(5)]
    np.testing.assert_allclose(found.losses, surprises)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1)


def test_a_single_token_is_explained_by_what_would_come_next() -> None:
    model = random_model(small_config())
    found = trace(model, TOKENIZER, "a")
    assert found.target == Target.log_probability(0, int(found.logits[0].argmax()))
    assert found.loss is None
    assert found.losses.shape == (0,)


def test_adapters_are_merged() -> None:
    model = apply_lora(random_model(small_config(**LLAMA), np.float32), LoRAConfig(rank=2))
    for name, array in flatten(model.parameters()).items():
        if name.endswith("lora_b"):
            array += 0.1
    found = trace(model, TOKENIZER, "abcdef")
    np.testing.assert_allclose(found.logits, model(found.ids[None])[0], atol=1e-5)


def test_a_text_is_read_as_for_generation() -> None:
    tokenizer = type(TOKENIZER)(TOKENIZER.vocab, {})
    tokenizer.prefix = (6,)
    found = trace(random_model(small_config()), tokenizer, "ab")
    assert found.ids.tolist() == [6, 0, 1]
    assert found.pieces == (b" ", b"a", b"b")
    assert piece_of(tokenizer, 7) == b""  # a padded vocabulary


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("", None, "the text to trace is empty; give one of one token or more"),
        ("abcabca", None, "the text has 7 tokens and the model's context only 6; shorten it"),
        ([0, 7], None, "the prompt has the token id 7; this model knows 0 to 6"),
        ("a", Target.loss(), "a text of one token has no next one, so no loss"),
        ("ab", Target.logit(2, 0), "the position is 2; this text has 0 to 1"),
        ("ab", Target.logit(-3, 0), "the position is -3; this text has 0 to 1"),
        ("ab", Target.logit(0, 7), "the token to explain is 7; this model knows 0 to 6"),
    ],
)
def test_what_cannot_be_traced(text: Any, target: Target | None, said: str) -> None:
    with pytest.raises(GenerationError, match=said):
        trace(random_model(small_config()), TOKENIZER, text, target=target)


def test_a_text_that_does_not_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_explainer.tracing.reading.available_memory", lambda: 1000)
    with pytest.raises(GenerationError, match=r"to trace 2 tokens takes about 0\.0 GB, and 0\.0"):
        trace(random_model(small_config()), TOKENIZER, "ab")


@pytest.mark.parametrize("changes", [{}, LLAMA], ids=["gpt2", "llama"])
def test_the_memory_that_is_asked_for_holds_what_is_kept(changes: dict[str, Any]) -> None:
    """Of what grows with the text; a small model's parameters are nothing beside it."""
    config = small_config(**{**changes, "context_length": 64, "d_model": 32})
    found = trace(random_model(config), TOKENIZER, [1] * 64, dtype="float64")
    kept = sum(array.nbytes for array in (found.activations | found.gradients).values())
    asked = tracing.reading.needed_bytes(config, 64, "float64")
    assert kept < asked < 6 * kept


def test_a_saved_trace(tmp_path: Path) -> None:
    _, found = traced({"position": "sinusoidal"}, target=Target.logit(2, 3))
    path = tmp_path / "trace.npz"
    save_trace(found, path)
    with np.load(path, allow_pickle=False) as saved:
        for name, array in found.activations.items():
            np.testing.assert_array_equal(saved[f"activations/{name}"], array)
            np.testing.assert_array_equal(saved[f"gradients/{name}"], found.gradients[name])
        for name, array in flatten(found.parameter_gradients).items():
            np.testing.assert_array_equal(saved[f"parameter_gradients/{name}"], array)
        assert [bytes.fromhex(str(piece)) for piece in saved["pieces"]] == list(found.pieces)
        assert saved["ids"].tolist() == found.ids.tolist()
        assert saved["value"] == found.logits[2, 3]
        assert json.loads(str(saved["target"])) == {"kind": "logit", "position": 2, "token": 3}
        assert json.loads(str(saved["config"]))["d_model"] == 8
    assert [file.name for file in tmp_path.iterdir()] == ["trace.npz"]


def test_it_is_a_public_name() -> None:
    assert llm_explainer.trace is trace
    assert Trace.__doc__


@pytest.mark.parametrize(("size", "said"), [(np.nan, "results"), (1e30, "gradients")])
def test_what_is_no_number_is_refused(size: float, said: str) -> None:
    model = random_model(small_config(), np.float32)
    model.blocks[0].feed_forward.up_proj.weight[0, 0] = size
    with pytest.raises(GenerationError, match=f"the model's {said} for this text are not finite"):
        trace(model, TOKENIZER, "abc")


def test_weights_in_fewer_bits_are_refused() -> None:
    mx = pytest.importorskip("mlx.core")
    model = pytest.importorskip("llm_explainer.mlx_backend").GPT(small_config())
    model.blocks[0].feed_forward.up_proj.weight = mx.zeros((32, 8), mx.bfloat16)
    with pytest.raises(GenerationError, match="kept in bfloat16; a trace takes"):
        trace(model, TOKENIZER, "abc")
