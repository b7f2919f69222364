"""Where chapter 2 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, its two ends lit."""
    draw_pipeline(folder / "02-where.svg", ["embeddings", "logits"], "one table, used at both ends")
