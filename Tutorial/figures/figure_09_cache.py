"""What is computed for one more word, without the cache and with it."""

from pathlib import Path

import numpy as np

from llm_explainer.tutorial import WORDS
from llm_explainer.tutorial.drawing import heatmap, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw the attention triangle twice; strong squares are computed, pale ones are kept."""
    words = [word.strip() for word in WORDS[1:]]
    n = len(words)
    seen = np.tri(n, dtype=bool)
    everything = np.where(seen, 1.0, np.nan)
    last_row = np.where(np.arange(n)[:, None] == n - 1, 1.0, 0.15)
    with style():
        figure, axes = new_figure(7.4, 3.6, columns=2)
        heatmap(axes[0], everything, words, words, limit=1.4)
        heatmap(axes[1], np.where(seen, last_row, np.nan), words, words, limit=1.4)
        axes[0].set(title="without: all rows again", xlabel="looked at", ylabel="looks")
        axes[1].set(title="with: the last row", xlabel="keys and values: kept", ylabel="looks")
        save(figure, folder / "09-cache.svg")
