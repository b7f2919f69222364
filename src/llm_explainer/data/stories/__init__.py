"""The built-in corpus: a little world that plays out stories, tells them, and checks them.

``questions`` asks about the stories, for fine-tuning.
"""

from llm_explainer.data.stories.check import StoryReport, check_story
from llm_explainer.data.stories.grammar import Question
from llm_explainer.data.stories.questions import (
    QuestionSplits,
    StoryQuestion,
    question_only_baseline,
    split_questions,
)
from llm_explainer.data.stories.tell import Story, iter_stories, stories_text

__all__ = [
    "Question",
    "QuestionSplits",
    "Story",
    "StoryQuestion",
    "StoryReport",
    "check_story",
    "iter_stories",
    "question_only_baseline",
    "split_questions",
    "stories_text",
]
