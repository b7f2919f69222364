"""Make the models in this folder with transformers, and their logits on fixed ids.

The tests load them without transformers, so this is run only to change them:

    python tests/golden/make_golden.py

It needs torch and transformers (made with 5.23 and 5.24).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

HERE = Path(__file__).parent
VOCAB_SIZE, CONTEXT = 64, 24


def main() -> None:
    """Write a directory for each model."""
    save("gpt2", GPT2LMHeadModel(gpt2_config()))
    save("llama-tied", LlamaForCausalLM(llama_config(tie=True)))
    save("llama-untied", LlamaForCausalLM(llama_config(tie=False)))
    for name, changes in RELATIVES.items():
        sizes = {"vocab_size": VOCAB_SIZE, "intermediate_size": 16, "rope_parameters": PLAIN_ROPE}
        config = AutoConfig.for_model(**{**LLAMA_SIZES, **sizes, **changes})
        save(name, AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


PLAIN_ROPE = {"rope_type": "default", "rope_theta": 500.0}
LLAMA_SIZES = {
    "max_position_embeddings": CONTEXT,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
RELATIVES = {
    "llama3-scaled": {
        "model_type": "llama",
        "head_dim": 8,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 50.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 12,
        },
    },
    "mistral-window": {"model_type": "mistral", "head_dim": 6, "sliding_window": 5},
    "qwen2-yarn": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 7,
        "max_window_layers": 1,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 50.0,
            "factor": 4.0,
            "original_max_position_embeddings": 6,
        },
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 8},
    "smollm3": {
        "model_type": "smollm3",
        "no_rope_layers": [1, 0],
        "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
        "pad_token_id": None,
    },
}


def gpt2_config() -> GPT2Config:
    """Return a GPT-2 of two layers."""
    return GPT2Config(
        vocab_size=VOCAB_SIZE,
        n_positions=CONTEXT,
        n_embd=16,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )


def llama_config(tie: bool) -> LlamaConfig:
    """Return a Llama of two layers, with two query heads to each key-value head."""
    return LlamaConfig(
        vocab_size=VOCAB_SIZE,
        max_position_embeddings=CONTEXT,
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        tie_word_embeddings=tie,
    )


def save(name: str, model: PreTrainedModel) -> None:
    """Write config.json, model.safetensors, and ids (B, T) with their logits (B, T, V)."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            # Large, and unlike for norms and biases too, so that every one of them shows.
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if parameter.ndim == 1 else 0.2 * noise)
    ids = torch.randint(VOCAB_SIZE, (2, CONTEXT), generator=generator)
    logits = model.eval()(ids).logits.detach().numpy()
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    np.savez(folder / "logits.npz", ids=ids.numpy(), logits=logits)


if __name__ == "__main__":
    main()
