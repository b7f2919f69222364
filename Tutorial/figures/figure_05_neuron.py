"""What wakes one neuron of the trained model."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import SENTENCE, story_model
from llm_explainer.tutorial.drawing import BLUE, INK, new_figure, save, style

NEURON = 46
TEXTS = (
    SENTENCE,
    "Once there was a shy bear",
    "Once there was a shy donkey",
    "Once there was a shy tree",
    "Once there was",
    "a fox",
    '"Hello," said the fox',
)


def draw(folder: Path) -> None:
    """Draw the neuron's activity at the end of each text."""
    model, tokenizer = story_model()
    activities = []
    for text in TEXTS:
        seen: dict[str, np.ndarray] = {}
        ids = np.array([tokenizer.encode(text)])
        plain.gpt(ids, model.parameters(), model.config, seen.__setitem__)
        activities.append(float(seen["blocks.0.feed_forward.hidden"][0, -1, NEURON]))
    with style():
        figure, axes = new_figure(7.2, 2.7)
        places = np.arange(len(TEXTS))[::-1]
        axes.barh(places, activities, color=BLUE, alpha=0.75)
        for place, activity in zip(places, activities, strict=True):
            axes.text(max(activity, 0) + 0.2, place, f"{activity:.1f}", va="center", fontsize=8)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(places, TEXTS)
        axes.set(title=f"activity of neuron {NEURON} of block 0 at the last word")
        save(figure, folder / "05-neuron.svg")
