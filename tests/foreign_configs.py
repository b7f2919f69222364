"""Other people's config.json with every key changed: the same logits as theirs, or refused by name.

By hand, with the peers; `tests/test_checkpoint_keys.py` holds what it found::

    uv run --group peers python -m tests.foreign_configs

Four kinds, as transformers' own classes and the models' authors write them: GPT-2, GPT-2 with its
older keys, Llama, and Llama as SmolLM has it; each key set to every plausible value.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer import ModelConfig, load_backend, save_checkpoint
from llm_explainer.checkpoint import load_model
from llm_explainer.errors import LLMExplainerError, LLMExplainerWarning
from llm_explainer.tree import flatten

IDS = np.arange(12)[None] % 20
_OLDER = {
    "_name_or_path": "gpt2",
    "attn_pdrop": 0.1,
    "initializer_range": 0.02,
    "model_type": "gpt2",
    "n_ctx": 16,
    "output_past": None,
    "resid_pdrop": 0.1,
    "scale_attn_weights": True,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "torch_dtype": "float32",
    "use_cache": True,
}
_SMOLLM = {
    "is_llama_config": True,
    "pretraining_tp": 1,
    "rope_interleaved": False,
    "rope_scaling": None,
    "transformers.js_config": {"dtype": "q4"},
    "torch_dtype": "float32",
}
_FURTHER: dict[str, list[Any]] = {  # keys that such files may have beside their own
    "is_causal": [False, True, None, 0],
    "is_decoder": [True, False],
    "is_encoder_decoder": [True, False],
    "rope_scaling": [
        {"rope_type": "default", "rope_theta": 5.0},
        {"rope_type": "linear", "factor": 2.0},
        {"type": "dynamic", "factor": 2.0},
        {"factor": 2.0},
        {},
    ],
    "rope_parameters": [{"rope_type": "default", "rope_theta": 7.0}, {"rope_theta": 7.0}],
    "rope_theta": [5.0, 10000.0],
    "partial_rotary_factor": [0.5, 1.0],
    "num_attention_heads": [1, 2, 4],
    "num_hidden_layers": [1, 2, 3],
    "hidden_size": [8, 16, 32],
    "max_position_embeddings": [8, 16, 32],
    "n_inner": [32, 64, 128],
    "activation_function": ["gelu", "relu", "silu", "gelu_new", "gelu_fast", "tanh", "quick_gelu"],
    "hidden_act": ["gelu", "relu", "silu", "swish"],
    "tie_word_embeddings": [True, False],
    "scale_attn_by_inverse_layer_idx": [True],
    "reorder_and_upcast_attn": [True, False],
    "add_cross_attention": [True],
    "chunk_size_feed_forward": [0, 2],
    "per_layer_config": [{"0": {"n_head": 1}}],
    "layer_types": [["full_attention", "sliding_attention"]],
    "sliding_window": [2],
    "attention_bias": [True],
    "mlp_bias": [True],
    "head_dim": [4, 16],
    "num_key_value_heads": [1, 2],
    "attn_implementation": ["eager", "sdpa"],
    "quantization_config": [{"quant_method": "bitsandbytes", "load_in_8bit": True}],
    "pad_token_id": [0, 3],
    "logit_scale": [2.0],
    "pretraining_tp": [2],
    "use_cache": [False],
    "repetition_penalty": [2.0],
    "dtype": ["float32"],
    "surprise": [1],
}


def kinds(folder: Path) -> Iterator[tuple[str, Path]]:
    """Save a small model of each kind far from zero, and yield its name and directory."""
    nn = load_backend("numpy")
    for name, family, further in (
        ("gpt2", "gpt2", {}),
        ("older gpt2", "gpt2", _OLDER),
        ("llama", "llama", {}),
        ("smollm", "llama", _SMOLLM),
    ):
        sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2, "context_length": 16, "d_ff": 64}
        config = ModelConfig.preset("tiny", family=family, vocab_size=20, **sizes)
        model, rng = nn.GPT(config), np.random.default_rng(0)
        for array in flatten(model.parameters()).values():
            array += rng.normal(scale=0.3, size=array.shape).astype(array.dtype)
        path = save_checkpoint(folder / name, model)
        (path / "SHA256SUMS").unlink()
        document = {**json.loads((path / "config.json").read_text()), **further}
        (path / "config.json").write_text(json.dumps(document))
        yield name, path


def variants(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (what was changed, the document) for every key and plausible value."""
    for key in {**document, **_FURTHER}:
        value = document.get(key)
        others: list[Any] = [None, ..., True, 0, "x", *_FURTHER.get(key, [])]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            others += [value * 2, value / 2, value + 1, -value, float(value)]
        for other in others:
            changed = {**document, key: other}
            if other is ...:
                del changed[key]
            if json.dumps(changed) != json.dumps(document):
                yield f"{key} = {other!r}", changed


def ours(path: Path) -> np.ndarray | str:
    """Return logits, or the message with which the directory is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LLMExplainerWarning)
            return np.asarray(load_model(path, "numpy")(IDS))
    except LLMExplainerError as error:
        return str(error)


def theirs(path: Path) -> np.ndarray | str:
    """Return transformers' logits."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, output_loading_info=True
        )
        if info["missing_keys"] or info.get("mismatched_keys"):
            return "weights that are drawn anew"
        with torch.no_grad():
            return np.asarray(model.eval()(torch.tensor(IDS)).logits)
    except Exception as error:  # whatever it is, they do not load it
        return f"{type(error).__name__}: {error}"


def run() -> int:
    """Compare all variants; return how many were read over."""
    n = {"equal": 0, "refused": 0, "refused by both": 0, "taken here alone": 0, "OTHER": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in kinds(Path(folder)):
            document = json.loads((path / "config.json").read_text())
            for change, variant in [("", document), *variants(document)]:
                (path / "config.json").write_text(json.dumps(variant))
                mine, peers = ours(path), theirs(path)
                if isinstance(mine, str):
                    kind = "refused by both" if isinstance(peers, str) else "refused"
                elif isinstance(peers, str):
                    kind = "taken here alone"
                else:
                    kind = "equal" if np.allclose(mine, peers, atol=2e-4) else "OTHER"
                n[kind] += 1
                if kind in ("OTHER", "taken here alone") or (kind == "refused" and not change):
                    why = peers if isinstance(peers, str) else mine
                    sys.stdout.write(
                        f"{kind}: {name}: {change}: {why}"[:200].replace("\n", " ") + "\n"
                    )
    sys.stdout.write(f"{sum(n.values())} variants of config.json: {n}\n")
    return n["OTHER"]


if __name__ == "__main__":
    sys.exit(bool(run()))
