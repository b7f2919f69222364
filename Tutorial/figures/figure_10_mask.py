"""Which targets of a record count."""

from pathlib import Path

import numpy as np

from llm_explainer.tutorial import IDS, TARGETS, WORDS
from llm_explainer.tutorial.drawing import heatmap, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw what is read, what should come next, and the mask."""
    words = [word.strip().replace("<|endoftext|>", "end") for word in WORDS]
    read, targets = [*IDS, 7], [*TARGETS, 0]
    mask = np.array([[0.12] * 5 + [1.0] * 2])
    with style():
        figure, axes = new_figure(7.0, 2.1)
        heatmap(axes, mask, ["mask"], [words[i] for i in read], limit=1.6)
        for place, target in enumerate(targets):
            axes.text(place, 0, words[target], ha="center", va="center")
        axes.set(xlabel="read", title="in the squares: what should come next")
        save(figure, folder / "10-mask.svg")
