"""How long the gradient is after each of eight blocks, with the residual's term and without."""

from pathlib import Path

import numpy as np

from llm_explainer import ModelConfig, load_backend, plain
from llm_explainer.tutorial import IDS, TARGETS
from llm_explainer.tutorial.drawing import BLUE, ORANGE, new_figure, save, style
from llm_explainer.tutorial.faults import FAULTS, plain_with

N = 8


def draw(folder: Path) -> None:
    """Draw both on a logarithmic axis."""
    config = ModelConfig(vocab_size=8, context_length=8, d_model=32, n_layers=N, n_heads=2)
    fresh = load_backend("numpy").GPT(config, seed=0).parameters()
    kinds = {"right": (plain, BLUE), "residual dropped": (None, ORANGE)}
    with style():
        figure, axes = new_figure(6.0, 2.8)
        for name, (package, color) in kinds.items():
            training = package or plain_with(FAULTS[name])
            found: dict[str, float] = {}
            logits, backward = training.gpt(np.array([IDS]), fresh, config)
            dlogits = training.cross_entropy(logits, np.array([TARGETS]))[1]()
            backward(dlogits, lambda key, a, f=found: f.update({key: float(np.linalg.norm(a))}))
            lengths = [found[f"blocks.{i}"] for i in range(N)]
            axes.semilogy(range(1, N + 1), lengths, "o-", color=color, label=name)
        axes.set_xlabel("after block")
        axes.set_title("length of the gradient of the stream")
        axes.legend()
        save(figure, folder / "13-depth.svg")
