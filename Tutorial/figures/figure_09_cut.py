"""Where top-k and top-p cut, at a place with one next word and at one with many."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import story_model
from llm_explainer.tutorial.drawing import BLUE, GREEN, ORANGE, new_figure, save, style

PROMPTS = ("Once there was a shy fox named Finn, who lived by", "Once there was a")
SHOWN = 12


def draw(folder: Path) -> None:
    """Draw the likeliest words' shares, sorted, with both cuts."""
    model, tokenizer = story_model()
    with style():
        figure, axes = new_figure(8.0, 3.0, columns=2)
        for place, prompt in zip(axes, PROMPTS, strict=True):
            logits = model.next_logits(np.array([tokenizer.encode(prompt)]))
            shares = plain.softmax(np.asarray(logits, dtype=np.float64)[0] / 1.5)[0]  # (V,)
            order = shares.argsort()[::-1]
            place.bar(range(SHOWN), shares[order[:SHOWN]], color=BLUE)
            labels = [tokenizer.decode([int(token)]).strip() for token in order[:SHOWN]]
            place.set_xticks(range(SHOWN), labels, rotation=45, ha="right")
            n_kept = int(np.searchsorted(np.cumsum(shares[order]), 0.9)) + 1
            top = float(shares.max())
            place.plot([2.5, 2.5], [0, top], color=ORANGE, linestyle="--", label="top-k, k = 3")
            edge = min(n_kept, SHOWN) - 0.5
            place.plot([edge, edge], [0, top], color=GREEN, label=f"top-p 0.9 keeps {n_kept}")
            place.set(title="… " + " ".join(prompt.split()[-4:]), ylabel="share at temperature 1.5")
            place.legend(loc="upper right")
        save(figure, folder / "09-cut.svg")
