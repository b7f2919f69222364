"""Every gradient of the whole model agrees with central differences, whatever the switches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from small_models import FAMILIES, SWITCHES, Array, random_model, random_tokens, small_config

from llm_explainer.config import Activation, Norm, Position
from llm_explainer.gradcheck import STEP, check_model, compare, numeric_gradient
from llm_explainer.numpy_backend import causal, cross_entropy, loss
from llm_explainer.numpy_backend.model import GPT
from llm_explainer.tree import Tree, flatten

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@each_switch
def test_every_parameter_of_every_model(changes: dict[str, Any]) -> None:
    """From a random dLoss/dlogits and through a masked loss; the context exceeds the text."""
    config = small_config(**changes)
    checks = check_model(config, seed=1)
    assert {check.name for check in checks} == set(flatten(GPT(config).parameters()))
    assert [check for check in checks if check.verdict != "ok"] == []
    assert max(check.relative_error for check in checks) <= 1e-6


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("position", get_args(Position))
@pytest.mark.parametrize("norm", get_args(Norm))
def test_every_combination_of_switches(norm: str, position: str, activation: str) -> None:
    """All 192 of them, each parameter moved along one random direction."""
    switches = {"norm": norm, "position": position, "activation": activation}
    for bias, tied, n_kv_heads in product((True, False), (True, False), (1, 4)):
        others = {"bias": bias, "tie_embeddings": tied, "n_kv_heads": n_kv_heads}
        model = random_model(small_config(**switches, **others))
        tokens, targets = random_tokens(model.config, 2, 4), random_tokens(model.config, 2, 4, 1)
        _, nested = model.loss_and_grads(tokens, targets)
        grads = flatten(nested)
        length = max(np.linalg.norm(grad) for grad in grads.values())
        rng = np.random.default_rng(1)
        for name, array in flatten(model.parameters()).items():
            move = STEP * rng.normal(size=array.shape)
            array += move
            above = model.loss(tokens, targets)
            array -= 2 * move
            below = model.loss(tokens, targets)
            array += move
            expected = np.vdot(grads[name], move)
            assert (above - below) / 2 == pytest.approx(expected, abs=1e-6 * STEP * length), name


@each_switch
def test_gradients_are_nested_like_parameters(changes: dict[str, Any]) -> None:
    model = random_model(small_config(**changes))
    tokens = random_tokens(model.config, 2, 4)
    shapes = {name: array.shape for name, array in flatten(model.parameters()).items()}
    logits, backward = model.forward(tokens)
    for grads in (backward(logits)[1], model.loss_and_grads(tokens, tokens)[1]):
        assert {name: array.shape for name, array in flatten(grads).items()} == shapes


def assert_gradients(model: GPT, grads: Tree, loss: Callable[[], float]) -> None:
    """Compare ``grads`` with how ``loss`` reacts to each parameter."""
    parameters = flatten(model.parameters())
    numeric = {name: numeric_gradient(loss, array) for name, array in parameters.items()}
    checks = compare(flatten(grads), numeric)
    assert [check for check in checks if check.verdict == "wrong"] == []


@each_family
@pytest.mark.parametrize(("B", "T"), [(1, 1), (3, 1), (1, 6), (2, 5)])
def test_batch_and_text_sizes(family: dict[str, Any], B: int, T: int) -> None:
    model = random_model(small_config(**family))
    tokens, targets = random_tokens(model.config, B, T), random_tokens(model.config, B, T, seed=1)
    _, grads = model.loss_and_grads(tokens, targets)
    assert_gradients(model, grads, lambda: model.loss(tokens, targets))


@each_family
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("band", "scores_at_once"), [(2, 1 << 18), (3, 1), (1, 30)])
def test_attention_in_bands(
    family: dict[str, Any],
    dropout: float,
    band: int,
    scores_at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How attention is cut into pieces changes neither the loss nor a gradient."""
    model = random_model(small_config(dropout=dropout, **family))
    tokens, targets = random_tokens(model.config, 3, 6), random_tokens(model.config, 3, 6, seed=1)

    def run() -> tuple[float, dict[str, Array]]:
        rng = np.random.default_rng(0)
        loss, grads = model.loss_and_grads(tokens, targets, rng=rng)
        return loss, flatten(grads)

    whole_loss, whole_grads = run()
    monkeypatch.setattr(causal, "BAND", band)
    monkeypatch.setattr(causal, "SCORES_AT_ONCE", scores_at_once)
    banded_loss, banded_grads = run()
    assert banded_loss == pytest.approx(whole_loss, rel=1e-12)
    for name, grad in banded_grads.items():
        np.testing.assert_allclose(grad, whole_grads[name], rtol=1e-9, atol=1e-12, err_msg=name)


@each_family
def test_loss_in_blocks_of_rows(family: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(small_config(**family))
    tokens, targets = random_tokens(model.config, 7, 6), random_tokens(model.config, 7, 6, seed=1)
    mask = np.random.default_rng(0).random((7, 6)) < 0.6
    whole_loss, whole = model.loss_and_grads(tokens, targets, mask)
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 1)  # blocks of 16 rows, the least
    blocked_loss, blocked = model.loss_and_grads(tokens, targets, mask)
    assert blocked_loss == pytest.approx(whole_loss, rel=1e-12)
    for name, grad in flatten(blocked).items():
        np.testing.assert_allclose(grad, flatten(whole)[name], rtol=1e-9, atol=1e-12)


@each_family
def test_gradients_with_dropout(family: dict[str, Any]) -> None:
    """With the same generator state the same numbers are dropped, so differences work."""
    model = random_model(small_config(dropout=0.3, **family))
    tokens, targets = random_tokens(model.config, 2, 5), random_tokens(model.config, 2, 5, seed=1)

    def run() -> tuple[float, Tree]:
        return model.loss_and_grads(tokens, targets, rng=np.random.default_rng(5))

    assert_gradients(model, run()[1], lambda: run()[0])
    assert run()[0] != model.loss(tokens, targets)


@each_switch
def test_both_ways_to_the_gradient_agree(changes: dict[str, Any]) -> None:
    """loss_and_grads fuses head and loss; forward, cross_entropy and backward spell them out."""
    model = random_model(small_config(**changes))
    tokens, targets = random_tokens(model.config, 3, 5), random_tokens(model.config, 3, 5, seed=1)
    mask = np.random.default_rng(0).random((3, 5)) < 0.6
    fused_loss, fused = model.loss_and_grads(tokens, targets, mask)
    logits, backward = model.forward(tokens)
    spelled_loss, loss_backward = cross_entropy(logits, targets, mask)
    _, spelled = backward(loss_backward())
    assert fused_loss == pytest.approx(spelled_loss, rel=1e-12)
    assert model.loss(tokens, targets, mask) == pytest.approx(fused_loss, rel=1e-12)
    for name, grad in flatten(fused).items():
        np.testing.assert_allclose(grad, flatten(spelled)[name], rtol=1e-9, atol=1e-12)


def test_a_key_bias_has_no_gradient_unless_rope_turns_it() -> None:
    for position, is_zero in (("learned", True), ("rope", False)):
        model = random_model(small_config(position=position))
        tokens = random_tokens(model.config, 2, 6)
        _, grads = model.loss_and_grads(tokens, tokens)
        keys = flatten(grads)["blocks.0.attention.qkv_proj.bias"][8:16]
        assert (np.abs(keys).max() < 1e-12) == is_zero


@each_family
def test_out_is_overwritten_and_returned(family: dict[str, Any]) -> None:
    model = random_model(small_config(**family))
    tokens = random_tokens(model.config, 2, 5)
    expected_loss, expected = model.loss_and_grads(tokens, tokens)
    out = model.loss_and_grads(tokens[:, :3], tokens[:, 1:4])[1]
    for array in flatten(out).values():
        array.fill(np.nan)
    loss, grads = model.loss_and_grads(tokens, tokens, out=out)
    assert grads is out
    assert loss == expected_loss
    for name, grad in flatten(out).items():
        np.testing.assert_array_equal(grad, flatten(expected)[name])


@each_family
def test_masked_tokens_have_no_influence(family: dict[str, Any]) -> None:
    model = random_model(small_config(**family))
    tokens, targets = random_tokens(model.config, 2, 5), random_tokens(model.config, 2, 5, seed=1)
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 0]])
    changed = np.where(mask, targets, (targets + 1) % model.config.vocab_size)
    loss, grads = model.loss_and_grads(tokens, targets, mask)
    changed_loss, changed_grads = model.loss_and_grads(tokens, changed, mask)
    assert loss == changed_loss
    for name, grad in flatten(grads).items():
        np.testing.assert_allclose(grad, flatten(changed_grads)[name], rtol=1e-12, atol=1e-15)


@each_family
def test_parts_of_a_batch_add_up(family: dict[str, Any]) -> None:
    """With n_counted of the whole batch, the parts' losses and gradients sum to the whole's."""
    model = random_model(small_config(**family))
    tokens, targets = random_tokens(model.config, 4, 5), random_tokens(model.config, 4, 5, seed=1)
    mask = np.random.default_rng(1).random((4, 5)) < 0.5
    mask[0] = False  # a part may have nothing that counts
    loss, grads = model.loss_and_grads(tokens, targets, mask)
    n_counted = mask.sum()
    parts = [
        model.loss_and_grads(tokens[rows], targets[rows], mask[rows], n_counted=n_counted)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    assert sum(part_loss for part_loss, _ in parts) == pytest.approx(loss, rel=1e-12)
    for name, grad in flatten(grads).items():
        total = sum(flatten(part)[name] for _, part in parts)
        np.testing.assert_allclose(total, grad, rtol=1e-9, atol=1e-12)
