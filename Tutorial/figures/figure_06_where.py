"""Where chapter 6 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, both layers of a block lit."""
    lit = ["attention", "feed-forward"]
    draw_pipeline(folder / "06-where.svg", lit, "how the two are put together")
