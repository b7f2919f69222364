"""Model configs: bad values are refused in a line that says what would do; counts are true."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SWITCHES, small_config

from llm_explainer.config import (
    SIZES,
    Activation,
    ModelConfig,
    Norm,
    NormPosition,
    Position,
    default_d_ff,
)
from llm_explainer.errors import ConfigError
from llm_explainer.numpy_backend import GPT
from llm_explainer.tree import flatten

NOT_A_SIZE = [0, -1, 2.5, "8", None, True, float("nan")]
NOT_A_SIZE_OR_ZERO = [value for value in NOT_A_SIZE if value != 0]
BAD_VALUES: dict[str, list[Any]] = {
    "vocab_size": NOT_A_SIZE,
    "context_length": NOT_A_SIZE,
    "d_model": NOT_A_SIZE,
    "n_layers": NOT_A_SIZE,
    "n_heads": NOT_A_SIZE,
    "n_kv_heads": NOT_A_SIZE_OR_ZERO,
    "head_dim": NOT_A_SIZE_OR_ZERO,
    "d_ff": NOT_A_SIZE_OR_ZERO,
    "norm": ["batchnorm", "", None, 1],
    "norm_position": ["before", "", None, True],
    "position": ["alibi", "RoPE", None],
    "activation": ["tanh", "GELU", None],
    "bias": [1, 0, "true", None],
    "qkv_bias": [1, "no", None],
    "qk_norm": [1, "no", None],
    "tie_embeddings": [1, "no", None],
    "dropout": [-0.1, 1.0, 1, 2, float("nan"), "0.1", None, True],
    "rope_theta": [0, -1.0, 0.5, float("inf"), float("nan"), "10000", None],
    "rope_scaling": ["yarn", 2.0, {"factor": 2}, [1]],
    "rope_layers": ["all", 1, [9], [-1], [True], [0.5], {0: 1}],
    "sliding_window": NOT_A_SIZE_OR_ZERO,
    "window_layers": ["all", 1, [9], [-1], [True], [0.5], {0: 1}],
    "norm_eps": [0, -1e-5, 1.0, float("nan"), float("inf"), "1e-5", None],
}


def error_of(**changes: Any) -> str:
    """Return the message that refuses these changes: one line."""
    with pytest.raises(ConfigError) as caught:
        small_config(**changes)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_field_has_bad_values_here() -> None:
    assert set(BAD_VALUES) == {field.name for field in dataclasses.fields(ModelConfig)}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in BAD_VALUES for value in BAD_VALUES[field]]
)
def test_bad_values_are_refused(field: str, value: Any) -> None:
    message = error_of(**{field: value})
    assert field in message
    assert repr(value) in message
    assert "it takes" in message or "choose one of" in message


def test_widths_that_heads_do_not_divide() -> None:
    message = error_of(d_model=64, n_heads=5)
    assert "d_model 64 is not divisible by n_heads 5" in message
    assert "n_heads 4 would do" in message
    assert "n_heads 6 would do" in error_of(d_model=6, n_heads=5)
    assert "n_heads 4 is not divisible by n_kv_heads 3" in error_of(n_kv_heads=3)
    assert "n_kv_heads 8" in error_of(n_kv_heads=8)


def test_positions_that_need_even_widths() -> None:
    assert "must be even" in error_of(d_model=12, n_heads=4, position="rope")
    assert "must be even" in error_of(d_model=9, n_heads=3, position="sinusoidal")
    small_config(d_model=12, n_heads=4, position="sinusoidal")
    small_config(d_model=9, n_heads=3, position="learned")


def test_values_left_out_are_filled_in() -> None:
    config = small_config(d_ff=0)
    assert (config.n_kv_heads, config.d_ff, config.head_dim) == (4, 32, 2)
    assert small_config(d_ff=0, d_model=96, activation="swiglu").d_ff == 256
    assert default_d_ff(128, "gelu") == 512
    assert default_d_ff(128, "swiglu") == 352  # 341.3, up to a multiple of 32


def test_a_config_is_frozen_and_goes_to_json_and_back() -> None:
    config = small_config(n_kv_heads=2, dropout=0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.d_model = 3  # type: ignore[misc]
    assert ModelConfig(**config.to_dict()) == config


# Families and presets


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("size", SIZES)
def test_presets_belong_to_their_family(size: str, family: str) -> None:
    config = ModelConfig.preset(size, family=family)
    assert config.family == family
    for field, value in SIZES[size].items():
        assert getattr(config, field) == value


def test_presets_take_changes() -> None:
    config = ModelConfig.preset("tiny", family="llama", vocab_size=99, n_kv_heads=1, dropout=0.1)
    assert (config.vocab_size, config.n_kv_heads, config.dropout) == (99, 1, 0.1)
    assert ModelConfig.preset("tiny").vocab_size == SIZES["tiny"]["vocab_size"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"size": "huge"}, "'huge'"),
        ({"size": "tiny", "family": "bert"}, "'bert'"),
        ({"size": "tiny", "n_head": 2}, "'n_head'"),
        ({"size": "tiny", "n_heads": 3}, "n_heads 3"),
        ({"size": "tiny", "vocab_size": -1}, "-1"),
    ],
)
def test_unknown_presets_are_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.preset(**arguments)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({"d_ff": 32}, "gpt2"),
        ({"d_ff": 32, "bias": False}, "gpt2"),  # saved with biases of zero
        ({"d_ff": 31}, "gpt2"),
        ({"d_ff": 32, "n_kv_heads": 2}, None),
        ({"d_ff": 32, "tie_embeddings": False}, "gpt2"),
        ({"d_ff": 32, "position": "sinusoidal"}, None),
        ({"d_ff": 32, "activation": "relu"}, None),
        (SWITCHES["llama"], "llama"),
        (SWITCHES["llama untied"], "llama"),
        (SWITCHES["llama biases"], "llama"),
        (SWITCHES["llama layernorm"], None),
        (SWITCHES["gpt2 post"], None),
        (SWITCHES["llama post"], None),
    ],
)
def test_family_is_what_hugging_face_can_express(
    changes: dict[str, Any], family: str | None
) -> None:
    assert small_config(**changes).family == family


# Parameters are counted, never guessed.


def count(config: ModelConfig) -> int:
    """Count the numbers of a real model."""
    arrays = flatten(GPT(config, init_scheme="zeros").parameters())
    return sum(array.size for array in arrays.values())


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_presets_have_as_many_parameters_as_they_say(size: str, family: str) -> None:
    config = ModelConfig.preset(size, family=family)
    assert config.count_parameters() == count(config)


def test_gpt2_small_has_the_published_number_of_parameters() -> None:
    assert ModelConfig.preset("gpt2-small").count_parameters() == 124_439_808
    assert ModelConfig.preset("gpt2-medium").count_parameters() == 354_823_168


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Any config that is valid."""
    n_kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    n_heads = n_kv_heads * group
    return ModelConfig(
        vocab_size=draw(st.integers(1, 20)),
        context_length=draw(st.integers(1, 9)),
        d_model=n_heads * 2 * draw(st.integers(1, 3)),
        n_layers=draw(st.integers(1, 3)),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_ff=draw(st.integers(0, 40)),
        norm=draw(st.sampled_from(get_args(Norm))),
        norm_position=draw(st.sampled_from(get_args(NormPosition))),
        position=draw(st.sampled_from(get_args(Position))),
        activation=draw(st.sampled_from(get_args(Activation))),
        bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        dropout=draw(st.floats(0, 0.9)),
    )


@settings(max_examples=150)
@given(config=configs())
def test_every_valid_config_makes_the_model_that_it_counts(config: ModelConfig) -> None:
    assert config.count_parameters() == count(config)
    assert ModelConfig(**config.to_dict()) == config


def test_flops_count_what_is_multiplied() -> None:
    """6 for each weight of a product and 12 · layers · width · context for attention."""
    config = small_config(bias=False)
    in_products = count(config) - 6 * 8  # all but the table of positions
    attention = 12 * 1 * 8 * 6
    assert config.training_flops_per_token() == 6 * in_products + attention
    untied = small_config(bias=False, tie_embeddings=False)
    assert untied.training_flops_per_token() == config.training_flops_per_token()
