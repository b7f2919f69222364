"""The loss of the trained model where texts grow longer than those it was trained on."""

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.data.stories import iter_stories
from llm_explainer.tutorial import story_model
from llm_explainer.tutorial.drawing import BLUE, GREEN, INK, new_figure, save, style

ROWS, LENGTH, STRETCH = 6, 384, 32
THETAS = {10_000.0: BLUE, 40_000.0: GREEN}


def draw(folder: Path) -> None:
    """Draw the mean loss of each stretch of places, for two values of theta."""
    model, tokenizer = story_model()
    parameters, trained = model.parameters(), model.config
    [end] = tokenizer.encode("<|endoftext|>", allowed_special="all")
    rows = []
    for seed in range(ROWS):
        stories = iter_stories(1000 + seed)
        told = chain.from_iterable([*tokenizer.encode(story.text), end] for story in stories)
        rows.append([end, *(next(told) for _ in range(LENGTH))])
    ids = np.array(rows)  # (ROWS, LENGTH + 1)
    with style():
        figure, axes = new_figure(6.8, 3.0)
        for theta, color in THETAS.items():
            config = replace(trained, context_length=LENGTH, rope_theta=theta)
            logits, _ = plain.gpt(ids[:, :-1], parameters, config)  # (B, T, V)
            weights, _ = plain.softmax(logits)
            p = np.take_along_axis(weights, ids[:, 1:, None], axis=-1)[..., 0]  # (B, T)
            loss = -np.log(p).reshape(ROWS, -1, STRETCH).mean((0, 2)).round(2)
            places = np.arange(STRETCH / 2, LENGTH, STRETCH)
            axes.plot(places, loss, "o-", color=color, markersize=4, label=f"θ = {theta:,.0f}")
        axes.axvline(trained.context_length, color=INK, linewidth=0.8, linestyle="--")
        axes.text(trained.context_length + 4, 2.0, "longest text in training", fontsize=8)
        axes.set(xlabel="position", ylabel="loss", ylim=(0, None))
        axes.legend(loc="upper left")
        save(figure, folder / "03-beyond.svg")
