"""The whole model: logits, loss, every gradient, and the cache, as NumPy has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mlx_twins import assert_close, assert_gradients_close, mlx_backend, mx, twins
from small_models import FAMILIES, SWITCHES, random_tokens

from llm_explainer import numpy_backend
from llm_explainer.errors import ConfigError
from llm_explainer.layer_calls import layer_calls
from llm_explainer.tree import flatten

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@each_switch
def test_logits_and_what_every_layer_makes(changes: dict[str, Any]) -> None:
    model, twin = twins(**changes)
    for B, T in ((3, 5), (1, 6), (2, 1)):
        tokens = random_tokens(model.config, B, T)
        assert_close(twin(tokens), model(tokens))
    calls, _ = layer_calls(twin, tokens)
    expected, _ = layer_calls(model, tokens)
    assert [call.name for call in calls] == [call.name for call in expected]
    for call, right in zip(calls, expected, strict=True):
        assert_close(call.x, right.x)
        assert_close(call.y, right.y)


@each_switch
@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_every_gradient(changes: dict[str, Any], masked: bool) -> None:
    model, twin = twins(**changes)
    tokens, targets = random_tokens(model.config, 3, 5), random_tokens(model.config, 3, 5, seed=1)
    mask = np.random.default_rng(0).random((3, 5)) < 0.6 if masked else None
    loss, grads = model.loss_and_grads(tokens, targets, mask)
    twin_loss, twin_grads = twin.loss_and_grads(tokens, targets, mask)
    assert twin_loss == pytest.approx(loss, abs=1e-5)
    assert twin.loss(tokens, targets, mask) == pytest.approx(loss, abs=1e-5)
    assert_gradients_close(twin_grads, grads)


@each_switch
def test_backward_from_any_gradient_of_the_logits(changes: dict[str, Any]) -> None:
    model, twin = twins(**changes)
    tokens = random_tokens(model.config, 2, 5)
    logits, backward = model.forward(tokens)
    twin_logits, twin_backward = twin.forward(tokens)
    assert_close(twin_logits, logits)
    dlogits = np.random.default_rng(2).normal(size=logits.shape).astype(np.float32)
    assert_gradients_close(twin_backward(mx.array(dlogits))[1], backward(dlogits)[1])


@each_family
def test_parts_of_a_batch_add_up(family: dict[str, Any]) -> None:
    model, twin = twins(**family)
    tokens, targets = random_tokens(model.config, 4, 5), random_tokens(model.config, 4, 5, seed=1)
    mask = np.random.default_rng(1).random((4, 5)) < 0.5
    mask[0] = False  # a part may have nothing that counts
    loss, grads = twin.loss_and_grads(tokens, targets, mask)
    parts = [
        twin.loss_and_grads(tokens[rows], targets[rows], mask[rows], n_counted=mask.sum())
        for rows in (slice(0, 1), slice(1, 2), slice(2, 4))
    ]
    assert sum(part_loss for part_loss, _ in parts) == pytest.approx(loss, rel=1e-5)
    for name, grad in flatten(grads).items():
        total = sum(flatten(part)[name] for _, part in parts)
        assert_close(total, np.asarray(grad))


@each_family
def test_dropout_trains_with_its_key_alone(family: dict[str, Any]) -> None:
    _, twin = twins(dropout=0.3, **family)
    tokens = random_tokens(twin.config, 2, 5)

    def loss(rng: mx.array | None) -> float:
        return twin.loss_and_grads(tokens, tokens, rng=rng)[0]

    assert loss(None) == pytest.approx(twin.loss(tokens, tokens), rel=1e-6)
    assert loss(mx.random.key(1)) == loss(mx.random.key(1))
    assert len({loss(None), loss(mx.random.key(1)), loss(mx.random.key(2))}) == 3


def test_out_is_overwritten_and_returned() -> None:
    model, twin = twins()
    tokens = random_tokens(twin.config, 2, 5)
    out = twin.loss_and_grads(tokens[:, :3], tokens[:, 1:4])[1]
    _, grads = twin.loss_and_grads(tokens, tokens, out=out)
    assert grads is out
    assert_gradients_close(out, model.loss_and_grads(tokens, tokens)[1])


# The cache


@each_switch
def test_cached_logits_equal_uncached_ones(changes: dict[str, Any]) -> None:
    model, twin = twins(**changes)
    tokens = random_tokens(model.config, 3, 6)
    expected = model(tokens)
    for pieces in ([1] * 6, [6], [2, 1, 3]):
        cache, start = twin.make_cache(3), 0
        for n in pieces:
            assert_close(twin(tokens[:, start : start + n], cache), expected[:, start : start + n])
            start += n
        assert cache.lengths.tolist() == [6, 6, 6]


@each_family
def test_ragged_batches(family: dict[str, Any]) -> None:
    """Padded pieces behind rows of different lengths, then tokens one by one; NumPy beside it."""
    model, twin = twins(context_length=12, n_layers=2, **family)
    texts = random_tokens(model.config, 3, 12)
    first, second = np.array([1, 4, 2]), np.array([3, 1, 2])
    caches = model.make_cache(3), twin.make_cache(3)
    piece = np.stack([texts[i, start : start + 3] for i, start in enumerate(first)])
    one = np.array([[1], [2], [3]])
    for tokens, lengths in ((texts[:, :4], first), (piece, second), (one, None), (one, None)):
        expected = model.next_logits(tokens, caches[0], lengths)
        assert_close(twin.next_logits(tokens, caches[1], lengths), expected)
        assert caches[1].lengths.tolist() == caches[0].lengths.tolist()
    caches[0].trim(np.array([2, 2, 2]))
    caches[1].trim(np.array([2, 2, 2]))
    assert_close(twin(piece, caches[1]), model(piece, caches[0]))


@each_family
def test_rows_that_are_kept_go_on_as_before(family: dict[str, Any]) -> None:
    model, twin = twins(n_layers=2, **family)
    texts, lengths = random_tokens(model.config, 4, 5), np.array([2, 4, 1, 3])
    caches = model.make_cache(4), twin.make_cache(4)
    rows, one = np.array([3, 0]), np.array([[1], [2]])
    model.next_logits(texts, caches[0], lengths)
    twin.next_logits(texts, caches[1], lengths)
    for cache in caches:
        cache.keep(rows)
        assert cache.lengths.tolist() == [3, 2]
    for _ in range(2):
        assert_close(twin.next_logits(one, caches[1]), model.next_logits(one, caches[0]))


@each_family
def test_next_logits_without_a_cache(family: dict[str, Any]) -> None:
    model, twin = twins(**family)
    tokens, lengths = random_tokens(model.config, 2, 6), np.array([2, 5])
    assert_close(twin.next_logits(tokens), model.next_logits(tokens))
    assert_close(
        twin.next_logits(tokens, lengths=lengths), model.next_logits(tokens, None, lengths)
    )


def test_more_tokens_than_fit() -> None:
    _, twin = twins()
    tokens = random_tokens(twin.config, 1, 7)
    for refused in (
        lambda: twin(tokens),
        lambda: twin.forward(tokens),
        lambda: twin.loss(tokens, tokens),
        lambda: twin.loss_and_grads(tokens, tokens),
        lambda: twin(tokens, twin.make_cache()),
    ):
        with pytest.raises(ConfigError, match="7 tokens do not fit the context of 6"):
            refused()
    with pytest.raises(ConfigError, match="capacity 7 exceeds the context of 6"):
        twin.make_cache(capacity=7)
    cache = twin.make_cache(capacity=3)
    with pytest.raises(ConfigError, match="4 tokens do not fit the context of 3"):
        twin(tokens[:, :4], cache)
    assert cache.lengths.tolist() == [0]


# Cross-entropy


@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy(masked: bool) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(2, 3, 5)).astype(np.float32)
    targets = rng.integers(0, 5, (2, 3))
    mask = np.array([[1, 0, 1], [0, 0, 1]]) if masked else None
    loss, backward = numpy_backend.cross_entropy(logits, targets, mask)
    twin_loss, twin_backward = mlx_backend.cross_entropy(mx.array(logits), targets, mask)
    assert twin_loss == pytest.approx(loss, rel=1e-5)
    assert_close(twin_backward(), backward())
    assert_close(twin_backward(3.0), backward(3.0))


def test_cross_entropy_at_the_edges() -> None:
    logits = mx.array([[1e30, 0.0, -1e30], [50.0, 50.0, -50.0]])
    loss, backward = mlx_backend.cross_entropy(logits, np.array([0, 1]))
    assert loss == pytest.approx(np.log(2) / 2, rel=1e-5)
    assert_close(backward(), np.array([[0, 0, 0], [0.25, -0.25, 0]]))
    loss, backward = mlx_backend.cross_entropy(logits, np.array([0, 1]), np.zeros(2, bool))
    assert loss == 0
    assert_close(backward(), np.zeros((2, 3)))
