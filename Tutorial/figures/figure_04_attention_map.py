"""What the heads of the trained model look at in the six words."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import SENTENCE, WORDS, story_model
from llm_explainer.tutorial.drawing import heatmap, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw every head of every block."""
    model, tokenizer = story_model()
    ids = np.array([tokenizer.encode(SENTENCE)])
    seen: dict[str, np.ndarray] = {}
    plain.gpt(ids, model.parameters(), model.config, seen.__setitem__)
    words = [word.strip() for word in WORDS[1:7]]
    n_layers, n_heads = model.config.n_layers, model.config.n_heads
    with style():
        figure, axes = new_figure(7.4, 6.0, columns=n_heads, rows=n_layers)
        for layer, head in np.ndindex(n_layers, n_heads):
            weights = seen[f"blocks.{layer}.attention.weights"][0, head]
            shown = np.where(np.tri(len(words), dtype=bool), weights, np.nan)
            is_left, is_low = head == 0, layer == n_layers - 1
            here = axes[layer, head]
            heatmap(here, shown, words if is_left else (), words if is_low else (), limit=1)
            here.plot([-0.5, -0.5, 5.5], [-0.5, 5.5, 5.5], color="#7d7d7d", linewidth=0.8)
            here.set_title(f"block {layer}, head {head}", fontsize=9)
        save(figure, folder / "04-attention-map.svg")
