"""What PyTorch's own optimizers do with a matrix of four numbers, stored for chapter 8.

    python Tutorial/runs/torch_updates.py

PyTorch is not a dependency: run this by hand in an environment that has it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

START = [[0.5, -1.0], [0.2, 0.8]]
GRADIENTS = [[[0.9, -0.4], [0.0, 2.0]], [[0.7, 0.1], [0.3, -1.0]], [[0.8, -0.2], [-0.3, 0.5]]]
VECTOR = [1.5, -1.0]
RATE, BETAS, EPS, DECAY = 0.1, (0.9, 0.95), 1e-8, 0.1


def main() -> None:
    """Write torch-updates.json beside this file."""
    torch.set_default_dtype(torch.float64)
    kinds: dict[str, Callable[[Any], Any]] = {
        "sgd": lambda p: torch.optim.SGD(p, lr=RATE),
        "momentum": lambda p: torch.optim.SGD(p, lr=RATE, momentum=BETAS[0]),
        "adam": lambda p: torch.optim.Adam(p, lr=RATE, betas=BETAS, eps=EPS),
        "adamw": lambda p: torch.optim.AdamW(p, lr=RATE, betas=BETAS, eps=EPS, weight_decay=DECAY),
    }
    matrix, vector = (torch.nn.Parameter(torch.tensor(a) * 0) for a in (START, VECTOR))
    matrix.grad, vector.grad = torch.tensor(GRADIENTS[0]), torch.tensor(VECTOR)
    length = torch.nn.utils.clip_grad_norm_([matrix, vector], max_norm=1.0)
    stored = {
        "torch": torch.__version__,
        "start": START,
        "gradients": GRADIENTS,
        "vector": VECTOR,
        "after": {name: steps(make) for name, make in kinds.items()},
        "length": float(length),
        "clipped": {"matrix": matrix.grad.tolist(), "vector": vector.grad.tolist()},
    }
    path = Path(__file__).with_name("torch-updates.json")
    path.write_text(json.dumps(stored) + "\n", encoding="utf-8")


def steps(make: Callable[[Any], Any]) -> list[Any]:
    """Return the matrix after each step of an optimizer."""
    parameter = torch.nn.Parameter(torch.tensor(START))
    optimizer, after = make([parameter]), []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        after.append(parameter.tolist())
    return after


if __name__ == "__main__":
    main()
