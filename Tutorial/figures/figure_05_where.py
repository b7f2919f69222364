"""Where chapter 5 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, the feed-forward network lit."""
    draw_pipeline(folder / "05-where.svg", ["feed-forward"], "each token by itself")
