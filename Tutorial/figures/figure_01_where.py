"""Where chapter 1 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, tokens lit."""
    note = "text to numbers, and back without loss"
    draw_pipeline(folder / "01-where.svg", ["tokens"], note)
