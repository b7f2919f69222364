"""The switches of Llama's relatives: plain, NumPy and MLX agree, packed and with a cache too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import LLAMA3, SWITCHES, YARN, Array, random_model, random_tokens, small_config

from llm_explainer import ModelConfig, load_backend, plain
from llm_explainer.errors import ConfigError
from llm_explainer.rope_frequencies import rope_frequencies
from llm_explainer.rope_scaling import RopeScaling
from llm_explainer.tree import Tree, flatten

RELATIVES = list(SWITCHES)[list(SWITCHES).index("llama narrow heads") :]
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])  # (B, T)

each_relative = pytest.mark.parametrize("name", RELATIVES)
each_packing = pytest.mark.parametrize("segments", [None, SEGMENTS], ids=["alone", "packed"])


def run_plain(
    config: ModelConfig, parameters: Tree, tokens: Array, targets: Array, segments: Array | None
) -> tuple[Array, float, Tree]:
    logits, backward = plain.gpt(tokens, parameters, config, segments=segments)
    loss, loss_backward = plain.cross_entropy(logits, targets)
    return logits, loss, backward(loss_backward())


def batch(config: ModelConfig) -> tuple[Array, Array]:
    return random_tokens(config, 3, 6), random_tokens(config, 3, 6, seed=1)


def assert_close(found: Tree, expected: Tree, tolerance: float) -> None:
    found, expected = flatten(found), flatten(expected)
    assert list(found) == list(expected)
    for name, array in expected.items():
        scale = max(1.0, float(np.abs(array).max()))
        np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance * scale, err_msg=name)


@each_packing
@each_relative
def test_numpy_agrees_with_plain(name: str, segments: Array | None) -> None:
    model = random_model(small_config(**SWITCHES[name]))
    tokens, targets = batch(model.config)
    logits, loss, grads = run_plain(model.config, model.parameters(), tokens, targets, segments)
    np.testing.assert_allclose(model(tokens, segments=segments), logits, atol=1e-10)
    backend_loss, backend_grads = model.loss_and_grads(tokens, targets, segments=segments)
    assert backend_loss == pytest.approx(loss, rel=1e-10)
    assert_close(backend_grads, grads, 1e-10)


@each_packing
@each_relative
def test_mlx_agrees_with_plain(name: str, segments: Array | None) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    model = random_model(small_config(**SWITCHES[name]), np.float32)
    tokens, targets = batch(model.config)
    twin = load_backend("mlx").GPT(model.config)
    twin.update(model.parameters())
    logits, loss, grads = run_plain(model.config, model.parameters(), tokens, targets, segments)
    np.testing.assert_allclose(np.asarray(twin(tokens, segments=segments)), logits, atol=1e-4)
    twin_loss, twin_grads = twin.loss_and_grads(tokens, targets, segments=segments)
    assert float(twin_loss) == pytest.approx(loss, rel=1e-4)
    assert_close(twin_grads, grads, 1e-4)


@pytest.mark.parametrize("backend", ["numpy", "mlx"])
@each_relative
def test_a_cache_changes_nothing_beyond_the_window(name: str, backend: str) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx.core", exc_type=ImportError)
    config = small_config(**{**SWITCHES[name], "context_length": 12})
    judge, model = random_model(config, np.float32), load_backend(backend).GPT(config)
    model.update(judge.parameters())
    tokens, lengths = random_tokens(config, 2, 12), np.array([3, 5])
    cache = model.make_cache(2)
    first = np.asarray(model.next_logits(tokens[:, :5], cache, lengths))
    for row, length in enumerate(lengths):
        whole, _ = plain.gpt(tokens[row : row + 1, :length], judge.parameters(), config)
        np.testing.assert_allclose(first[row], whole[0, -1], atol=1e-4)
    for step in range(6):
        ids = tokens[np.arange(2), lengths + step][:, None]
        logits = np.asarray(model.next_logits(ids, cache))
        for row, length in enumerate(lengths + step + 1):
            whole, _ = plain.gpt(tokens[row : row + 1, :length], judge.parameters(), config)
            np.testing.assert_allclose(logits[row], whole[0, -1], atol=1e-4)


@pytest.mark.parametrize("backend", ["numpy", "mlx"])
def test_a_window_hides_what_lies_before_it(backend: str) -> None:
    """A change is seen by the tokens whose window holds it, in one layer, and by no others."""
    if backend == "mlx":
        pytest.importorskip("mlx.core", exc_type=ImportError)
    model = load_backend(backend).GPT(small_config(**SWITCHES["mistral"]), 0, "normal")
    tokens = random_tokens(model.config, 1, 6)
    changed = tokens.copy()
    changed[0, 1] = (changed[0, 1] + 1) % model.config.vocab_size
    differs = (np.asarray(model(tokens)) != np.asarray(model(changed))).any(-1)[0]
    assert differs.tolist() == [False, True, True, True, False, False]


@each_packing
@pytest.mark.parametrize("name", ["mistral", "qwen2 windows"])
@pytest.mark.parametrize("backend", ["numpy", "mlx"])
def test_windows_are_seen_where_attention_drops(
    name: str, backend: str, segments: Array | None
) -> None:
    """With a rate that drops nothing, the pass that could drop gives the same."""
    if backend == "mlx":
        mx = pytest.importorskip("mlx.core", exc_type=ImportError)
    config = small_config(**SWITCHES[name], dropout=1e-7)
    judge, model = random_model(config, np.float32), load_backend(backend).GPT(config)
    model.update(judge.parameters())
    tokens, targets = batch(config)
    rng = np.random.default_rng(0) if backend == "numpy" else mx.random.key(0)
    found, grads = model.loss_and_grads(tokens, targets, segments=segments, rng=rng)
    _, loss, expected = run_plain(config, judge.parameters(), tokens, targets, segments)
    assert float(found) == pytest.approx(loss, rel=1e-4)
    assert_close(grads, expected, 1e-4)


def test_a_long_context_is_rotated_as_a_short_one() -> None:
    nn = load_backend("numpy")
    short, long = nn.RotaryEmbedding(4, 4200), nn.RotaryEmbedding(4, 1 << 24)
    whole = np.random.default_rng(0).normal(size=(1, 4200, 1, 4)).astype(np.float32)
    places = np.arange(4200)
    np.testing.assert_array_equal(long(whole, places), short(whole, places))
    for place in (0, 2047, 2048, 4095, 4096):
        one = whole[:, place : place + 1]
        expected = short(one, np.array([place]))
        np.testing.assert_array_equal(long(one, np.array([place])), expected)


def test_rules_slow_the_slow_pairs_and_leave_the_fast() -> None:
    plain_ones, strength = rope_frequencies(64, 10_000.0)
    assert strength == 1.0
    for changes in (LLAMA3, YARN):
        scaling = RopeScaling(**{**changes, "original_context": 4096})
        scaled, _ = rope_frequencies(64, 10_000.0, scaling)
        assert scaled[0] == plain_ones[0]
        assert scaled[-1] == pytest.approx(plain_ones[-1] / 4)
        assert (np.diff(plain_ones / scaled) >= -1e-12).all()
    assert RopeScaling(**YARN).strength == 1.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layers": 2, "rope_layers": (0,)}, "rope_layers is about position 'rope'"),
        ({"rope_scaling": {"rule": "linear", "factor": 2}}, "rope_scaling is about position"),
        ({"n_layers": 2, "window_layers": (0,)}, "window_layers needs a sliding_window"),
        ({"sliding_window": -1}, "sliding_window is -1"),
        ({"sliding_window": 2, "window_layers": (3,)}, "numbers of layers, 0 to 0"),
        ({"position": "rope", "rope_layers": "all"}, "it takes numbers of layers"),
        ({"position": "rope", "head_dim": 3}, "must be even"),
        ({"position": "rope", "rope_scaling": "yarn"}, "it takes a rule and its numbers"),
        ({"position": "rope", "rope_scaling": {"rule": "ntk", "factor": 2}}, "choose one of"),
        ({"position": "rope", "rope_scaling": {"rule": "yarn", "factor": 2}}, "original_context"),
        ({"position": "rope", "rope_scaling": {"rule": "linear", "factor": 0}}, "factor is 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config(**changes)
