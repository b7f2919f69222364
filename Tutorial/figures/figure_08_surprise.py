"""The surprise about each word of the sentence, on the curve of minus the logarithm."""

import math
from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import IDS, TARGETS, WORDS, hand_model
from llm_explainer.tutorial.drawing import BLUE, INK, ORANGE, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw the curve and the six targets of the hand-sized model."""
    parameters, config = hand_model()
    logits, _ = plain.gpt(np.array([IDS]), parameters, config)
    chances = plain.softmax(logits[0])[0][np.arange(len(TARGETS)), TARGETS]
    p = np.linspace(0.004, 1, 400)
    with style():
        figure, axes = new_figure(6.4, 3.2)
        axes.plot(p, -np.log(p), color=BLUE)
        axes.plot(chances, -np.log(chances), "o", color=ORANGE)
        for target, chance in zip(TARGETS, chances, strict=True):
            axes.text(chance + 0.015, -math.log(chance), WORDS[target].strip(), va="bottom")
        blind = math.log(len(WORDS))
        axes.axhline(blind, color=INK, linewidth=0.8, linestyle="--")
        axes.text(1, blind, "a blind guess among eight", ha="right", va="bottom", fontsize=8)
        axes.set(xlabel="p, what the model gave the word that came", ylabel="surprise, -log p")
        axes.set(xlim=(0, 1), ylim=(0, 5.6))
        save(figure, folder / "08-surprise.svg")
