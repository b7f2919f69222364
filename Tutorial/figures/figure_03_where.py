"""Where chapter 3 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, positions lit."""
    note = "the same word, elsewhere, is another vector"
    draw_pipeline(folder / "03-where.svg", ["positions"], note)
