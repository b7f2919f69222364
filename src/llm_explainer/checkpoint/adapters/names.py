"""What a target is called in the models of transformers and mlx-lm."""

from __future__ import annotations

import re
from typing import NamedTuple

from llm_explainer.config import ModelConfig
from llm_explainer.lora_config import HEAD

FUSED = ("q_proj", "k_proj", "v_proj")
"""GPT-2 has them in one layer, ``attn.c_attn``, as we have."""

_LLAMA = {
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "o_proj": "self_attn.o_proj",
    "gate_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "down_proj": "mlp.down_proj",
}
_GPT2 = {
    **dict.fromkeys(FUSED, "attn.c_attn"),
    "o_proj": "attn.c_proj",
    "up_proj": "mlp.c_fc",
    "down_proj": "mlp.c_proj",
}
_MODULE = re.compile(r"(?:\w+\.)*?(?:(?P<stack>h|layers)\.(?P<block>\d+)\.(?P<layer>.+)|lm_head)")


class Place(NamedTuple):
    """A layer of somebody's model, and the targets that it holds."""

    block: int | None  # None for the head
    targets: tuple[str, ...]


def layer_of(config: ModelConfig, target: str) -> str:
    """Return a target's layer in a block, such as ``self_attn.q_proj``, or ``lm_head``."""
    if target == HEAD:
        return "lm_head"
    return (_GPT2 if config.family == "gpt2" else _LLAMA)[target]


def module_of(config: ModelConfig, target: str, block: int, *, mlx_lm: bool = False) -> str:
    """Return the whole name of a target's layer, as transformers or mlx-lm has it."""
    if target == HEAD:
        return "lm_head"
    if config.family == "gpt2":
        stack = "model.h" if mlx_lm else "transformer.h"
    else:
        stack = "model.layers"
    return f"{stack}.{block}.{layer_of(config, target)}"


def place_of(config: ModelConfig, module: str) -> Place | None:
    """Return what a layer of this name is here; None where we have none."""
    match = _MODULE.fullmatch(module)
    if match is None:
        return None
    if match["block"] is None:
        return Place(None, (HEAD,))
    layers = _GPT2 if match["stack"] == "h" else _LLAMA
    targets = tuple(target for target, layer in layers.items() if layer == match["layer"])
    block = int(match["block"])
    return Place(block, targets) if targets and block < config.n_layers else None
