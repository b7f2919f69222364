"""Questions about stories, each with the one right answer: what fine-tuning learns from.

A question and its answer are a prompt and a completion::

    On a windy day, ... and there was the kite!

    Who found the kite?| Rosa

The answer begins with the space that stands before a word inside a text, so that its tokens are
those of the story: a small model copies what it has just read sooner than it learns to spell.

What can be said of an answer without the story is little, and ``question_only_baseline`` measures
it: in "Where did Pip sit?" the name alone would give the place away, because everybody in this
world has one place and one friend; so questions for names and places name nobody.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import NamedTuple

from llm_explainer.data.stories.tell import Story, iter_stories
from llm_explainer.errors import CorpusError

KINDS = ("who", "where", "what", "why")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True, slots=True)
class StoryQuestion:
    """A question about one story, and its answer to the letter."""

    story: str
    question: str
    answer: str
    kind: str  # who, where, what or why

    @property
    def prompt(self) -> str:
        """The text up to where the answer begins."""
        return f"{self.story}\n\n{self.question}"

    @property
    def completion(self) -> str:
        """What follows the prompt; the token that ends a text is not in it."""
        return f" {self.answer}"


class QuestionSplits(NamedTuple):
    """Questions to learn from and questions to be judged by, about different stories."""

    train: list[StoryQuestion]
    validation: list[StoryQuestion]
    test: list[StoryQuestion]


def split_questions(n_train: int, n_validation: int, n_test: int, seed: int = 0) -> QuestionSplits:
    """Return questions in three splits, as many of each kind in all of them.

    The splits share no story: one in ten is for validation, one for the test; which, depends on the
    seed. Their stories are of the same kind, so that what can be guessed without reading one is the
    same in all three.

    Raises:
        CorpusError: a number below 0.
    """
    sizes = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
    for name, size in sizes.items():
        if size < 0:
            raise CorpusError(f"{name} is {size}; it takes 0 or more questions")
    splits: tuple[list[StoryQuestion], ...] = ([], [], [])
    due = sum(sizes.values())
    stories = _stories(seed)
    while due:
        story, rng = next(stories)
        place = _split_of(story, seed)
        split = splits[place]
        if len(split) < list(sizes.values())[place]:
            split.append(_ask(story, KINDS[len(split) % len(KINDS)], rng))
            due -= 1
    return QuestionSplits(*splits)


def stories_to_learn_from(n: int, seed: int = 0) -> Iterator[list[StoryQuestion]]:
    """Yield ``n`` stories of the training split, each with all that can be asked about it.

    The first questions are one of each kind, so that a part of them is balanced, too.

    Raises:
        CorpusError: ``n`` is below 0.
    """
    if n < 0:
        raise CorpusError(f"{n} stories to learn from; it takes 0 or more")
    found = (told for told in _stories(seed) if _split_of(told[0], seed) == TRAIN)
    for story, rng in islice(found, n):
        drawn = rng.sample(story.questions, len(story.questions))
        seen: Counter[str] = Counter()
        rounds = []
        for question in drawn:
            rounds.append(seen[question.kind])
            seen[question.kind] += 1
        order = sorted(range(len(drawn)), key=rounds.__getitem__)
        asked = [drawn[place] for place in order]
        yield [StoryQuestion(story.text, q.question, q.answer, q.kind) for q in asked]


def one_story(seed: int = 0) -> list[StoryQuestion]:
    """Return all questions about one story, in all their wordings, in an order that ``seed`` draws.

    The story is none that ``split_questions`` trains on with its own default seed.
    """
    rng = Random(f"one story {seed}")
    story = next(s for s in iter_stories(rng.getrandbits(64)) if _split_of(s, 0) == TEST)
    questions = [StoryQuestion(story.text, q.question, q.answer, q.kind) for q in story.questions]
    return rng.sample(questions, len(questions))


def question_only_baseline(
    train: Iterable[StoryQuestion], held_out: Iterable[StoryQuestion]
) -> dict[str, float]:
    """Return, for each kind, how often the commonest answer to a question is the right one.

    This is what can be had without a look at the story: to each question of ``held_out`` the answer
    that the same words have most often in ``train``, or, to words that are new, the kind's
    commonest. Kinds of which ``held_out`` has none are left out.
    """
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for question in train:
        seen[question.question][question.answer] += 1
        seen[question.kind][question.answer] += 1
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for question in held_out:
        answers = seen.get(question.question) or seen.get(question.kind)
        guess = answers.most_common(1)[0][0] if answers else None
        asked[question.kind] += 1
        right[question.kind] += guess == question.answer
    return {kind: right[kind] / asked[kind] for kind in KINDS if asked[kind]}


def examination(n_questions: int) -> tuple[list[StoryQuestion], dict[str, float]]:
    """Return questions that every model is examined with, and what is right without their stories.

    As many of each kind; the baseline is ``question_only_baseline``, which knows the commonest
    answers of 20,000 other questions.

    Raises:
        CorpusError: a number below 0.
    """
    splits = split_questions(20_000, 0, n_questions)
    return splits.test, question_only_baseline(splits.train, splits.test)


def _stories(seed: int) -> Iterator[tuple[Story, Random]]:
    """Yield stories without end, and with each the generator that draws a question about it.

    ``iter_stories`` tells none of them for a small seed: a model that was pre-trained on a corpus
    of stories has not read them.
    """
    rng = Random(f"questions {seed}")
    for story in iter_stories(rng.getrandbits(64)):
        yield story, rng


def _ask(story: Story, kind: str, rng: Random) -> StoryQuestion:
    """Draw one question of a kind; every plot has some of each."""
    questions = [question for question in story.questions if question.kind == kind]
    drawn = questions[int(rng.random() * len(questions))]
    return StoryQuestion(story.text, drawn.question, drawn.answer, kind)


def _split_of(story: Story, seed: int) -> int:
    """Return the split of a story: each time that it is told, the same."""
    told = zlib.crc32(f"{seed} {story.text}".encode())
    return {0: VALIDATION, 1: TEST}.get(told % 10, TRAIN)
