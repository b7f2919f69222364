"""Compare logits, loss and every gradient with PyTorch's autograd, in float32.

    python -m benchmarks.check_against_torch
    python -m benchmarks.check_against_torch --write-golden tests/golden/torch_training.npz

PyTorch is not a dependency: run this by hand in an environment that has it beside this package.
The second form stores short training runs by PyTorch's own optimizers, which the tests repeat.
Exits with 1 if anything differs by more than one part in 100,000.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import torch_reference
from llm_explainer.backend import load_backend
from llm_explainer.config import ModelConfig
from llm_explainer.gradcheck import relative_error
from llm_explainer.tree import flatten

Array = NDArray[Any]
TOLERANCE = 1e-5
NOISE = 0.05  # standard deviation added to every initial weight, so that none is 0 or 1

GOLDEN_SIZE = {
    "vocab_size": 11,
    "context_length": 8,
    "d_model": 8,
    "n_layers": 2,
    "n_heads": 4,
    "d_ff": 12,
}
GOLDEN_STEPS, GOLDEN_BATCH = 3, (4, 6)  # (B, T)


def cases() -> Iterator[tuple[str, ModelConfig]]:
    """Yield both families at size small, and every switch on its own at size tiny."""
    for family in ("gpt2", "llama"):
        yield family, ModelConfig.preset("small", family=family)
    llama_switches = {"n_kv_heads": 2}, {"n_kv_heads": 1}, {"bias": True}, {"norm": "layernorm"}
    switches: dict[str, tuple[dict[str, Any], ...]] = {
        "gpt2": (
            *({"activation": name} for name in ("relu", "silu", "swiglu")),
            *({"position": name} for name in ("sinusoidal", "rope")),
            {"norm": "rmsnorm"},
            {"bias": False},
            {"tie_embeddings": False},
            {"n_kv_heads": 1},
        ),
        "llama": (*llama_switches, {"tie_embeddings": False}, {"rope_theta": 500_000.0}),
    }
    for family, turned in switches.items():
        for changes in turned:
            label = ", ".join(f"{name} {value}" for name, value in changes.items())
            fields = {"n_heads": 4, **changes}
            yield f"{family}, {label}", ModelConfig.preset("tiny", family=family, **fields)


def compare(config: ModelConfig, seed: int = 0) -> dict[str, float]:
    """Return the relative error of the logits, the loss and each gradient, by name."""
    model = noisy_model(config, seed)
    rng = np.random.default_rng(seed)
    shape = (4, config.context_length)
    tokens, targets = rng.integers(0, config.vocab_size, (2, *shape))
    mask = rng.random(shape) < 0.8
    weights = to_torch(flatten(model.parameters()))
    arguments = [torch.from_numpy(array) for array in (tokens, targets, mask)]
    torch_logits = torch_reference.logits(weights, config, arguments[0]).detach().numpy()
    torch_loss = torch_reference.loss(weights, config, *arguments)
    torch_loss.backward()
    loss, grads = model.loss_and_grads(tokens, targets, mask)
    errors = {
        "logits": relative_error(model(tokens), torch_logits),
        "loss": abs(loss - torch_loss.item()) / loss,
    }
    for name, grad in flatten(grads).items():
        torch_grad = weights[name].grad
        assert torch_grad is not None
        errors[name] = relative_error(grad, torch_grad.numpy())
    return errors


def noisy_model(config: ModelConfig, seed: int) -> Any:
    """Return a NumPy model whose every parameter is random."""
    rng = np.random.default_rng(seed + 1)
    model = load_backend("numpy").GPT(config, seed=seed)
    for array in flatten(model.parameters()).values():
        array += rng.normal(scale=NOISE, size=array.shape)
    return model


def to_torch(arrays: dict[str, Array], dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Return copies as leaves of PyTorch's graph."""
    return {
        name: torch.tensor(array, dtype=dtype, requires_grad=True) for name, array in arrays.items()
    }


def golden_runs() -> dict[str, Array]:
    """Train both families with PyTorch's AdamW and SGD, in float64; return what it takes to repeat.

    Names are ``family/start/...`` for the first weights, ``family/adamw/...`` and
    ``family/sgd/...`` for the last ones, and ``.../losses`` (steps,) for the curves.
    """
    rng = np.random.default_rng(7)
    shape = (GOLDEN_STEPS, *GOLDEN_BATCH)
    tokens, targets = rng.integers(0, GOLDEN_SIZE["vocab_size"], (2, *shape))
    mask = rng.random(shape) < 0.7
    golden: dict[str, Array] = {"tokens": tokens, "targets": targets, "mask": mask}
    for family, kv_heads in (("gpt2", 4), ("llama", 2)):
        config = ModelConfig.preset("tiny", family=family, n_kv_heads=kv_heads, **GOLDEN_SIZE)
        start = flatten(noisy_model(config, seed=3).parameters())
        golden |= {f"{family}/start/{name}": array.copy() for name, array in start.items()}
        for optimizer in ("adamw", "sgd"):
            weights = to_torch(start, torch.float64)
            losses = train(weights, config, optimizer, tokens, targets, mask)
            golden[f"{family}/{optimizer}/losses"] = np.array(losses)
            golden |= {
                f"{family}/{optimizer}/{name}": weight.detach().numpy().astype(np.float32)
                for name, weight in weights.items()
            }
    return golden


def train(weights: dict[str, Any], config: ModelConfig, name: str, *batches: Array) -> list[float]:
    """Take one step for each of the stacked ``batches``; return the losses before each step."""
    vectors = [weight for weight in weights.values() if weight.ndim < 2]
    matrices = [weight for weight in weights.values() if weight.ndim >= 2]
    optimizer: torch.optim.Optimizer
    if name == "adamw":
        groups = [
            {"params": matrices, "weight_decay": 0.1},
            {"params": vectors, "weight_decay": 0.0},
        ]
        # eps is large enough to matter, and to keep what is zero but for rounding (the gradients
        # of key biases) from being blown up to whole steps.
        optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-4)
    else:
        optimizer = torch.optim.SGD(matrices + vectors, lr=1e-1, momentum=0.9)
    losses = []
    for batch in zip(*batches, strict=True):
        loss = torch_reference.loss(weights, config, *map(torch.from_numpy, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    """Print the tables, or write the golden file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-golden", type=Path, metavar="FILE", help="an .npz file")
    golden_file = parser.parse_args().write_golden
    if golden_file is not None:
        np.savez_compressed(golden_file, **golden_runs())
        print(f"wrote {golden_file}, {golden_file.stat().st_size:,} bytes")
        return
    console = Console(width=124)  # as wide as the longest parameter's name asks for
    table = Table(title=f"relative difference from PyTorch {torch.__version__} in float32")
    for heading in ("model", "parameters", "logits", "loss", "worst gradient", "of"):
        table.add_column(heading, justify="left" if heading in ("model", "of") else "right")
    worst = 0.0
    for label, config in cases():
        errors = compare(config)
        grads = {name: error for name, error in errors.items() if name not in ("logits", "loss")}
        name = max(grads, key=grads.__getitem__)
        figures = (f"{error:.1e}" for error in (errors["logits"], errors["loss"], grads[name]))
        table.add_row(label, f"{config.count_parameters():,}", *figures, name)
        worst = max(worst, *errors.values())
    console.print(table)
    verdict = "agrees" if worst <= TOLERANCE else "DIFFERS"
    console.print(f"{verdict}: the worst of all is {worst:.1e}, the limit {TOLERANCE:.0e}")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
