"""The two parts of a tied table's gradient, and their sum."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import IDS, TARGETS, WORDS, hand_model
from llm_explainer.tutorial.drawing import heatmap, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw the gradients of the loss of the hand-sized model on the six words."""
    parameters, config = hand_model()
    gradients: dict[str, np.ndarray] = {}
    logits, backward = plain.gpt(np.array([IDS]), parameters, config)
    _, loss_backward = plain.cross_entropy(logits, np.array([TARGETS]))
    grads = backward(loss_backward(), gradients.__setitem__)
    both = grads["token_embedding"]["weight"]  # (V, D)
    table = parameters["token_embedding"]
    _, lookup_backward = plain.embedding(np.array([IDS]), table)
    lookup = lookup_backward(gradients["token_embedding"])["weight"]
    with style():
        figure, axes = new_figure(7.6, 3.4, columns=3)
        words = [word.strip() for word in WORDS]
        parts = {"from the lookup": lookup, "from the head": both - lookup, "their sum": both}
        for i, (title, part) in enumerate(parts.items()):
            shown = np.where(np.abs(part).sum(1, keepdims=True) == 0, np.nan, part)
            heatmap(axes[i], shown, words if i == 0 else (), digits=2, limit=0.45)
            axes[i].set_title(title)
        save(figure, folder / "02-gradient.svg")
