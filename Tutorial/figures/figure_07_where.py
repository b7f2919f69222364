"""Where chapter 7 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, the logits lit."""
    draw_pipeline(folder / "07-where.svg", ["logits"], "from vectors back to words")
