"""Texts that share a window: each is read, and trained on, as if it stood alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mlx_twins import assert_close, assert_gradients_close, mlx_backend, mx, twins
from small_models import FAMILIES, LLAMA, Array, random_model, random_tokens, small_config

from llm_explainer import numpy_backend, plain
from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError
from llm_explainer.gradcheck import compare, numeric_gradient
from llm_explainer.numpy_backend import GPT, causal
from llm_explainer.training.distributed.shared_step import _as_arrays, _as_batches, _fields
from llm_explainer.tree import Tree, flatten

MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "llama": LLAMA,
    "sinusoidal": {"position": "sinusoidal"},
    "rope post": {"position": "rope", "norm_position": "post"},
}
SEGMENTS = np.array([[0, 0, 0, 1, 1, 2], [5, 5, 5, 5, 5, 5], [3, 1, 3, 1, 1, 3]])
"""(B, T): three texts in a row, one in a row, and ids in any order."""

each_model = pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
each_backend = pytest.mark.parametrize("nn", [numpy_backend, mlx_backend], ids=["numpy", "mlx"])


def data(model: Any) -> tuple[Array, Array, Array]:
    """Return tokens, targets and a mask shaped like the segments."""
    B, T = SEGMENTS.shape
    tokens, targets = (random_tokens(model.config, B, T, seed) for seed in range(2))
    return tokens, targets, np.random.default_rng(0).random((B, T)) < 0.7


def assert_right(model: GPT, run: Callable[[], tuple[float, Tree]]) -> None:
    parameters = flatten(model.parameters())
    numeric = {
        name: numeric_gradient(lambda: run()[0], array) for name, array in parameters.items()
    }
    checks = compare(flatten(run()[1]), numeric)
    assert [check for check in checks if check.verdict == "wrong"] == []
    assert {check.name for check in checks} == set(parameters)


@each_model
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_every_gradient(changes: dict[str, Any], dropout: float) -> None:
    model = random_model(small_config(**{**changes, "dropout": dropout, "n_heads": 2}))

    def run() -> tuple[float, Tree]:
        rng = np.random.default_rng(3) if dropout else None
        return model.loss_and_grads(*data(model), SEGMENTS, rng=rng)

    assert_right(model, run)


@each_model
def test_plain_numpy_and_mlx_agree(changes: dict[str, Any]) -> None:
    model, twin = twins(**{**changes, "n_layers": 2})
    exact = model.astype(np.float64)
    tokens, targets, mask = data(model)
    logits, backward = plain.gpt(tokens, exact.parameters(), model.config, segments=SEGMENTS)
    loss, loss_backward = plain.cross_entropy(logits, targets, mask)
    grads = backward(loss_backward())
    np.testing.assert_allclose(exact(tokens, segments=SEGMENTS), logits, rtol=1e-9, atol=1e-9)
    numpy_loss, numpy_grads = exact.loss_and_grads(tokens, targets, mask, SEGMENTS)
    assert numpy_loss == pytest.approx(loss, rel=1e-9)
    assert exact.loss(tokens, targets, mask, SEGMENTS) == pytest.approx(loss, rel=1e-9)
    for name, grad in flatten(grads).items():
        np.testing.assert_allclose(flatten(numpy_grads)[name], grad, rtol=1e-9, atol=1e-9)
    forward_logits, forward_backward = exact.forward(tokens, SEGMENTS)
    np.testing.assert_allclose(forward_logits, logits, rtol=1e-9, atol=1e-9)
    assert_gradients_close(forward_backward(loss_backward())[1], grads)
    assert_close(twin(tokens, segments=SEGMENTS), logits)
    twin_loss, twin_grads = twin.loss_and_grads(tokens, targets, mask, SEGMENTS)
    assert twin_loss == pytest.approx(loss, abs=1e-4)
    assert twin.loss(tokens, targets, mask, SEGMENTS) == pytest.approx(loss, abs=1e-4)
    assert_gradients_close(twin_grads, grads)
    twin_logits, twin_backward = twin.forward(tokens, SEGMENTS)
    assert_close(twin_logits, logits)
    assert_gradients_close(twin_backward(mx.array(loss_backward(), mx.float32))[1], grads)


@each_backend
@each_model
def test_packed_and_alone_are_the_same(nn: Any, changes: dict[str, Any]) -> None:
    """Logits, the loss and every gradient, to 1e-6; wherever a text's tokens lie."""
    model, twin = twins(**changes)
    used = twin if nn is mlx_backend else model
    tokens, targets, _ = data(model)
    logits = np.asarray(used(tokens, segments=SEGMENTS))
    _, grads = used.loss_and_grads(tokens, targets, segments=SEGMENTS)
    n = tokens.size
    total = {name: np.zeros(array.shape) for name, array in flatten(grads).items()}
    for row, ids in enumerate(SEGMENTS):
        for segment in np.unique(ids):
            own = np.flatnonzero(ids == segment)
            text, after = tokens[row, own][None], targets[row, own][None]
            np.testing.assert_allclose(
                logits[row, own], np.asarray(used(text))[0], rtol=1e-6, atol=1e-6
            )
            part = used.loss_and_grads(text, after, n_counted=n)[1]
            for name, grad in flatten(part).items():
                total[name] += np.asarray(grad)
    for name, grad in flatten(grads).items():
        np.testing.assert_allclose(np.asarray(grad), total[name], atol=1e-6, err_msg=name)


@each_family
@pytest.mark.parametrize(("band", "scores_at_once"), [(2, 1), (3, 1 << 18)])
def test_bands(
    family: dict[str, Any], band: int, scores_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(small_config(**family))
    whole = model.loss_and_grads(*data(model), SEGMENTS)
    monkeypatch.setattr(causal, "BAND", band)
    monkeypatch.setattr(causal, "SCORES_AT_ONCE", scores_at_once)
    banded = model.loss_and_grads(*data(model), SEGMENTS)
    assert banded[0] == pytest.approx(whole[0], rel=1e-12)
    for name, grad in flatten(banded[1]).items():
        np.testing.assert_allclose(grad, flatten(whole[1])[name], rtol=1e-9, atol=1e-12)


@each_backend
@each_family
@pytest.mark.parametrize(
    "settings",
    [{"workers": 2}, {"workers": 1, "micro_batch": 2}, {"workers": 1, "recompute": True}],
)
def test_a_step_trains_on_segments(nn: Any, family: dict[str, Any], settings: Any) -> None:
    """Shards, micro-batches and recomputed blocks take their segments with them."""
    config = small_config(**family)
    ends = []
    for options in ({"workers": 1}, settings):
        model = nn.GPT(config, seed=1)
        step = nn.TrainStep(model, nn.SGD(model), **options)
        batch = Batch(*data(model), SEGMENTS)
        losses = [step([batch], 0.5).loss for _ in range(2)]
        ends.append((losses, step.evaluate(batch), flatten(model.parameters())))
        without = nn.GPT(config, seed=1).loss(*data(model))
        assert abs(losses[0] - without) > 1e-5
    assert ends[1][0] == pytest.approx(ends[0][0], abs=1e-6)
    assert ends[1][1] == pytest.approx(ends[0][1], abs=1e-5)
    for name, array in ends[0][2].items():
        np.testing.assert_allclose(np.asarray(ends[1][2][name]), np.asarray(array), atol=1e-6)


def test_dropout_on_mlx_sees_no_other_segment() -> None:
    """Other tokens of the row change, and the text's own loss does not."""
    _, twin = twins(dropout=0.3)
    tokens, targets, _ = data(twin)
    mask = SEGMENTS == 1  # which comes after others
    changed = np.where(mask, tokens, (tokens + 1) % twin.config.vocab_size)
    losses = [
        twin.loss_and_grads(ids, targets, mask, SEGMENTS, rng=mx.random.key(2))[0]
        for ids in (tokens, changed)
    ]
    assert losses[0] == losses[1] != twin.loss(tokens, targets, mask, SEGMENTS)


def test_rows_of_a_batch_and_messages_keep_segments() -> None:
    tokens, targets, mask = data(random_model(small_config()))
    batches = [Batch(tokens, targets, None, SEGMENTS), Batch(tokens, targets, mask)]
    np.testing.assert_array_equal(batches[0].rows(slice(1, 3)).segments, SEGMENTS[1:])
    assert batches[0].rows(slice(1, 3)).mask is batches[1].segments is None
    words = {"fields": _fields(batches)}
    for sent, heard in zip(batches, _as_batches(words, _as_arrays(batches)), strict=True):
        for name in Batch._fields:
            np.testing.assert_array_equal(getattr(heard, name), getattr(sent, name))


@each_backend
def test_a_cache_and_segments_are_refused(nn: Any) -> None:
    model = nn.GPT(small_config())
    with pytest.raises(ConfigError, match="segments do not go with a cache"):
        model(SEGMENTS, model.make_cache(3), SEGMENTS)
