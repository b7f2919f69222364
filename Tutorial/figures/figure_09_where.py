"""Where chapter 9 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, the next word lit."""
    draw_pipeline(folder / "09-where.svg", ["next word"], "one of the words is chosen")
