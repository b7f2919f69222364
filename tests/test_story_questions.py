"""Questions about stories: answered by the story alone, and by nothing less than the story."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import pytest

from llm_explainer.data.stories import (
    StoryQuestion,
    iter_stories,
    question_only_baseline,
    split_questions,
)
from llm_explainer.data.stories.world import CASTS
from llm_explainer.data.tokenizer_specs import open_tokenizer
from llm_explainer.errors import CorpusError

KINDS = ("who", "where", "what", "why")
SPLITS = split_questions(6000, 1000, 1000, seed=3)
GIVEAWAYS = {
    cast.forms[form]
    for cast in CASTS
    for form in ("hero", "friend", "kind", "friend_kind", "place")
}


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def test_a_seed_asks_the_same_questions_again_and_another_seed_others() -> None:
    first = split_questions(200, 20, 20, seed=1)
    assert split_questions(200, 20, 20, seed=1) == first
    assert [question.kind for question in first.train[:8]] == [*KINDS, *KINDS]
    stories = {question.story for split in first for question in split}
    others = {question.story for split in split_questions(200, 20, 20, 2) for question in split}
    assert not stories & others
    assert split_questions(20, 4, 4, seed=3).train == SPLITS.train[:20]


def test_a_prompt_ends_where_the_answer_begins() -> None:
    question = StoryQuestion("Pip lost a kite.", "Who lost a kite?", "Pip", "who")
    assert question.prompt == "Pip lost a kite.\n\nWho lost a kite?"
    assert question.completion == " Pip"


def test_splits_have_the_sizes_and_kinds_asked_for_and_share_no_story() -> None:
    stories = []
    for split, size in zip(SPLITS, (6000, 1000, 1000), strict=True):
        stories.append({question.story for question in split})
        assert len(stories[-1]) == len(split) == size
        assert Counter(question.kind for question in split) == dict.fromkeys(KINDS, size // 4)
    assert not stories[0] & stories[1]
    assert not stories[0] & stories[2]
    assert not stories[1] & stories[2]
    with pytest.raises(CorpusError, match="n_test is -1"):
        split_questions(1, 1, -1)


def test_without_the_story_a_quarter_of_no_kind_can_be_answered() -> None:
    many = split_questions(8000, 0, 0, seed=5).train
    known = [question_only_baseline(SPLITS.train, split) for split in SPLITS]
    likely = [question_only_baseline(many, split) for split in SPLITS]
    for share in (*known, *likely):
        assert set(share) == set(KINDS)
        assert max(share.values()) <= 0.25, share


def test_the_baseline_counts_as_it_says() -> None:
    def asked(question: str, answer: str) -> StoryQuestion:
        return StoryQuestion("", question, answer, "who")

    train = [asked("Who?", "Pip"), asked("Who?", "Pip"), asked("Who?", "Rosa")]
    held_out = [asked("Who?", "Pip"), asked("Who?", "Rosa"), asked("Who now?", "Pip")]
    assert question_only_baseline(train, held_out) == {"who": 2 / 3}
    assert question_only_baseline([], held_out) == {"who": 0}
    assert question_only_baseline(train, []) == {}


def test_no_question_gives_away_a_name_a_place_or_an_animal() -> None:
    for story in islice(iter_stories(7), 300):
        for question in story.questions:
            if words(question.answer) & GIVEAWAYS:
                assert not words(question.question) & GIVEAWAYS, question


def test_the_english_of_questions_and_answers_is_tidy() -> None:
    for story in islice(iter_stories(7), 300):
        for question in story.questions:
            text = f"{question.question} {question.answer}"
            assert re.fullmatch(r"[A-Z][A-Za-z ]+\?", question.question), question
            assert re.fullmatch(r"[A-Za-z][A-Za-z ]+[a-z]", question.answer), question
            assert not re.search(r"\ba [aeiou]|  |\b(\w+) \1\b", text), question


def test_no_two_questions_about_a_story_differ_in_the_answer_alone() -> None:
    for story in islice(iter_stories(7), 300):
        assert {question.kind for question in story.questions} == set(KINDS)
        for kind in KINDS:
            asked = [q.question for q in story.questions if q.kind == kind]
            assert len(asked) == len(set(asked)) >= 3


def test_story_question_and_answer_fit_a_context_of_192_tokens() -> None:
    tokenizer = open_tokenizer("stories:1280").tokenizer
    for question in SPLITS.train[:3000]:
        prompt, completion = map(tokenizer.encode, (question.prompt, question.completion))
        assert len(prompt) + len(completion) + 1 <= 192
        # The answer's tokens are those that it has in the text: nothing merges across its start.
        assert prompt + completion == tokenizer.encode(question.prompt + question.completion)


def test_a_pretraining_corpus_tells_none_of_these_stories() -> None:
    corpus = {story.text for seed in range(3) for story in islice(iter_stories(seed), 2000)}
    assert not corpus & {question.story for split in SPLITS for question in split}
