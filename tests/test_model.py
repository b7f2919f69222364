"""The whole model: shapes, names, initial weights, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import (
    FAMILIES,
    SWITCHES,
    random_model,
    random_tokens,
    small_config,
)

from llm_explainer.errors import ConfigError
from llm_explainer.numpy_backend import GPT
from llm_explainer.tree import flatten

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@each_switch
def test_inference_and_forward_give_the_same_logits(changes: dict[str, Any]) -> None:
    model = random_model(small_config(**changes))
    tokens = random_tokens(model.config, 3, 5)
    logits, _ = model.forward(tokens)
    assert logits.shape == (3, 5, model.config.vocab_size)
    np.testing.assert_allclose(model(tokens), logits, rtol=1e-12, atol=1e-12)


@each_switch
def test_a_token_sees_itself_and_those_before(changes: dict[str, Any]) -> None:
    model = random_model(small_config(**changes))
    tokens = random_tokens(model.config, 1, 6)
    changed = tokens.copy()
    changed[0, 3] = (changed[0, 3] + 1) % model.config.vocab_size
    difference = np.abs(model(tokens) - model(changed))[0].max(-1)  # (T,)
    # Through as many layers as there are, a window reaches so far beyond the changed token.
    reach = model.config.n_layers * (model.config.sliding_window - 1)
    last = 3 + reach if model.config.sliding_window and model.config.window_layers is None else 5
    np.testing.assert_array_equal(np.delete(difference, range(3, last + 1)), 0)
    assert (difference[3 : last + 1] > 1e-6).all()


@each_family
def test_the_order_of_tokens_matters(family: dict[str, Any]) -> None:
    model = random_model(small_config(**family))
    ends = [model(np.array([[*first, 3]]))[0, -1] for first in ([1, 2, 2], [2, 1, 2])]
    assert np.abs(ends[0] - ends[1]).max() > 1e-6


def test_parameter_names() -> None:
    """Checkpoints and other tools build on these names."""
    gpt2 = flatten(GPT(small_config()).parameters())
    weights_of_a_block = [
        "attention_norm.weight",
        "attention_norm.bias",
        "attention.qkv_proj.weight",
        "attention.qkv_proj.bias",
        "attention.out_proj.weight",
        "attention.out_proj.bias",
        "feed_forward_norm.weight",
        "feed_forward_norm.bias",
        "feed_forward.up_proj.weight",
        "feed_forward.up_proj.bias",
        "feed_forward.down_proj.weight",
        "feed_forward.down_proj.bias",
    ]
    assert list(gpt2) == [
        "token_embedding.weight",
        "position_embedding.weight",
        *(f"blocks.0.{name}" for name in weights_of_a_block),
        "final_norm.weight",
        "final_norm.bias",
    ]
    llama = flatten(GPT(small_config(**FAMILIES["llama"], tie_embeddings=False)).parameters())
    assert llama["blocks.0.feed_forward.gate_proj.weight"].shape == (6, 8)
    assert llama["blocks.0.attention.qkv_proj.weight"].shape == (16, 8)  # 4 + 2 + 2 heads of 2
    assert llama["head.weight"].shape == (7, 8)
    assert not [name for name in llama if "bias" in name or "position" in name]


# update, replace, astype


def test_update_copies_values_in_place() -> None:
    model, other = random_model(small_config()), random_model(small_config(), seed=1)
    arrays = flatten(model.parameters())
    model.update(other.parameters())
    for name, array in flatten(model.parameters()).items():
        assert array is arrays[name]
        assert not np.shares_memory(array, flatten(other.parameters())[name])
        np.testing.assert_array_equal(array, flatten(other.parameters())[name])


def test_replace_takes_the_arrays_themselves() -> None:
    model = random_model(small_config(**FAMILIES["llama"]))
    other = random_model(model.config, seed=1)
    model.replace(other.parameters())
    for name, array in flatten(model.parameters()).items():
        assert array is flatten(other.parameters())[name]


def test_update_refuses_what_does_not_fit() -> None:
    model = GPT(small_config())
    tree = model.parameters()
    with pytest.raises(ValueError, match=r"final_norm.weight: \(3,\) does not fit \(8,\)"):
        model.update({**tree, "final_norm": {"weight": np.ones(3), "bias": np.ones(8)}})
    del tree["final_norm"]
    with pytest.raises(KeyError, match=r"final_norm\.weight"):
        model.update(tree)


def test_astype_converts_every_parameter() -> None:
    model = GPT(small_config(**FAMILIES["llama"], tie_embeddings=False))
    assert {array.dtype for array in flatten(model.parameters()).values()} == {np.dtype("f4")}
    assert model.astype(np.float64) is model
    assert {array.dtype for array in flatten(model.parameters()).values()} == {np.dtype("f8")}


# What does not fit the context is refused.


def test_more_tokens_than_the_context_holds() -> None:
    model = GPT(small_config())
    tokens = random_tokens(model.config, 1, 7)
    for refused in (
        lambda: model(tokens),
        lambda: model.forward(tokens),
        lambda: model.loss(tokens, tokens),
        lambda: model.loss_and_grads(tokens, tokens),
        lambda: model(tokens, model.make_cache()),
    ):
        with pytest.raises(ConfigError, match="7 tokens do not fit the context of 6"):
            refused()
    assert model(tokens[:, :6]).shape == (1, 6, 7)


# Seeds


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (flatten(GPT(small_config(), seed=s).parameters()) for s in (1, 1, 2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, same[name])
    assert (first["token_embedding.weight"] != other["token_embedding.weight"]).any()


@pytest.mark.parametrize("scheme", ["normal", "truncated_normal"])
def test_initial_weights(scheme: str) -> None:
    """std 0.02, and for what writes into the residual stream 0.02 / sqrt(2 · n_layers)."""
    config = small_config(d_model=64, d_ff=256, n_layers=8, vocab_size=200, tie_embeddings=False)
    arrays = flatten(GPT(config, init_scheme=scheme).parameters())
    unit = 1.0 if scheme == "normal" else 0.8796  # std of a normal cut at two deviations
    for name, array in arrays.items():
        if array.ndim == 1:
            np.testing.assert_array_equal(array, float("norm.weight" in name), err_msg=name)
            continue
        residual = "out_proj" in name or "down_proj" in name
        std = 0.02 * unit * (0.25 if residual else 1)
        assert array.std() == pytest.approx(std, rel=0.1), name
        assert abs(array.mean()) < 0.1 * std, name


def test_the_first_loss_is_a_blind_guess() -> None:
    """Small initial weights make all tokens about equally likely: log(vocab_size) nats."""
    for family in FAMILIES.values():
        model = GPT(small_config(vocab_size=100, d_model=64, **family))
        tokens = random_tokens(model.config, 4, 6)
        assert model.loss(tokens, tokens[:, ::-1]) == pytest.approx(np.log(100), rel=0.05)


def test_zeros_wait_for_a_checkpoint() -> None:
    model = GPT(small_config(), init_scheme="zeros")
    for name, array in flatten(model.parameters()).items():
        assert array.any() == ("norm.weight" in name)
