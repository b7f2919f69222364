"""One query, the keys that it meets, and the blend of values that comes out: real numbers."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import IDS, WORDS, hand_model
from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    arrow,
    bare,
    box,
    new_figure,
    save,
    style,
)


def draw(folder: Path) -> None:
    """Draw the second token of the hand-sized model in its first head."""
    parameters, config = hand_model()
    seen: dict[str, np.ndarray] = {}
    plain.gpt(np.array([IDS]), parameters, config, seen.__setitem__)
    q, k, v, scores, weights, heads = (
        seen[f"blocks.0.attention.{name}"][0, 0]
        for name in ("q", "k", "v", "scores", "weights", "heads")
    )
    with style():
        figure, axes = new_figure(8.6, 3.6)
        bare(axes, 14.4, 5.7)
        box(axes, (1.2, 4.3), f"query of there\n{_pair(q[1])}", width=2.2, height=0.85,
            color=BLUE, lit=True)  # fmt: skip
        for i, token in enumerate(IDS):
            y = 5.1 - 0.8 * i
            word = WORDS[token].strip()
            is_seen = i <= 1
            color = ORANGE if is_seen else INK
            box(axes, (4.7, y), f"key of {word}  {_pair(k[i])}", width=2.9, color=color)
            if not is_seen:
                axes.plot([3.4, 6.0], [y - 0.2, y + 0.2], color=INK, linewidth=1)
                continue
            arrow(axes, (2.35, 4.3), (3.2, y), color=BLUE)
            axes.text(6.95, y, f"score {scores[1, i]:.3f}\nweight {weights[1, i]:.3f}",
                      ha="center", va="center", fontsize=8)  # fmt: skip
            box(axes, (9.4, y), f"value of {word}  {_pair(v[i])}", width=3.1, color=GREEN)
            arrow(axes, (10.98, y), (11.75, 4.7), color=GREEN)
        box(axes, (13.0, 4.7), f"result for there\n{_pair(heads[1])}", width=2.4, height=0.85,
            color=GREEN, lit=True)  # fmt: skip
        axes.text(6.4, 2.3, "later words: hidden by the mask", ha="left", va="center", fontsize=8)
        save(figure, folder / "04-idea.svg")


def _pair(vector: np.ndarray) -> str:
    return f"[{vector[0]:.2f}, {vector[1]:.2f}]"
