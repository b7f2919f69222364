"""The built-in corpus: a little world that plays out stories, tells them, and checks them."""

from llm_explainer.data.stories.check import StoryReport, check_story
from llm_explainer.data.stories.grammar import Question
from llm_explainer.data.stories.tell import Story, iter_stories, stories_text

__all__ = ["Question", "Story", "StoryReport", "check_story", "iter_stories", "stories_text"]
