"""A word on its way from bytes to one token, with the trained model's tokenizer."""

from pathlib import Path

from llm_explainer.tokenizer.replay import merge_ranks, replay
from llm_explainer.tutorial import story_model
from llm_explainer.tutorial.drawing import BLUE, INK, bare, box, new_figure, save, style

WORD = b" there"


def draw(folder: Path) -> None:
    """Draw every step as a row, the first at the bottom; what was merged last is lit."""
    _, tokenizer = story_model()
    steps = list(replay(WORD, merge_ranks(tokenizer)))
    with style():
        figure, axes = new_figure(6.4, 3.6)
        bare(axes, len(WORD) + 3.4, 0.85 * len(steps) + 0.2)
        for row, step in enumerate(steps):
            y, start = 0.85 * row + 0.5, 0.0
            new = steps[row - 1].next_merge[1] if row else None  # place of the token just made
            for place, token in enumerate(step.tokens):
                is_new = place == new
                middle = (start + len(token) / 2 + 0.1, y)
                text = token.decode().replace(" ", "␣")
                color = BLUE if is_new else INK
                box(axes, middle, text, width=len(token) - 0.1, color=color, lit=is_new)
                start += len(token)
            note = f"merge {steps[row - 1].next_merge[0]}" if row else "six bytes"
            axes.text(len(WORD) + 0.4, y, note, ha="left", va="center")
        save(figure, folder / "01-merges.svg")
