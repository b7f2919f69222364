"""A flat map of some words of the trained table."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from llm_explainer.tutorial import story_model
from llm_explainer.tutorial.drawing import COLORS, new_figure, save, style

GROUPS = {
    "animals": " fox pig donkey squirrel hedgehog dog rabbit bear owl mouse",
    "character": " shy young curious merry small lonely brave kind clever",
    "colours": " red blue green yellow white silver",
    "what they do": " ran walked went sat said asked found saw",
}
"""Words of one token each."""


def draw(folder: Path) -> None:
    """Draw the two directions in which these words differ most."""
    model, tokenizer = story_model()
    table = model.parameters()["token_embedding"]["weight"].astype(np.float64)
    words, groups, rows = [], [], []
    for group, text in enumerate(GROUPS.values()):
        for word in text.split():
            ids = tokenizer.encode(f" {word}")
            if len(ids) == 1:
                words.append(word)
                groups.append(group)
                rows.append(table[ids[0]])
    vectors = np.array(rows)  # (words, D)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors -= vectors.mean(0)
    _, _, directions = np.linalg.svd(vectors, full_matrices=False)
    directions = directions[:2] * np.sign(directions[:2, :1])  # either sign would do: one is chosen
    places = (vectors @ directions.T).round(3)  # (words, 2)
    with style():
        figure, axes = new_figure(7.2, 4.6)
        for group, name in enumerate(GROUPS):
            here = np.array(groups) == group
            axes.plot(*places[here].T, "o", color=COLORS[group], label=name, markersize=4)
        heights = _apart(places, groups)
        for word, group, (x, y), height in zip(words, groups, places, heights, strict=True):
            axes.plot([x, x + 0.04], [y, height], color=COLORS[group], linewidth=0.5)
            axes.text(x + 0.05, height, word, color=COLORS[group], fontsize=8, va="center")
        axes.legend()
        axes.set(xlim=(None, 0.95), xlabel="first direction", ylabel="second direction")
        save(figure, folder / "02-map.svg")


def _apart(places: np.ndarray, groups: list[int], least: float = 0.045) -> np.ndarray:
    """Return how high each word is written, so that none of a group lies on another."""
    heights = places[:, 1].copy()
    order = sorted(range(len(groups)), key=lambda i: (groups[i], places[i, 1]))
    for below, i in pairwise(order):
        if groups[below] == groups[i]:
            heights[i] = max(heights[i], heights[below] + least)
    return heights
