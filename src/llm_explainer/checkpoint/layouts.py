"""Under which names, and which way round, each kind of directory stores a parameter.

Ours are (out, in) matrices, with queries, keys and values in one. GPT-2's files hold the transpose,
(in, out), and Llama's hold queries, keys and values one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from llm_explainer.checkpoint.tensors import Shape
from llm_explainer.config import Family, ModelConfig

Container = Literal[Family, "llm_explainer"]
"""The ``model_type`` of a directory."""


@dataclass(frozen=True)
class Slot:
    """Where a parameter lies in a file: in one tensor, or in several that hold its rows."""

    parameter: str  # our dotted name
    tensors: dict[str, Shape]  # name and shape in the file, in the order of the rows
    transposed: bool = False


_GPT2_MODULES = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "attention_norm": "ln_1",
    "attention.qkv_proj": "attn.c_attn",
    "attention.out_proj": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward.up_proj": "mlp.c_fc",
    "feed_forward.down_proj": "mlp.c_proj",
    "final_norm": "ln_f",
    "head": "lm_head",
}
_LLAMA_MODULES = {
    "token_embedding": "model.embed_tokens",
    "attention_norm": "input_layernorm",
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
    "attention.out_proj": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate_proj": "mlp.gate_proj",
    "feed_forward.up_proj": "mlp.up_proj",
    "feed_forward.down_proj": "mlp.down_proj",
    "final_norm": "model.norm",
    "head": "lm_head",
}
_WITHOUT_BIAS = ("token_embedding", "position_embedding", "head")

# Tables that some versions of transformers stored beside the parameters: causal masks, and the
# frequencies of the rotations.
_TABLES = re.compile(
    r"h\.\d+\.attn\.(masked_)?bias|model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
)
_PARAMETER = re.compile(r"(?:blocks\.(?P<block>\d+)\.)?(?P<module>.+)\.(?P<kind>weight|bias)")


def layout(container: Container, config: ModelConfig, shapes: Mapping[str, Shape]) -> list[Slot]:
    """Return the slot of every parameter, for a model with parameters of these ``shapes``.

    GPT-2's files always have biases; where the model has none there are slots for them all the
    same, with names that ``shapes`` lacks, and zeros are stored.
    """
    if container == "gpt2":
        return list(_gpt2_slots(shapes))
    if container != "llm_explainer":  # Llama's relatives have its names
        return list(_llama_slots(config, shapes))
    return [Slot(name, {name: shape}) for name, shape in shapes.items()]


def canonical_names(container: Container, stored: Iterable[str]) -> dict[str, list[str]]:
    """Return {the name that a slot uses: the names in the file that mean it}.

    GPT-2's names may begin with ``transformer.`` (transformers), ``model.`` (mlx-lm) or neither;
    Llama's are without ``model.`` where the model was saved without its head. What is no parameter
    is left out.
    """
    names: dict[str, list[str]] = {}
    for name in stored:
        canonical = name
        if container == "gpt2":
            canonical = name.removeprefix("model.").removeprefix("transformer.")
        elif container != "llm_explainer" and not name.startswith(("model.", "lm_head.")):
            canonical = f"model.{name}"
        is_table = _TABLES.fullmatch(name) or _TABLES.fullmatch(canonical)
        if container == "llm_explainer" or not is_table:
            names.setdefault(canonical, []).append(name)
    return names


def _gpt2_slots(shapes: Mapping[str, Shape]) -> Iterator[Slot]:
    for parameter, shape in shapes.items():
        block, module, kind = _split(parameter)
        prefix = "" if block is None else f"h.{block}."
        tensor = f"{prefix}{_GPT2_MODULES[module]}"
        # In the blocks GPT-2 has "Conv1D" layers, which store a linear layer's weight as (in, out).
        transposed = block is not None and len(shape) == 2
        yield Slot(
            parameter, {f"{tensor}.{kind}": shape[::-1] if transposed else shape}, transposed
        )
        bias = parameter.removesuffix(".weight") + ".bias"
        if kind == "weight" and module not in _WITHOUT_BIAS and bias not in shapes:
            yield Slot(bias, {f"{tensor}.bias": shape[:1]})


def _llama_slots(config: ModelConfig, shapes: Mapping[str, Shape]) -> Iterator[Slot]:
    kv_width = config.n_kv_heads * config.head_dim
    rows = {"q": config.attention_width, "k": kv_width, "v": kv_width}
    for parameter, shape in shapes.items():
        block, module, kind = _split(parameter)
        prefix = "" if block is None else f"model.layers.{block}."
        if module == "attention.qkv_proj":
            tensors = {
                f"{prefix}self_attn.{letter}_proj.{kind}": (n_rows, *shape[1:])
                for letter, n_rows in rows.items()
            }
        else:
            tensors = {f"{prefix}{_LLAMA_MODULES[module]}.{kind}": shape}
        yield Slot(parameter, tensors)


def _split(parameter: str) -> tuple[str | None, str, str]:
    """``blocks.3.attention.out_proj.bias`` -> ``("3", "attention.out_proj", "bias")``."""
    match = _PARAMETER.fullmatch(parameter)
    if match is None:
        raise ValueError(f"{parameter} is not the name of a parameter")
    return match["block"], match["module"], match["kind"]
