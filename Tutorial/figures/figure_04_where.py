"""Where chapter 4 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, attention lit."""
    draw_pipeline(folder / "04-where.svg", ["attention"], "only here do tokens read each other")
