"""``config.json`` of Llama and of its relatives, which differ from it by a switch or two.

What a type has where a key is missing is as in transformers; where transformers and mlx-lm differ
in that, the key must be there.
"""

from __future__ import annotations

from typing import Any

from llm_explainer.checkpoint.hf_rope import read_rope, to_rope
from llm_explainer.checkpoint.json_objects import JsonObject
from llm_explainer.config import Family, ModelConfig

CLASSES: dict[Family, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
_CONTEXTS = {"llama": 2048, "mistral": 131_072}  # where missing; others 32,768
_MOST_LAYERS = 1 << 14  # what is said of each layer is spelled out before the weights are there
_FULL, _SLIDING = "full_attention", "sliding_attention"


def to_llama(config: ModelConfig, family: Family) -> dict[str, Any]:
    """Return the keys of a config that is an instance of ``family``."""
    document: dict[str, Any] = {
        "architectures": [CLASSES[family]],
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_dropout": config.dropout,
        "rms_norm_eps": config.norm_eps,
        **to_rope(config.rope_theta, config.rope_scaling),
    }
    if family in ("llama", "smollm3"):
        document |= {"attention_bias": config.bias, "mlp_bias": config.bias}
    if family == "qwen3":
        document["attention_bias"] = False
    if family == "mistral":
        document["sliding_window"] = config.sliding_window or None
    if family in ("qwen2", "qwen3", "smollm3"):
        windows = [config.window_of(layer) for layer in range(config.n_layers)]
        document |= {
            "use_sliding_window": any(windows),
            "sliding_window": config.sliding_window or None,
            "layer_types": [_SLIDING if window else _FULL for window in windows],
        }
        # transformers asks for no window from here on, and layer_types overrules it.
        document |= {} if family == "smollm3" else {"max_window_layers": config.n_layers}
    if family == "smollm3":
        document["no_rope_layers"] = [int(config.rotates(i)) for i in range(config.n_layers)]
    return document


def from_llama(values: JsonObject, family: Family) -> ModelConfig:
    """Read the keys of a ``config.json`` of ``family``.

    Raises:
        CheckpointError: damaged, or a model that we cannot build.
        ConfigError: values that cannot work.
    """
    d_model, n_heads = values.size("hidden_size"), values.size("num_attention_heads")
    n_layers = values.size("num_hidden_layers", most=_MOST_LAYERS)
    context = values.size("max_position_embeddings", _CONTEXTS.get(family, 32_768))
    is_smollm3 = family == "smollm3"
    return ModelConfig(
        vocab_size=values.size("vocab_size"),
        context_length=context,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=_read_kv_heads(values, family, n_heads),
        head_dim=_read_head_dim(values, family),
        d_ff=values.size("intermediate_size"),
        norm="rmsnorm",
        position="rope",
        activation=values.choice("hidden_act", {"silu": "swiglu", "swish": "swiglu"}, "silu"),
        bias=_read_bias(values, family),
        qkv_bias=family == "qwen2",
        qk_norm=family == "qwen3",
        tie_embeddings=values.flag("tie_word_embeddings", is_smollm3),
        dropout=values.number("attention_dropout", 0.0),
        norm_eps=values.number("rms_norm_eps", 1e-6),
        rope_layers=_read_rope_layers(values, n_layers) if is_smollm3 else None,
        **_read_windows(values, family, n_layers),
        **read_rope(values, 2_000_000.0 if is_smollm3 else 10_000.0, context),
    )


def _read_kv_heads(values: JsonObject, family: Family, n_heads: int) -> int:
    if family == "llama" or "num_key_value_heads" in values.names():
        return values.size("num_key_value_heads", n_heads)
    return values.size("num_key_value_heads")  # missing: transformers and mlx-lm differ


def _read_head_dim(values: JsonObject, family: Family) -> int:
    """Return the width of a head; 0 for hidden_size / num_attention_heads."""
    if family == "qwen3":
        return values.size("head_dim")
    return 0 if values.get("head_dim") is None else values.size("head_dim")


def _read_bias(values: JsonObject, family: Family) -> bool:
    if family in ("mistral", "qwen2"):
        return False
    bias = values.flag("attention_bias", False)
    if family == "qwen3":
        if bias:
            values.refuse("attention_bias", "false is supported in a qwen3")
    elif values.flag("mlp_bias", False) != bias:
        values.refuse("mlp_bias", f"the same as attention_bias, {str(bias).lower()}, is supported")
    return bias


def _read_windows(values: JsonObject, family: Family, n_layers: int) -> dict[str, Any]:
    """Return ``sliding_window`` and ``window_layers`` of a ``ModelConfig``."""
    if family == "llama":
        return {}
    if family == "mistral":  # null says that there is none; missing, that it is 4096
        is_none = "sliding_window" in values.names() and values.get("sliding_window") is None
        return {} if is_none else {"sliding_window": values.size("sliding_window", 4096)}
    types = values.get("layer_types")
    if types is not None and not _are_layer_types(types, n_layers):
        values.refuse("layer_types", f"{n_layers} of {_FULL!r} and {_SLIDING!r} are expected")
    is_used = values.flag("use_sliding_window", False)
    if not is_used or (family == "smollm3" and values.get("sliding_window") is None):
        if types is not None and _SLIDING in types:
            values.refuse("layer_types", "there is a window only with use_sliding_window")
        return {}
    if types is None:
        types = _default_types(values, family, n_layers)
    layers = tuple(i for i, kind in enumerate(types) if kind == _SLIDING)
    if not layers:
        return {}
    return {"sliding_window": values.size("sliding_window"), "window_layers": layers}


def _are_layer_types(types: Any, n_layers: int) -> bool:
    is_list = isinstance(types, list) and len(types) == n_layers
    return is_list and all(kind in (_FULL, _SLIDING) for kind in types)


def _default_types(values: JsonObject, family: Family, n_layers: int) -> list[str]:
    """Return what each layer does where ``layer_types`` is missing."""
    if family == "smollm3":  # the layers that rotate nothing
        rotating = _read_rope_layers(values, n_layers)
        have_window = [i not in rotating for i in range(n_layers)]
    else:
        first = values.get("max_window_layers")
        if first != 0:
            first = values.size("max_window_layers", 28)
        have_window = [i >= first for i in range(n_layers)]
    return [_SLIDING if has else _FULL for has in have_window]


def _read_rope_layers(values: JsonObject, n_layers: int) -> tuple[int, ...]:
    """Return the layers that rotate: ``no_rope_layers`` has 1 for them, whatever its name says."""
    flags = values.get("no_rope_layers")
    if flags is None:
        interval = values.size("no_rope_layer_interval", 4)
        flags = [int((i + 1) % interval != 0) for i in range(n_layers)]
    are_flags = isinstance(flags, list) and all(type(f) is int and f in (0, 1) for f in flags)
    if not are_flags or len(flags) != n_layers:
        values.refuse("no_rope_layers", f"{n_layers} of 0 and 1 are expected")
    return tuple(i for i, rotates in enumerate(flags) if rotates)
