"""Random models of six types made by transformers: its logits, gradients and text, or a refusal.

By hand, with the peers::

    uv run --group peers python -m tests.foreign_architectures 200

Each configuration is drawn with grouped heads, heads of their own width, windows and scaled
rotations, and read past its window and its original context. As many more have a key that we do not
follow: each must be refused with that key's name.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from llm_explainer.checkpoint import load_model
from llm_explainer.checkpoint.layouts import layout
from llm_explainer.errors import CheckpointError
from llm_explainer.generation import generate_ids
from llm_explainer.tree import flatten

CONTEXT = 48
TYPES = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "smollm3")
UNKNOWN: dict[str, list[Any]] = {  # what other models have, or these in a way that we lack
    "logit_softcapping": [30.0],
    "attn_logit_softcapping": [50.0],
    "logit_scale": [0.5],
    "residual_multiplier": [0.2],
    "embedding_multiplier": [12.0],
    "attention_multiplier": [0.1],
    "clip_qkv": [8.0],
    "num_local_experts": [8],
    "is_causal": [False],
    "per_layer_config": [{"0": {}}],
    "quantization_config": [{"quant_method": "gptq"}],
    "query_pre_attn_scalar": [256],
    "alibi": [True],
    "parallel_attn": [True],
    "partial_rotary_factor": [0.5],
    "hidden_act": ["gelu", "relu"],
    "activation_function": ["gelu", "quick_gelu"],
    "rope_scaling": [
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "longrope", "factor": 2.0},
        {"rope_type": "yarn", "factor": 2.0, "unheard_of": 1},
        {"rope_type": "llama3", "factor": 2.0},
    ],
    "layer_types": [["full_attention"], ["chunked_attention"] * 2, "full_attention"],
    "no_rope_layers": [[1], "all", [2, 1]],
    "mlp_bias": [True],
    "attention_bias": [True],
    "use_sliding_window": ["yes"],
    "sliding_window": ["all", -1],
    "model_type": ["gemma", "phi3", "mixtral"],
}


def say(line: str) -> None:
    """Show a line."""
    sys.stdout.write(f"{line}\n")


def random_rope(rng: np.random.Generator) -> dict[str, Any]:
    """Return a base, and perhaps a rule."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": float(rng.choice([50, 500, 1e4]))}
    kind = rng.choice(["default", "linear", "llama3", "yarn"])
    if kind == "default":
        return rope
    rope |= {"rope_type": str(kind), "factor": float(rng.choice([2.0, 4.0, 8.0]))}
    if kind != "linear":
        rope["original_max_position_embeddings"] = int(rng.choice([8, 16, 24]))
    if kind == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": float(rng.choice([2.0, 4.0]))}
    if kind == "yarn" and rng.random() < 0.5:
        rope |= {"beta_fast": 4.0, "beta_slow": 1.0, "truncate": bool(rng.integers(2))}
    if kind == "yarn" and rng.random() < 0.5:
        rope |= {"mscale": 0.7, "mscale_all_dim": 0.9}
    return rope


def random_config(rng: np.random.Generator, kind: str) -> dict[str, Any]:
    """Return the settings of a small model of a type."""
    n_layers, kv = int(rng.integers(2, 4)), int(rng.choice([1, 2]))
    tie = bool(rng.integers(2))
    shared = {"vocab_size": 40, "tie_word_embeddings": tie, "bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        n_inner = int(rng.choice([32, 96]))
        activation = str(rng.choice(["gelu_new", "gelu_pytorch_tanh", "relu", "silu"]))
        sizes = {"n_embd": 24, "n_head": 4, "n_layer": n_layers, "n_positions": CONTEXT}
        return {**shared, **sizes, "n_inner": n_inner, "activation_function": activation}
    settings = {
        **shared,
        "hidden_size": 24,
        "intermediate_size": int(rng.choice([20, 36])),
        "num_hidden_layers": n_layers,
        "num_attention_heads": 2 * kv,
        "num_key_value_heads": kv,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": float(rng.choice([1e-6, 1e-5, 1e-3])),
        "rope_parameters": random_rope(rng),
    }
    if kind in ("llama", "mistral", "qwen3"):
        settings["head_dim"] = int(rng.choice([8, 12, 16]))
    if kind in ("llama", "smollm3"):
        has_bias = bool(rng.integers(2))
        settings |= {"attention_bias": has_bias, "mlp_bias": has_bias}
    window = int(rng.choice([3, 7, 20]))
    if kind == "mistral":
        settings["sliding_window"] = window if rng.random() < 0.7 else None
    if kind in ("qwen2", "qwen3", "smollm3") and rng.random() < 0.6:
        settings |= {"use_sliding_window": True, "sliding_window": window}
        if kind != "smollm3":
            settings["max_window_layers"] = int(rng.integers(0, n_layers + 1))
    if kind == "smollm3":
        settings["no_rope_layers"] = rng.integers(0, 2, n_layers).tolist()
        settings["pad_token_id"] = None
    return settings


def make(kind: str, settings: dict[str, Any], seed: int) -> Any:
    """Return transformers' model with numbers that all show."""
    config = transformers.AutoConfig.for_model(kind, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if parameter.ndim == 1 else 0.2 * noise)
    return model.eval()


def compare(theirs: Any, path: Path, rng: np.random.Generator) -> tuple[float, float, bool]:
    """Return the differences in logits and in gradients, and whether greedy texts are equal."""
    ours = load_model(path, "numpy")
    ids = rng.integers(0, 40, (2, CONTEXT))
    tokens, targets = ids[:, :-1], ids[:, 1:]
    result = theirs(torch.from_numpy(tokens), labels=None)
    logits = result.logits
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 40), torch.from_numpy(targets).reshape(-1)
    )
    loss.backward()
    expected = logits.detach().numpy()
    scale = max(1.0, float(np.abs(expected).max()))
    logit_error = float(np.abs(ours(tokens) - expected).max()) / scale
    _, grads = ours.loss_and_grads(tokens, targets)
    found = flatten(grads)
    shapes = {name: array.shape for name, array in found.items()}
    reference = {
        name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None
    }
    reference = {name.removeprefix("transformer."): array for name, array in reference.items()}
    grad_error = 0.0
    kind = theirs.config.model_type
    for slot in layout("gpt2" if kind == "gpt2" else "llama", ours.config, shapes):
        parts = [reference[name] for name in slot.tensors]
        expected = parts[0] if len(parts) == 1 else np.concatenate(parts)
        expected = expected.T if slot.transposed else expected
        scale = max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(found[slot.parameter] - expected).max()) / scale
        grad_error = max(grad_error, error)
    prompt = tokens[:1, :5]
    with torch.no_grad():
        text = theirs.generate(
            torch.from_numpy(prompt),
            attention_mask=torch.ones(1, 5, dtype=torch.long),
            max_new_tokens=30,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    own = list(generate_ids(ours, prompt[0].tolist(), temperature=0, max_tokens=30))
    return logit_error, grad_error, text[0, 5:].tolist() == own


def refusal(path: Path, changes: dict[str, Any]) -> str:
    """Return the message with which a changed directory is refused, empty where it is not."""
    document = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**document, **changes}))
    try:
        load_model(path, "numpy")
    except CheckpointError as error:
        return str(error)
    return ""


def main(n_models: int) -> int:
    """Compare, print what differs, and return how many do."""
    rng, faults, worst = np.random.default_rng(1), 0, [0.0, 0.0]
    transformers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    unknown = [(key, value) for key, values in UNKNOWN.items() for value in values]
    with tempfile.TemporaryDirectory() as name:
        for number in range(n_models):
            kind = TYPES[number % len(TYPES)]
            settings = random_config(rng, kind)
            theirs, path = make(kind, settings, number), Path(name) / str(number)
            theirs.save_pretrained(path)
            logit_error, grad_error, same_text = compare(theirs, path, rng)
            worst = [max(worst[0], logit_error), max(worst[1], grad_error)]
            if logit_error > 1e-5 or grad_error > 1e-4 or not same_text:
                faults += 1
                say(f"{kind} {logit_error} {grad_error} {same_text} {settings}")
            key, value = unknown[number % len(unknown)]
            message = refusal(path, {key: value})
            if key not in message:
                say(f"{kind}: {key} = {value!r}: {message or 'taken'}")
                faults += not equal_after(theirs, path)
    say(f"{n_models} models: logits within {worst[0]:.1e} of the largest,")
    say(f"gradients within {worst[1]:.1e}, {faults} faults")
    return faults


def equal_after(theirs: Any, path: Path) -> bool:
    """Whether a change that was taken is followed: transformers' logits, with it, are ours."""
    try:
        changed = transformers.AutoModelForCausalLM.from_pretrained(
            path, attn_implementation="eager"
        )
    except Exception as error:  # neither can read it
        say(f"    transformers: {error!r:.100}")
        return False
    ids = np.arange(CONTEXT - 1)[None] % 40
    with torch.no_grad():
        logits = changed.eval()(torch.from_numpy(ids)).logits.numpy()
    try:
        return float(np.abs(load_model(path, "numpy")(ids) - logits).max()) < 1e-5
    except CheckpointError:
        return False


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200) != 0)
