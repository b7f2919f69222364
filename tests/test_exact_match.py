"""Exact match counts what is right to the letter and ends by the end token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import small_config

from llm_explainer import numpy_backend
from llm_explainer.data.records import EncodedRecord
from llm_explainer.errors import GenerationError
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.training.exact_match import (
    Answer,
    EncodedQuestion,
    Examiner,
    ask_model,
    last_line,
    last_questions,
    share_ended,
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

    def next_ids(
        self, tokens: Any, cache: Any, lengths: Any, vocab_size: Any, *, known: bool = False
    ) -> Any:
        self._said += 1
        token = self._ids[min(self._said, len(self._ids)) - 1]
        return np.full(len(tokens), token), np.zeros(len(tokens))


def question(prompt: str, answer: str, kind: str = "") -> EncodedQuestion:
    return EncodedQuestion(tuple(TOKENIZER.encode(prompt)), tuple(TOKENIZER.encode(answer)), kind)


def test_an_answer_is_right_to_the_letter_and_ends() -> None:
    a, b = TOKENIZER.encode("ab")
    asked = [question("b?", "ab"), question("c?", "a")]
    assert [x.is_right for x in ask_model(Parrot(a, b, END), TOKENIZER, asked)] == [True, False]
    goes_on = ask_model(Parrot(a, b, a, a), TOKENIZER, asked[:1])
    assert not goes_on[0].is_right
    assert not goes_on[0].ended
    assert goes_on[0].given.startswith("abaa")
    assert ask_model(Parrot(END), TOKENIZER, []) == []


def test_a_question_that_has_no_room_in_the_context_is_refused() -> None:
    with pytest.raises(GenerationError, match=r"takes 65 tokens.* only 64; .*run_demo.py full"):
        ask_model(Parrot(END), TOKENIZER, [question("a" * 65, "a")])


def test_asking_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    many = [question("b?", "a")] * 70
    answers = ask_model(Parrot(*[END] * 70), TOKENIZER, many, lambda *done: told.append(done))
    assert len(answers) == 70
    assert told == [(0, 70), (32, 70), (64, 70), (70, 70)]


def test_shares_by_kind() -> None:
    answers = [
        Answer(question("?", "a", kind), "a", given, ended)
        for kind, given, ended in (("who", "a", True), ("who", "a", False), ("why", "a", True))
    ]
    assert share_right(answers) == 2 / 3
    assert share_right_by_kind(answers) == {"who": 0.5, "why": 1.0}
    assert share_ended(answers) == 2 / 3
    assert share_right([]) == share_ended([]) == 0


def test_the_last_answer_of_a_record_is_asked_for() -> None:
    ids = np.array([1, 2, 3, END, 4, 5, 6, END, 1])
    trained = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0], bool)
    found = last_questions([EncodedRecord(ids, trained)], {END}, 5)
    assert found == [EncodedQuestion((1, 2, 3, END, 4, 5), (6,))]


def test_texts_and_endless_answers_are_not_asked_for() -> None:
    text = EncodedRecord(np.array([END, 1, 2, END]), np.array([0, 1, 1, 1], bool))
    long = EncodedRecord(np.arange(1, 100) % 5, np.arange(99) > 3)
    nothing = EncodedRecord(np.array([1, 2]), np.zeros(2, bool))
    short = EncodedRecord(np.array([1, 2, 3]), np.array([0, 0, 1], bool))
    found = last_questions([text, long, nothing, short, short], {END}, 1)
    assert found == [EncodedQuestion((1, 2), (3,))]


def test_an_examiner_tells_what_was_said() -> None:
    a = TOKENIZER.encode("a")[0]
    event = Examiner(TOKENIZER, [question("a b\nc?", "a"), question("b?", "b")])(Parrot(a, END), 7)
    assert (event.step, event.n_right, event.n_ended, event.n_asked) == (7, 1, 2, 2)
    assert event.examples == (("c?", "a", "a"), ("b?", "a", "b"))


def test_the_question_is_shown_where_the_last_line_only_asks_for_the_answer() -> None:
    assert last_line(question("b c\n\na b?\n", "a"), TOKENIZER) == "a b?"
    assert last_line(question("b c\na b?\n\nc\n", "a"), TOKENIZER) == "a b? c"
    assert last_line(question("a? b<|endoftext|>c a", "a"), TOKENIZER) == "c a"
    assert last_line(question("a?", "a"), TOKENIZER) == "a?"
    assert last_line(question("\n", "a"), TOKENIZER) == ""
