"""Where chapter 10 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, the layers of a block lit."""
    lit = ["attention", "feed-forward"]
    draw_pipeline(folder / "10-where.svg", lit, "frozen, and a little learns beside them")
