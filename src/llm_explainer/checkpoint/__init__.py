"""Checkpoints: a model, its tokenizer and the state of its training in one directory.

    config.json            the architecture, and what is frozen; the model is rebuilt from it alone
    model.safetensors      the parameters, float32
    tokenizer.json         the tokenizer, with tokenizer_config.json for other software
    trainer_state.json     where training stood (optional)
    optimizer.safetensors  the optimizer's arrays (optional)
    SHA256SUMS             a digest of every file above; ``sha256sum -c SHA256SUMS`` checks it too

It is a Hugging Face model directory: models of the GPT-2 and Llama families load in transformers
and mlx-lm as they are, and theirs load here. A model that neither family can express is stored the
same way under a ``model_type`` of its own, "llm_explainer". Nothing in it can run code. Adapters
have directories of their own: ``checkpoint/adapters/``.
"""

from llm_explainer.checkpoint.adapters import base_of, load_adapter, save_adapter
from llm_explainer.checkpoint.directories import remove_leftovers
from llm_explainer.checkpoint.loading import (
    load_checkpoint,
    load_config,
    load_model,
    load_tokenizer_of,
    load_trainer_state,
)
from llm_explainer.checkpoint.saving import save_checkpoint

__all__ = [
    "base_of",
    "load_adapter",
    "load_checkpoint",
    "load_config",
    "load_model",
    "load_tokenizer_of",
    "load_trainer_state",
    "remove_leftovers",
    "save_adapter",
    "save_checkpoint",
]
