"""The likeliest next ids on both backends, and texts written while a step works ahead."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, random_model, small_config
from test_lookahead import continued

from llm_explainer.backend import load_backend
from llm_explainer.errors import GenerationError
from llm_explainer.layer_calls import layer_calls

VARIED = {"vocab_size": 30, "context_length": 14, "n_layers": 2, "tie_embeddings": False}
"""A model of these does not say the same word over and over."""

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@pytest.fixture(params=["numpy", "mlx"])
def backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "mlx":
        pytest.importorskip("mlx.core", exc_type=ImportError)
    return load_backend(request.param)


def model_of(backend: Any, **changes: Any) -> Any:
    """Return a model of this backend with random weights, the same on both."""
    weights = random_model(small_config(**changes), np.float32)
    model = backend.GPT(weights.config)
    model.update(weights.parameters())
    return model


def test_mlx_begins_to_compute_before_anyone_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    mx = pytest.importorskip("mlx.core", exc_type=ImportError)
    begun: list[Any] = []
    monkeypatch.setattr(mx, "async_eval", lambda *arrays: begun.extend(arrays))
    found, scores = model_of(load_backend("mlx")).next_ids(np.array([[1, 2]]))
    assert [id(array) for array in begun] == [id(found), id(scores)]


def test_mlx_is_lazy_and_numpy_is_not(backend: Any) -> None:
    assert backend.GPT.is_lazy == (backend is not load_backend("numpy"))


@each_family
@pytest.mark.parametrize("how", ["context", "end of text", "stop", "windowed"])
def test_a_model_writes_the_same_texts_when_it_works_ahead(
    backend: Any, family: dict[str, Any], how: str
) -> None:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(30, size=n).tolist() for n in (3, 9, 1, 5, 5, 2, 7)]
    model = model_of(backend, **(family | VARIED))
    options: dict[str, Any] = {"max_tokens": 20, "windowed": how == "windowed"}
    if how in ("end of text", "stop"):
        texts = [set(ids) for ids, _, _ in continued(model, prompts, **options)]
        n_texts = Counter(token for text in texts for token in text)  # that a token is in
        some = max((n, token) for token, n in n_texts.items() if n < len(prompts))[1]
        options |= {"stop": some} if how == "stop" else {"ends": [some]}
    expected = continued(model, prompts, use_cache=False, **options)
    reasons = {ended_by for _, ended_by, _ in expected}
    assert reasons == {"max_tokens"} if how == "windowed" else reasons == {how, "context"}
    for model.is_lazy in (False, True):
        assert continued(model, prompts, **options) == expected
        assert [continued(model, [prompt], **options)[0] for prompt in prompts] == expected


@each_family
@pytest.mark.parametrize("vocab_size", [None, 7, 4])
def test_next_ids_are_those_of_the_highest_logits(
    backend: Any, family: dict[str, Any], vocab_size: int | None
) -> None:
    model = model_of(backend, **family)
    rng = np.random.default_rng(1)
    tokens, lengths = rng.integers(7, size=(5, 4)), np.array([4, 1, 3, 2, 4])
    caches = [model.make_cache(5), model.make_cache(5)]
    for piece, ends in [(tokens, lengths), (tokens[:, :1], None)]:
        logits = np.asarray(model.next_logits(piece, caches[0], ends))[:, :vocab_size]  # (B, V)
        found, scores = model.next_ids(piece, caches[1], ends, vocab_size)
        np.testing.assert_array_equal(np.asarray(found), logits.argmax(-1))
        np.testing.assert_array_equal(np.asarray(scores), logits.max(-1))


def test_of_equal_scores_the_first_counts_and_nan_as_the_highest(backend: Any) -> None:
    model = model_of(backend, tie_embeddings=False)
    tokens, tree = np.array([[1, 2]]), model.parameters()
    calls, _ = layer_calls(model, tokens)
    hidden = next(call.y for call in calls if call.name == "final_norm")[0, -1]  # (D,)
    for rows, score in [([2, 3, 5], 0.0), ([4, 6], np.nan)]:
        weight = np.tile(-np.sign(hidden), (7, 1))  # (V, D): every score is below 0
        weight[rows] = score
        model.update({**tree, "head": {"weight": weight}})
        found, scores = model.next_ids(tokens)
        assert np.asarray(found).tolist() == rows[:1]
        np.testing.assert_array_equal(np.asarray(scores), [score])


def test_a_model_that_diverged_is_named_as_the_reason(backend: Any) -> None:
    model = model_of(backend)
    tree = model.parameters()
    model.update({**tree, "final_norm": {**tree["final_norm"], "weight": np.full(8, np.nan)}})
    for options in ({}, {"repetition_penalty": 1.1}):
        with pytest.raises(GenerationError, match=r"highest score is nan; .* diverged"):
            continued(model, [[1, 2]], **options)
