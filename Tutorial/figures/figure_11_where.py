"""Where chapter 11 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, the stages lit that have other parts in Llama."""
    lit = ["positions", "attention", "feed-forward"]
    draw_pipeline(folder / "11-where.svg", lit, "the same stages, other parts")
