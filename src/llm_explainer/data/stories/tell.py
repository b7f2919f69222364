"""Telling: a seed becomes an endless stream of stories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from llm_explainer.data.stories.grammar import Ask, Question, Telling
from llm_explainer.data.stories.plots import PLOTS, Plot
from llm_explainer.data.stories.world import draw_scene, words_of
from llm_explainer.errors import CorpusError

MOST_WORDS = 96  # longer ones are told anew, so that every story fits a context of 128 tokens


@dataclass(frozen=True, slots=True)
class Story:
    """One told story, the facts behind it, and questions that it answers."""

    text: str
    plot: str
    hero: str
    friend: str
    place: str
    thing: str  # what it is all about: a toy, a cake, a seed
    words: Mapping[str, str]  # slot -> its text in this story
    asks: tuple[Ask, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """All that can be asked, in all wordings."""
        return tuple(question for ask in self.asks for question in ask.questions(self.words))


def tell(plot: Plot, rng: Random) -> Story:
    """Play out one plot with facts and phrasings drawn from ``rng``."""
    scene = draw_scene(plot.domains, rng)
    telling = Telling(rng, words_of(scene))
    plot.story.tell(telling)
    return Story(
        text="".join(telling.pieces).rstrip(),
        plot=plot.name,
        hero=scene["cast"].forms["hero"],
        friend=scene["cast"].forms["friend"],
        place=scene["cast"].forms["place"],
        thing=scene["thing"].name,
        words=telling.words,
        asks=tuple(telling.asks),
    )


def iter_stories(seed: int = 0) -> Iterator[Story]:
    """Yield stories without end; the same seed yields the same ones."""
    rng = Random(seed)
    while True:
        plot = PLOTS[int(rng.random() * len(PLOTS))]
        story = tell(plot, rng)
        while story.text.count(" ") >= MOST_WORDS:
            story = tell(plot, rng)
        yield story


def stories_text(n_bytes: int, seed: int = 0) -> Iterator[str]:
    """Yield the texts of stories until they hold ``n_bytes`` bytes or more.

    Raises:
        CorpusError: ``n_bytes`` is below 1.
    """
    if n_bytes < 1:
        raise CorpusError(f"a corpus of {n_bytes} bytes holds no story; ask for 1 byte or more")
    told = 0
    for story in iter_stories(seed):
        yield story.text
        told += len(story.text.encode())
        if told >= n_bytes:
            return
