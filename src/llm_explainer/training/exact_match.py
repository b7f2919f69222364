"""Exact match: the share of questions whose answer is right to the letter.

Loss says how surprised a model is by the right answer; this says whether it gives it (Rajpurkar et
al. 2016, section 6.1, without their forgiving of articles and punctuation).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_explainer.data.records import EncodedRecord
from llm_explainer.data.stories.questions import StoryQuestion
from llm_explainer.errors import GenerationError
from llm_explainer.generation import Completion, complete_batch
from llm_explainer.program import typed
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.training.events import Answered

MORE_TOKENS = 8
"""How many tokens an answer may be longer than the right one: then it is wrong in any case."""

MOST_TOKENS = 64
"""The longest answer that is asked for."""

AT_ONCE = 32
"""Questions that are answered together."""

N_SHOWN = 3


@dataclass(frozen=True)
class EncodedQuestion:
    """What a model is asked, as ids, and the one answer that is right."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]  # without the end token
    kind: str = ""  # what sort of question, for a table; empty where there are no sorts


def encode_question(question: StoryQuestion, tokenizer: Tokenizer) -> EncodedQuestion:
    """Return a question about a story as ids.

    Raises:
        TokenizerError: the tokenizer cannot encode it.
    """
    prompt, answer = tokenizer.encode(question.prompt), tokenizer.encode(question.completion)
    return EncodedQuestion(tuple(prompt), tuple(answer), question.kind)


def last_questions(
    records: Iterable[EncodedRecord], ends: Collection[int], limit: int
) -> list[EncodedQuestion]:
    """Return the last answer of each of the first records as a question, ``limit`` at most.

    Left out is a text that is learned from its first token on, and an answer that is too long to be
    repeated to the letter.

    Args:
        records: as tokens
        ends: the ids that end an answer
    """
    found = []
    for record in records:
        trained = np.flatnonzero(record.trained)
        if len(trained) == 0:
            continue
        stop = int(trained[-1]) + 1
        before = np.flatnonzero(~record.trained[:stop])
        start = int(before[-1]) + 1 if len(before) else 0
        ids = record.ids.tolist()
        answer = ids[start : stop - 1] if ids[stop - 1] in ends else ids[start:stop]
        if start > 1 and 0 < len(answer) <= MOST_TOKENS:
            found.append(EncodedQuestion(tuple(ids[:start]), tuple(answer)))
        if len(found) == limit:
            break
    return found


def last_line(question: EncodedQuestion, tokenizer: Tokenizer) -> str:
    """Return the last line of a prompt that is not empty: the question itself. Of a conversation
    only what comes behind the last token that ends a text counts.

    A single word there, "Answer:" or a chat template's "Assistant:", only asks for the answer, so
    the line above it stands before it.
    """
    ends = [place for place, token in enumerate(question.prompt) if token in tokenizer.roles.ends]
    text = tokenizer.decode(question.prompt[ends[-1] + 1 if ends else 0 :])
    lines = text.splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    only_asks = len(lines) > 1 and " " not in lines[-1] and not lines[-1].endswith("?")
    return " ".join(lines[-2:] if only_asks else lines[-1:])


@dataclass(frozen=True)
class Answer:
    """What a model said, beside what is right."""

    question: EncodedQuestion
    expected: str
    given: str
    ended: bool  # by the end token, not because it became too long

    @property
    def is_right(self) -> bool:
        """Whether it is, to the letter, and ended where it should."""
        return self.ended and self.given == self.expected


def ask_model(
    model: Any,
    tokenizer: Tokenizer,
    questions: Sequence[EncodedQuestion],
    report: Callable[[int, int], object] = lambda done, total: None,
) -> list[Answer]:
    """Let a model answer questions by its likeliest tokens; return the answers in their order.

    ``report`` is told how many are answered, of how many.

    Raises:
        GenerationError: a prompt longer than the context, or logits that are not finite.
    """
    room = model.config.context_length
    asked = max((len(question.prompt) for question in questions), default=0)
    if asked > room:
        raise GenerationError(
            f"a question takes {asked} tokens with its story, the model's context only {room}; "
            f"ask one with a longer context, such as `{typed('full')}` trains"
        )
    longest = max((len(question.answer) for question in questions), default=0) + MORE_TOKENS
    completions: list[Completion] = []
    for first in range(0, len(questions), AT_ONCE):
        report(first, len(questions))
        prompts = [question.prompt for question in questions[first : first + AT_ONCE]]
        completions += complete_batch(
            model, tokenizer, prompts, batch_size=AT_ONCE, max_tokens=longest, temperature=0
        )
    report(len(questions), len(questions))
    return [
        Answer(
            question,
            tokenizer.decode(list(question.answer)),
            completion.text,
            completion.ended_by == "end of text",
        )
        for question, completion in zip(questions, completions, strict=True)
    ]


def share_right(answers: Sequence[Answer]) -> float:
    """Return the share of answers that are right, 0 to 1."""
    return sum(answer.is_right for answer in answers) / max(1, len(answers))


def share_ended(answers: Sequence[Answer]) -> float:
    """Return the share of answers that end by the end token, 0 to 1."""
    return sum(answer.ended for answer in answers) / max(1, len(answers))


def share_right_by_kind(answers: Sequence[Answer]) -> dict[str, float]:
    """Return the share that is right of every kind of question, in order of their names."""
    kinds = sorted({answer.question.kind for answer in answers})
    return {
        kind: share_right([answer for answer in answers if answer.question.kind == kind])
        for kind in kinds
    }


class Examiner:
    """Asks a model the same questions now and then while it learns.

    Args:
        tokenizer: the model's
        questions: whose answers it does not learn
    """

    def __init__(self, tokenizer: Tokenizer, questions: Sequence[EncodedQuestion]) -> None:
        self._tokenizer, self._questions = tokenizer, questions

    def __call__(self, model: Any, step: int) -> Answered:
        """Return how many answers are right, and a few of them."""
        answers = ask_model(model, self._tokenizer, self._questions)
        shown = [
            (last_line(answer.question, self._tokenizer), answer.given, answer.expected)
            for answer in answers[:N_SHOWN]
        ]
        n_right = sum(answer.is_right for answer in answers)
        n_ended = sum(answer.ended for answer in answers)
        return Answered(step, n_right, n_ended, len(answers), tuple(shown))
