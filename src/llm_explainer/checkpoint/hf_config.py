"""``config.json``: our ``ModelConfig`` in the words of Hugging Face, and back.

What a word of theirs cannot say (that a GPT-2 has no biases, say, or that a part is frozen) is
added under "llm_explainer", which other software ignores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from llm_explainer.checkpoint.hf_keys import EXTRA, check_keys, resolve_synonyms
from llm_explainer.checkpoint.hf_llama import from_llama, to_llama
from llm_explainer.checkpoint.json_objects import JsonObject, read_object
from llm_explainer.checkpoint.layouts import Container
from llm_explainer.checkpoint.packed import KEYS, Packing, read_packing
from llm_explainer.config import Activation, ModelConfig, Norm, NormPosition, Position
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tokenizer.roles import TokenRoles

_FROZEN = "frozen"

# GELU in its tanh form has three names there; "gelu" is the exact form, which we lack.
_ACTIVATIONS: dict[str, Activation] = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def container_of(config: ModelConfig) -> Container:
    """Return the kind of directory that a model is saved as."""
    return config.family or "llm_explainer"


def to_document(
    config: ModelConfig, roles: TokenRoles, frozen: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the content of ``config.json``.

    Args:
        config: of any family or of none.
        roles: the tokens that begin and end a text.
        frozen: dotted names of the parameters that do not learn.
    """
    container = container_of(config)
    shared = {
        "model_type": container,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        **roles.to_config(),
        "dtype": "float32",
    }
    extra: dict[str, Any] = {_FROZEN: list(frozen)} if frozen else {}
    if container == "llm_explainer":
        document = {**shared, **config.to_dict()}
    else:
        is_gpt2 = container == "gpt2"
        document = shared | (_to_gpt2(config) if is_gpt2 else to_llama(config, container))
        known = from_document(document, "config.json")[1].to_dict()
        extra |= {key: value for key, value in config.to_dict().items() if known[key] != value}
    return {**document, EXTRA: extra} if extra else document


def read_spec(path: Path) -> tuple[Container, ModelSpec, Packing | None]:
    """Return the kind of a directory, the model that its ``config.json`` describes, and how its
    weights are packed where they are.

    Raises:
        CheckpointError: missing, damaged, or a model that we cannot build.
    """
    document = read_object(path)
    packing = read_packing(JsonObject(document, path))
    whole = {key: value for key, value in document.items() if key not in KEYS}
    container, config = from_document(whole, path)
    frozen = JsonObject(document, path).section(EXTRA).get(_FROZEN) or []
    if not (isinstance(frozen, list) and all(isinstance(name, str) for name in frozen)):
        raise CheckpointError(f"{path}: {_FROZEN} is {frozen!r}; a list of names is expected")
    return container, ModelSpec(config, tuple(frozen)), packing


def from_document(document: dict[str, Any], source: object) -> tuple[Container, ModelConfig]:
    """Read the content of a ``config.json`` that came from ``source``.

    Raises:
        CheckpointError: damaged, or a model that we cannot build.
    """
    values = JsonObject(document, source)
    container: Container = values.choice("model_type", {kind: kind for kind in get_args(Container)})
    try:
        if container == "llm_explainer":
            check_keys(values, container, _FIELDS)
            is_there = {name for name in _FIELDS if values.get(name) is not None}
            names = [name for name in _FIELDS if name in is_there or name not in _ADDED]
            return container, ModelConfig(**_read_fields(values, names))
        check_keys(values, container)
        values = resolve_synonyms(values, container)
        is_gpt2 = container == "gpt2"
        config = _from_gpt2(values) if is_gpt2 else from_llama(values, container)
        extra = values.section(EXTRA)
        names = [name for name in extra.names() if name != _FROZEN]
        return container, dataclasses.replace(config, **_read_fields(extra, names))
    except ConfigError as error:
        raise CheckpointError(f"{source}: {error}") from None


def _to_gpt2(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "n_positions": config.context_length,
        "n_ctx": config.context_length,  # transformers no longer needs it, mlx-lm does
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.d_ff,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
    }


def _from_gpt2(values: JsonObject) -> ModelConfig:
    d_model, n_heads = values.size("n_embd"), values.size("n_head")
    return ModelConfig(
        vocab_size=values.size("vocab_size"),
        context_length=values.size("n_positions"),
        d_model=d_model,
        n_layers=values.size("n_layer"),
        n_heads=n_heads,
        d_ff=values.size("n_inner", 4 * d_model),
        norm="layernorm",
        position="learned",
        activation=values.choice("activation_function", _ACTIVATIONS, "gelu_new"),
        bias=True,
        tie_embeddings=values.flag("tie_word_embeddings", True),
        dropout=values.number("resid_pdrop", 0.1),
        norm_eps=values.number("layer_norm_epsilon", 1e-5),
    )


def _read_fields(values: JsonObject, names: Any) -> dict[str, Any]:
    """Return fields of ``ModelConfig`` that are stored under their own names."""
    fields: dict[str, Any] = {}
    for name in names:
        example = _FIELDS.get(name)
        if name in _CHOICES:
            fields[name] = values.choice(name, {choice: choice for choice in _CHOICES[name]})
        elif name in _CHECKED_LATER:
            fields[name] = values.get(name)
        elif isinstance(example, bool):
            fields[name] = values.flag(name)
        elif isinstance(example, int):
            fields[name] = values.size(name)
        elif isinstance(example, float):
            fields[name] = values.number(name)
        else:
            values.refuse(name, f"known are {', '.join(_FIELDS)}")
    return fields


_FIELDS = ModelConfig.preset("tiny").to_dict()  # every field with a value of its type
_CHECKED_LATER = ("rope_scaling", "rope_layers", "window_layers", "sliding_window")  # in the config
# What checkpoints of earlier versions lack, and have as by default.
_ADDED = ("norm_position", "head_dim", "qkv_bias", "qk_norm", *_CHECKED_LATER)
_CHOICES = {
    "norm": get_args(Norm),
    "norm_position": get_args(NormPosition),
    "position": get_args(Position),
    "activation": get_args(Activation),
}
