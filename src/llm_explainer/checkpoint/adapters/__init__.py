"""Adapters on disk: what was trained, where its training stood, and which base it belongs to.

    adapter_config.json        PEFT's and mlx-lm's settings; ours, the base and its fingerprint
    lora.safetensors           the adapters' arrays under our names, exactly
    adapter_model.safetensors  the same for PEFT
    adapters.safetensors       the same for mlx-lm, where it can have them
    tokenizer.json, trainer_state.json, optimizer.safetensors, SHA256SUMS    as in a checkpoint

The directory is read like a checkpoint: its base is loaded, and the adapters put on it. Adapters
that PEFT or mlx-lm wrote are read too.
"""

from llm_explainer.checkpoint.adapters.base import base_of, fingerprint, is_adapter, keep_base
from llm_explainer.checkpoint.adapters.loading import load_adapter
from llm_explainer.checkpoint.adapters.saving import save_adapter

__all__ = ["base_of", "fingerprint", "is_adapter", "keep_base", "load_adapter", "save_adapter"]
