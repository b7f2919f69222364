"""What ``record`` sees: every name of the table, forward and backward, and true gradients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from small_models import LLAMA, Array, random_model, random_tokens, small_config

from llm_explainer import plain
from llm_explainer.gradcheck import STEP
from llm_explainer.layer_calls import layer_calls
from llm_explainer.numpy_backend import GPT
from llm_explainer.plain import model as plain_model
from llm_explainer.tree import flatten

MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "sinusoidal": {"position": "sinusoidal", "activation": "relu"},
    "llama": {**LLAMA, "tie_embeddings": False},
    "post": {**LLAMA, "norm_position": "post"},
    "qwen3": {**LLAMA, "qk_norm": True},
}
ROW = re.compile(r"^    ([\w.]+) +(\([^)]*\))(?: +(.*))?$", re.MULTILINE)
CONDITIONS = {
    "pre",
    "learned or sinusoidal",
    "rope",
    "swiglu",
    "swiglu: silu of the gate",
    "qk_norm",
}

each_model = pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)


def make(changes: dict[str, Any]) -> tuple[GPT, Array, Array]:
    """Return a model of two layers, tokens and targets (B, T)."""
    model = random_model(small_config(n_layers=2, **changes))
    return model, random_tokens(model.config, 3, 5), random_tokens(model.config, 3, 5, seed=1)


def loss_of(model: GPT, tokens: Array, targets: Array, record: Any = None) -> float:
    logits, _ = plain.gpt(tokens, model.parameters(), model.config, record)
    return plain.cross_entropy(logits, targets)[0]


def record_both(changes: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return all results and all gradients; a name that comes twice is an error."""
    model, tokens, targets = make(changes)
    results: dict[str, Array] = {}
    gradients: dict[str, Array] = {}

    def into(kept: dict[str, Array], name: str, array: Array) -> None:
        assert name not in kept
        kept[name] = array.copy()

    logits, backward = plain.gpt(
        tokens, model.parameters(), model.config, lambda *item: into(results, *item)
    )
    _, loss_backward = plain.cross_entropy(logits, targets)
    backward(loss_backward(), lambda *item: into(gradients, *item))
    return results, gradients


@each_model
def test_the_table_lists_what_is_recorded(changes: dict[str, Any]) -> None:
    results, _ = record_both(changes)
    config = small_config(n_layers=2, **changes)
    sizes = {"B": 3, "T": 5, "D": 8, "F": 6, "V": 7, "H": 2}
    sizes |= {"n_heads": config.n_heads, "n_kv_heads": config.n_kv_heads}
    expected: list[tuple[str, tuple[int, ...]]] = []
    in_blocks: list[tuple[str, tuple[int, ...]]] = []
    for name, shape, note in ROW.findall(plain_model.__doc__ or ""):
        if note in CONDITIONS:
            wanted = note.partition(":")[0].split(" or ")
            choices = {config.position, config.activation, config.norm_position}
            choices |= {"qk_norm"} if config.qk_norm else set()
            if not choices & set(wanted):
                continue
        row = name, tuple(sizes[letter] for letter in shape.strip("()").split(", "))
        if name.startswith("blocks.0"):
            in_blocks.append(row)
            continue
        if in_blocks and not any(name.startswith("blocks.") for name, _ in expected):
            for i in "01":
                expected += [(name.replace("0", i, 1), shape) for name, shape in in_blocks]
        expected.append(row)
    found = [(name, array.shape) for name, array in results.items()]
    if config.norm_position == "post":  # the table has a norm where the other kind has it
        found, expected = sorted(found), sorted(expected)
    assert found == expected


@each_model
def test_backward_hands_out_the_same_names_in_the_opposite_order(changes: dict[str, Any]) -> None:
    results, gradients = record_both(changes)
    assert list(gradients) == list(results)[::-1]
    for name, gradient in gradients.items():
        assert gradient.shape == results[name].shape, name


@each_model
def test_every_gradient_is_what_a_nudge_does(changes: dict[str, Any]) -> None:
    """The callback moves a result as it passes, along a random direction; all that follows sees it.

    In every position of the batch, so this is the derivative by every number of the array.
    """
    model, tokens, targets = make(changes)
    before = {name: array.copy() for name, array in flatten(model.parameters()).items()}
    results, gradients = record_both(changes)
    rng = np.random.default_rng(0)
    for name, result in results.items():
        move = STEP * rng.normal(size=result.shape)

        def nudged(sign: int, name: str = name, move: Array = move) -> float:
            def record(recorded: str, array: Array) -> None:
                if recorded == name:
                    array += sign * move

            return loss_of(model, tokens, targets, record)

        measured = (nudged(1) - nudged(-1)) / 2
        expected = float(np.vdot(gradients[name], move))
        assert measured == pytest.approx(expected, rel=1e-5, abs=1e-6 * STEP), name
        assert np.abs(gradients[name]).max() > 1e-6, name  # each result matters
    for name, array in flatten(model.parameters()).items():
        np.testing.assert_array_equal(array, before[name])  # no result is a parameter itself


@each_model
def test_results_hang_together(changes: dict[str, Any]) -> None:
    results, gradients = record_both(changes)
    weights = results["blocks.1.attention.weights"]  # (B, n_heads, T, T)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-12)
    np.testing.assert_array_equal(np.triu(weights, 1), 0)
    np.testing.assert_array_equal(np.triu(gradients["blocks.1.attention.scores"], 1), 0)
    for i, stream in enumerate(("embeddings", "blocks.0")):
        block = f"blocks.{i}"
        if small_config(**changes).norm_position == "post":
            for name, norm in (
                (f"{block}.residual", "attention_norm"),
                (block, "feed_forward_norm"),
            ):
                np.testing.assert_array_equal(results[name], results[f"{block}.{norm}"])
            continue
        after_attention = results[stream] + results[f"{block}.attention"]
        np.testing.assert_array_equal(results[f"{block}.residual"], after_attention)
        after_block = after_attention + results[f"{block}.feed_forward"]
        np.testing.assert_array_equal(results[block], after_block)


@each_model
def test_layers_make_what_those_of_the_backend_make(changes: dict[str, Any]) -> None:
    """Under the same names, so that what reads one reads the other."""
    model, tokens, _ = make(changes)
    results, _ = record_both(changes)
    calls, _ = layer_calls(model, tokens)
    for call in calls:
        found = results["logits" if call.name == "head" else call.name]
        np.testing.assert_allclose(found, call.y, rtol=1e-9, atol=1e-12, err_msg=call.name)
    assert len(calls) >= 1 + 2 * 5


def test_recording_changes_nothing() -> None:
    model, tokens, targets = make({})
    seen: dict[str, Array] = {}
    recorded = loss_of(model, tokens, targets, seen.__setitem__)
    assert recorded == loss_of(model, tokens, targets)
    assert len(seen) == 3 + 2 * 14 + 2
