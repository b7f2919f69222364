"""The attention weights of the hand-sized model, number by number."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import IDS, WORDS, hand_model
from llm_explainer.tutorial.drawing import heatmap, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw both heads; what the mask hides is left empty."""
    parameters, config = hand_model()
    seen: dict[str, np.ndarray] = {}
    plain.gpt(np.array([IDS]), parameters, config, seen.__setitem__)
    words = [WORDS[i].strip() for i in IDS]
    with style():
        figure, axes = new_figure(7.0, 3.4, columns=2)
        for head, weights in enumerate(seen["blocks.0.attention.weights"][0]):
            shown = np.where(np.tri(len(IDS), dtype=bool), weights, np.nan)
            heatmap(axes[head], shown, words, words, limit=1, digits=2)
            axes[head].set(title=f"head {head}", xlabel="looked at", ylabel="looks")
        save(figure, folder / "04-hand-map.svg")
