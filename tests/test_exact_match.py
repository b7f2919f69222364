"""Exact match counts what is right to the letter and ends by the end token."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_models import small_config

from llm_explainer import numpy_backend
from llm_explainer.data.records import EncodedRecord
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.training.exact_match import (
    Answer,
    Examiner,
    Question,
    ask,
    last_questions,
    share_right,
    share_right_by_kind,
)

TOKENIZER = CharTokenizer.train(["abc?\n "])
END = TOKENIZER.end_of_text


class Parrot:
    """Says the same ids one after the other, whatever it is asked."""

    is_lazy = False

    def __init__(self, *ids: int) -> None:
        self.config = small_config(vocab_size=TOKENIZER.vocab_size, context_length=64)
        self._ids, self._cache = ids, numpy_backend.GPT(self.config).make_cache
        self._said = 0

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> Any:
        return self._cache(batch_size, capacity)

    def next_ids(self, tokens: Any, cache: Any, lengths: Any, vocab_size: Any) -> Any:
        self._said += 1
        token = self._ids[min(self._said, len(self._ids)) - 1]
        return np.full(len(tokens), token), np.zeros(len(tokens))


def question(prompt: str, answer: str, kind: str = "") -> Question:
    return Question(tuple(TOKENIZER.encode(prompt)), tuple(TOKENIZER.encode(answer)), kind)


def test_an_answer_is_right_to_the_letter_and_ends() -> None:
    a, b = TOKENIZER.encode("ab")
    asked = [question("b?", "ab"), question("c?", "a")]
    assert [x.is_right for x in ask(Parrot(a, b, END), TOKENIZER, asked)] == [True, False]
    goes_on = ask(Parrot(a, b, a, a), TOKENIZER, asked[:1])
    assert not goes_on[0].is_right
    assert not goes_on[0].ended
    assert goes_on[0].given.startswith("abaa")
    assert ask(Parrot(END), TOKENIZER, []) == []


def test_shares_by_kind() -> None:
    answers = [
        Answer(question("?", "a", kind), "a", given, ended)
        for kind, given, ended in (("who", "a", True), ("who", "a", False), ("why", "a", True))
    ]
    assert share_right(answers) == 2 / 3
    assert share_right_by_kind(answers) == {"who": 0.5, "why": 1.0}
    assert share_right([]) == 0


def test_the_last_answer_of_a_record_is_asked_for() -> None:
    ids = np.array([1, 2, 3, END, 4, 5, 6, END, 1])
    trained = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0], bool)
    found = last_questions([EncodedRecord(ids, trained)], END, 5)
    assert found == [Question((1, 2, 3, END, 4, 5), (6,))]


def test_texts_and_endless_answers_are_not_asked_for() -> None:
    text = EncodedRecord(np.array([END, 1, 2, END]), np.array([0, 1, 1, 1], bool))
    long = EncodedRecord(np.arange(1, 100) % 5, np.arange(99) > 3)
    nothing = EncodedRecord(np.array([1, 2]), np.zeros(2, bool))
    short = EncodedRecord(np.array([1, 2, 3]), np.array([0, 0, 1], bool))
    found = last_questions([text, long, nothing, short, short], END, 1)
    assert found == [Question((1, 2), (3,))]


def test_an_examiner_tells_what_was_said() -> None:
    a = TOKENIZER.encode("a")[0]
    event = Examiner(TOKENIZER, [question("a b\nc?", "a"), question("b?", "b")])(Parrot(a, END), 7)
    assert (event.step, event.n_right, event.n_ended, event.n_asked) == (7, 1, 2, 2)
    assert event.examples == (("c?", "a", "a"), ("b?", "a", "b"))
