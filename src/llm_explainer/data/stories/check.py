"""Checking: is a text a story of this world that keeps its character, place and object straight?

The checker runs every plot's grammar backwards over the text. A text passes when one plot can have
told it from the first word to the last with one set of facts: then every sentence is whole, nobody
appears unannounced, pronouns fit, things and places stay what they were, and nothing is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm_explainer.data.stories.grammar import Reading
from llm_explainer.data.stories.plots import PLOTS
from llm_explainer.data.stories.world import CASTS, Scene

_SENTENCE = re.compile(r'[^.!?]*[.!?]+"?\s*|[^.!?]+$')
_WORD = re.compile(r"[A-Za-z]+")
_NAMES = {cast.forms["hero"] for cast in CASTS}


@dataclass(frozen=True, slots=True)
class StoryReport:
    """What the checker read in a text: the whole story, or the facts up to where it went wrong."""

    problems: tuple[str, ...]
    plot: str = ""
    hero: str = ""
    friend: str = ""
    place: str = ""
    thing: str = ""

    @property
    def ok(self) -> bool:
        """Whether the text is a coherent, complete story."""
        return not self.problems


def check_story(text: str) -> StoryReport:
    """Read ``text`` as one story; space around it is ignored."""
    text = text.strip()
    if not text:
        return StoryReport(("the text is empty",))
    best, best_plot = Reading("", {}), ""
    for plot in PLOTS:
        reading = Reading(text + " ", plot.domains)
        for end, scene in plot.story.read(reading, 0, {}):
            if end == len(reading.text):
                return _report((), plot.name, scene)
            reading.stuck(end, scene)
        if reading.furthest > best.furthest:
            best, best_plot = reading, plot.name
    return _report(_problems(best, text), best_plot if best.known else "", best.known)


def _report(problems: tuple[str, ...], plot: str, scene: Scene) -> StoryReport:
    cast = scene["cast"].forms if "cast" in scene else {"hero": "", "friend": "", "place": ""}
    thing = scene["thing"].name if "thing" in scene else ""
    return StoryReport(problems, plot, cast["hero"], cast["friend"], cast["place"], thing)


def _problems(reading: Reading, text: str) -> tuple[str, ...]:
    """Say why the reading that came furthest came no further."""
    problems = []
    if "cast" in reading.known:
        cast = reading.known["cast"].forms
        strangers = sorted(
            _NAMES.intersection(_WORD.findall(text)) - {cast["hero"], cast["friend"]}
        )
        problems += [f"{name} was never introduced" for name in strangers]
    if reading.furthest >= len(text) or text[-1] not in '.!?"':
        problems.append("the story stops before its end")
    else:
        problems.append(_misfit(reading, text))
    return tuple(problems)


def _misfit(reading: Reading, text: str) -> str:
    """Name the word or the sentence at which the reading got stuck."""
    at = reading.furthest
    sentence = next(s.group().strip() for s in _SENTENCE.finditer(text) if s.end() > at)
    word = _WORD.match(text, at)
    if reading.due and word:
        due = " or ".join(repr(word) for word in sorted(reading.due))
        return f"{word.group()!r} stands where {due} belongs: {sentence!r}"
    return f"this does not follow: {sentence!r}"
