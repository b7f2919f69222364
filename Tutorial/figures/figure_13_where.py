"""Where chapter 13 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import STAGES, draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, all of it lit."""
    draw_pipeline(folder / "13-where.svg", STAGES, "one line of this is wrong")
