"""Adapters as PEFT has them: ``adapter_config.json`` and ``adapter_model.safetensors``.

Where a layer's rank is not that of all, as that of GPT-2's fused c_attn, ``rank_pattern`` says so,
and ``alpha_pattern`` leaves the scale what it was: alpha / rank, or rsLoRA's alpha / sqrt(rank).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from llm_explainer.checkpoint.adapters.fusing import by_target
from llm_explainer.checkpoint.adapters.names import layer_of, module_of
from llm_explainer.checkpoint.adapters.parts import Foreign, Key, Part, as_parts, refuse
from llm_explainer.checkpoint.json_objects import JsonObject
from llm_explainer.checkpoint.tensors import Array
from llm_explainer.config import ModelConfig
from llm_explainer.lora_config import LoRAConfig

TENSORS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KINDS = {
    "lora_A.weight": "a",
    "lora_B.weight": "b",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
}
_TENSOR = re.compile(rf"(?:{re.escape(_PREFIX)})?(?P<module>.+?)\.(?P<kind>lora_\w.*)")
_MUST_BE_ABSENT = (
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "lora_bias",
    "megatron_config",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "use_bdlora",
    "use_qalora",
)
"""Settings under which a PEFT adapter holds or does more than A and B."""
_LEAVE_THE_BASE = (None, True, False, "gaussian", "orthogonal", "eva")
"""Ways to draw A and B that leave the base as it was, which ``pissa`` and others do not."""


def to_peft(
    lora: LoRAConfig, config: ModelConfig, layers: Mapping[Key, Part]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the settings and the tensors of a GPT-2 or Llama's adapters, layer by layer."""
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    tensors: dict[str, Array] = {}
    for (block, target), part in layers.items():
        layer = layer_of(config, target)
        ranks[layer] = len(part.a)
        alphas[layer] = part.scale * _divisor(len(part.a), lora.rslora)
        name = f"{_PREFIX}{module_of(config, target, block)}"
        tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"] = part.a, part.b
        if part.magnitude is not None:
            tensors[f"{name}.lora_magnitude_vector"] = part.magnitude
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": list(ranks),
        "rank_pattern": {layer: n for layer, n in ranks.items() if n != lora.rank},
        "alpha_pattern": {layer: a for layer, a in alphas.items() if a != lora.alpha},
        "use_rslora": lora.rslora,
        "use_dora": lora.dora,
        "fan_in_fan_out": config.family == "gpt2",
        "bias": "none",
        "inference_mode": True,
    }
    return settings, tensors


def from_peft(
    values: JsonObject, config: ModelConfig, tensors: Mapping[str, Array], source: object
) -> Foreign:
    """Return the adapters that PEFT wrote.

    Raises:
        CheckpointError: it does what ours cannot.
    """
    values.choice("peft_type", {"LORA": None})
    values.choice("bias", {"none": None}, "none")
    for key in _MUST_BE_ABSENT:
        if values.get(key):
            values.refuse(key, "adapters without it are supported")
    if values.get("init_lora_weights") not in _LEAVE_THE_BASE:
        values.refuse("init_lora_weights", "what leaves the base as it was is supported")
    rslora = values.flag("use_rslora", False)
    alpha = values.number("lora_alpha", 8)
    found = Foreign(values.number("lora_dropout", 0.0), rslora)
    modules: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        match = _TENSOR.fullmatch(name)
        if match is None or match["kind"] not in _KINDS:
            refuse(source, name, "is no tensor of a LoRA adapter that is supported")
        modules.setdefault(match["module"], {})[_KINDS[match["kind"]]] = array
    for module, arrays in modules.items():
        own = _by_pattern(values, module, alpha)
        part, place = as_parts(config, module, arrays, source)
        scale = own / _divisor(len(part.a), rslora)
        whole = Part(part.a, part.b, scale, part.magnitude)
        found.parts.update(by_target(config, whole, place.block or 0, place.targets))
    return found


def _divisor(rank: int, rslora: bool) -> float:
    return math.sqrt(rank) if rslora else rank


def _by_pattern(values: JsonObject, module: str, alpha: float) -> float:
    """Return the alpha of the first pattern that is the end of a module's name, as PEFT does."""
    patterns = values.section("alpha_pattern")
    for pattern in patterns.names():
        if not re.fullmatch(r"\^?[\w.]+", pattern):
            values.refuse("alpha_pattern", "names of modules are supported, no other patterns")
        if re.fullmatch(rf"(?:.*\.)?{pattern.replace('.', '[.]')}", module):
            return patterns.number(pattern)
    return alpha
