"""Adapters as mlx-lm has them: ``adapter_config.json`` and ``adapters.safetensors``.

It knows one rank and one scale for all layers. So ranks are filled up with zeros, and a scale that
differs goes into B.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llm_explainer.checkpoint.adapters.fusing import by_target
from llm_explainer.checkpoint.adapters.names import layer_of, module_of
from llm_explainer.checkpoint.adapters.parts import Foreign, Key, Part, as_parts, refuse, widened
from llm_explainer.checkpoint.json_objects import JsonObject
from llm_explainer.checkpoint.tensors import Array
from llm_explainer.config import ModelConfig
from llm_explainer.lora_config import HEAD, LoRAConfig

TENSORS = "adapters.safetensors"
_KINDS = {"lora_a": "a", "lora_b": "b", "m": "magnitude"}
_TENSOR = re.compile(r"(?P<module>.+)\.(?P<kind>lora_a|lora_b|m)")


def to_mlx_lm(
    lora: LoRAConfig, config: ModelConfig, layers: Mapping[Key, Part]
) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Return the settings and the tensors of a GPT-2 or Llama's adapters, layer by layer.

    None for those of a tied head: mlx-lm would adapt the token embedding with it.
    """
    if config.tie_embeddings and (0, HEAD) in layers:
        return None
    rank = max(len(part.a) for part in layers.values())
    scale = next(iter(layers.values())).scale
    tensors: dict[str, Array] = {}
    for (block, target), part in layers.items():
        wide = widened(part, rank, scale)
        name = module_of(config, target, block, mlx_lm=True)
        tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"] = wide.a.T, wide.b.T
        if wide.magnitude is not None:
            tensors[f"{name}.m"] = wide.magnitude
    keys = list(dict.fromkeys(layer_of(config, target) for _, target in layers))
    parameters = {"rank": rank, "scale": scale, "dropout": lora.dropout, "keys": keys}
    kind = "dora" if lora.dora else "lora"
    return {"fine_tune_type": kind, "num_layers": -1, "lora_parameters": parameters}, tensors


def from_mlx_lm(
    values: JsonObject, config: ModelConfig, tensors: Mapping[str, Array], source: object
) -> Foreign:
    """Return the adapters that mlx-lm wrote.

    Raises:
        CheckpointError: it does what ours cannot.
    """
    values.choice("fine_tune_type", {"lora": None, "dora": None}, "lora")
    parameters = values.section("lora_parameters")
    scale = parameters.number("scale")
    found = Foreign(parameters.number("dropout", 0.0), rslora=False)
    modules: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            refuse(source, name, "is no tensor of a LoRA adapter that is supported")
        kind = _KINDS[match["kind"]]
        modules.setdefault(match["module"], {})[kind] = array.T
    for module, arrays in modules.items():
        part, place = as_parts(config, module, arrays, source)
        whole = Part(part.a, part.b, scale, part.magnitude)
        found.parts.update(by_target(config, whole, place.block or 0, place.targets))
    return found
