"""Where chapter 12 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import STAGES, draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, all of it lit."""
    draw_pipeline(folder / "12-where.svg", STAGES, "the same numbers, sooner")
