"""Where chapter 8 is."""

from pathlib import Path

from llm_explainer.tutorial.pipeline import draw_pipeline


def draw(folder: Path) -> None:
    """Draw the pipeline, its end lit."""
    lit = ["logits", "next word"]
    draw_pipeline(folder / "08-where.svg", lit, "how wrong, and what to change")
