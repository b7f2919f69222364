"""Which targets of a record count."""

from pathlib import Path

from llm_explainer.tutorial import IDS, TARGETS, WORDS
from llm_explainer.tutorial.drawing import BLUE, INK, arrow, bare, box, new_figure, save, style

PROMPT = 6
"""Tokens of it; what stands over its last one is the answer's first."""


def draw(folder: Path) -> None:
    """Draw what is read, and above each word what should come next, lit where it counts."""
    words = [word.strip().replace("<|endoftext|>", "end") for word in WORDS]
    read, targets = [*IDS, 7], [*TARGETS, 0]
    with style():
        figure, axes = new_figure(7.6, 2.4)
        bare(axes, 15.4, 4.6)
        for place, (word, target) in enumerate(zip(read, targets, strict=True)):
            x, counts = 2.6 + 1.9 * place, place >= PROMPT - 1
            box(
                axes,
                (x, 3.0),
                words[target],
                width=1.6,
                height=0.8,
                color=BLUE if counts else INK,
                lit=counts,
            )
            axes.text(x, 4.0, "1" if counts else "0", ha="center", va="center")
            arrow(axes, (x, 1.6), (x, 2.55))
            axes.text(x, 1.2, words[word], ha="center", va="center")
        for y, name in ((4.0, "mask"), (3.0, "target"), (1.2, "read")):
            axes.text(1.4, y, name, ha="right", va="center", color=BLUE)
        left, middle, right = 1.8, 2.6 + 1.9 * (PROMPT - 0.5), 14.8
        for start, end, name in (
            (left, middle - 0.1, "the prompt"),
            (middle + 0.1, right, "the answer"),
        ):
            axes.plot([start, start, end, end], [0.85, 0.7, 0.7, 0.85], color=INK, linewidth=1)
            axes.text((start + end) / 2, 0.6, name, ha="center", va="top", fontsize=8)
        save(figure, folder / "10-mask.svg")
