"""The drawing with which each chapter says where it is: the way of a text, one stage lit."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from llm_explainer.tutorial.drawing import BLUE, INK, arrow, bare, box, new_figure, save, style

STAGES = ("tokens", "embeddings", "positions", "attention", "feed-forward", "logits", "next word")
"""From a text to the word that follows. Attention and feed-forward make a block."""

_WIDTH, _STEP, _HEIGHT = 1.65, 1.9, 1.9


def draw_pipeline(path: Path, lit: Collection[str], note: str = "") -> None:
    """Draw the stages in a row, those of ``lit`` filled, with a note above them.

    Raises:
        OSError: the file cannot be written.
    """
    with style():
        figure, axes = new_figure(8.6, 1.3)
        bare(axes, _STEP * len(STAGES), _HEIGHT)
        for i, stage in enumerate(STAGES):
            is_lit = stage in lit
            middle = _STEP * (i + 0.5)
            color = BLUE if is_lit else INK
            box(axes, (middle, 0.85), stage, width=_WIDTH, height=0.75, color=color, lit=is_lit)
            if i:
                start = middle - _STEP + _WIDTH / 2
                arrow(axes, (start, 0.85), (middle - _WIDTH / 2, 0.85))
        first, last = STAGES.index("attention"), STAGES.index("feed-forward")
        left, right = _STEP * first + 0.05, _STEP * (last + 1) - 0.05
        axes.plot([left, left, right, right], [0.42, 0.25, 0.25, 0.42], color=INK, linewidth=1)
        axes.text((left + right) / 2, 0.2, "a block, repeated", ha="center", va="top", fontsize=8)
        middles = [_STEP * (i + 0.5) for i, stage in enumerate(STAGES) if stage in lit]
        middle, side = sum(middles) / len(middles), "center"
        if set(lit) == {STAGES[0]}:  # a long note would leave the sheet
            middle, side = (_STEP - _WIDTH) / 2, "left"
        axes.text(middle, 1.4, note, ha=side, va="bottom", color=BLUE)
        save(figure, path)
