"""One row of scores of the hand-sized model at four temperatures."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import IDS, TARGETS, WORDS, hand_model
from llm_explainer.tutorial.drawing import BLUE, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw the shares of the eight words after the sentence, as bars."""
    scores = _scores()
    words = [word.strip().replace("<|endoftext|>", "end") for word in WORDS]
    with style():
        figure, axes = new_figure(8.0, 2.4, columns=4)
        for place, temperature in zip(axes, (0.5, 1, 2, 5), strict=True):
            shares = plain.softmax(scores / temperature)[0]
            place.barh(range(len(words)), shares, color=BLUE)
            place.set(title=f"temperature {temperature}", xlim=(0, 1.0), xlabel="share")
            place.set_yticks(range(len(words)), words if place is axes[0] else [""] * len(words))
        save(figure, folder / "09-temperature.svg")


def _scores() -> np.ndarray:
    """Return what the hand-sized model says after the sentence, trained as in chapter 8: (V,)."""
    parameters, config = hand_model()
    state = plain.start_adamw(parameters)
    ids, targets = np.array([IDS]), np.array([TARGETS])
    for _ in range(41):
        _, parameters, state = plain.train_step(ids, targets, parameters, state, config, 0.03)
    return plain.gpt(ids, parameters, config)[0][0, -1]
