"""The Tutorial's own code: the thread that its chapters follow, and what keeps them true.

The chapters themselves are text, in ``Tutorial/`` beside the scripts.
"""

from llm_explainer.tutorial.thread import (
    IDS,
    SENTENCE,
    TARGETS,
    WORDS,
    hand_model,
    story_model,
)

__all__ = ["IDS", "SENTENCE", "TARGETS", "WORDS", "hand_model", "story_model"]
