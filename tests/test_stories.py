"""The built-in corpus: told well, the same for a seed, and a checker that misses nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.data.stories import Story, check_story, iter_stories, stories_text
from llm_explainer.data.stories.grammar import Reading, Telling, maybe, say, then
from llm_explainer.data.stories.plots import PLOTS
from llm_explainer.data.stories.world import CASTS, TOYS, draw_scene, words_of
from llm_explainer.errors import CorpusError

STORIES = list(islice(iter_stories(seed=1), 1000))
SENTENCE = re.compile(r'[^.!?]*[.!?]+"?\s*')


def sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in SENTENCE.findall(text)]


def test_a_seed_tells_the_same_stories_again_and_another_seed_others() -> None:
    assert list(islice(iter_stories(seed=1), 50)) == STORIES[:50]
    assert not set(islice(stories_text(20_000, seed=2), 40)) & {s.text for s in STORIES}


def test_the_checker_accepts_a_story_of_each_of_5000_seeds_and_reads_its_facts() -> None:
    for seed in range(5000):
        story = next(iter_stories(seed))
        report = check_story(story.text)
        assert report.ok, (seed, story.text, report.problems)
        read = (report.plot, report.hero, report.friend, report.place, report.thing)
        assert read == (story.plot, story.hero, story.friend, story.place, story.thing)


def test_no_two_stories_in_a_thousand_are_alike() -> None:
    assert len({story.text for story in STORIES}) == 1000
    without_names = {re.sub(r"\b[A-Z]\w+", "", story.text) for story in STORIES}
    assert len(without_names) == 1000


def test_every_plot_is_told_about_equally_often() -> None:
    counts = Counter(story.plot for story in STORIES)
    assert set(counts) == {plot.name for plot in PLOTS}
    assert len(PLOTS) >= 8
    assert min(counts.values()) > 1000 / len(PLOTS) / 2


def test_stories_are_short_and_their_words_few() -> None:
    lengths = [len(story.text.split()) for story in STORIES]
    assert min(lengths) >= 50
    assert max(lengths) <= 110
    lexicon = {word.lower() for story in STORIES for word in re.findall(r"[A-Za-z]+", story.text)}
    assert 300 <= len(lexicon) <= 600


def test_the_english_is_tidy() -> None:
    for story in STORIES:
        text = story.text
        assert text == text.strip()
        assert re.fullmatch(r"[A-Za-z ,.!?:\"]+", text), text
        assert "  " not in text
        assert text.count('"') % 2 == 0, text
        assert not re.search(r"\ba [aeiou]", text, re.IGNORECASE), text
        assert not re.search(r"\b(\w+) \1\b", text), text
        assert not re.search(r"[.!?] \"?[a-z]", text), text  # a sentence begins with a capital


def test_what_a_story_is_about_is_said_more_than_once() -> None:
    for story in STORIES:
        for fact in (story.hero, story.friend, story.place, story.thing):
            assert len(re.findall(rf"\b{fact}\b", story.text)) >= 2, (fact, story.text)


def test_questions_have_answers_that_the_story_gives() -> None:
    kinds = Counter(question.kind for story in STORIES for question in story.questions)
    assert set(kinds) == {"who", "where", "what", "why"}
    for story in STORIES:
        assert len({question.question for question in story.questions}) == len(story.questions)
        for question in story.questions:
            assert question.question.lower().startswith(question.kind)
            assert question.question.endswith("?")
            if question.kind == "who":
                assert question.answer in (story.hero, story.friend)
            if question.kind == "where":
                assert question.answer.removeprefix("by ") in story.text
            if question.kind == "what":
                assert question.answer.removeprefix("a ") in story.text


def test_who_found_it_is_who_the_story_says() -> None:
    found = 0
    for story in STORIES:
        finder = re.search(r"(\w+) looked [a-z ]+[.,] (and there was|\"[A-Z])", story.text)
        answers = {q.answer for q in story.questions if q.question.startswith("Who found")}
        if finder and answers and finder.group(1) in (story.hero, story.friend):
            found += 1
            assert answers == {finder.group(1)}, story.text
    assert found > 20


def test_a_corpus_is_as_long_as_asked() -> None:
    texts = list(stories_text(10_000, seed=3))
    assert sum(map(len, texts)) >= 10_000 > sum(map(len, texts[:-1]))
    with pytest.raises(CorpusError, match="0 bytes"):
        next(stories_text(0))


# --- damage ----------------------------------------------------------------------------------

NAMES = [cast.forms["hero"] for cast in CASTS]
KINDS = [cast.forms["kind"] for cast in CASTS]
PLACES = sorted({cast.forms["place"] for cast in CASTS})
THINGS = sorted({value.name for plot in PLOTS for value in plot.domains["thing"]})
GENDER = {"he": "she", "his": "her", "him": "her", "He": "She", "His": "Her"}
GENDER |= {"she": "he", "her": "his", "She": "He", "Her": "His"}


def replace_one(story: Story, words: list[str], rng: Random) -> str:
    """Put another of ``words`` where one of them stands."""
    pattern = "|".join(sorted(words, key=len, reverse=True))
    match = rng.choice(list(re.finditer(rf"\b({pattern})\b", story.text)))
    other = rng.choice([word for word in words if word != match.group()])
    return story.text[: match.start()] + other + story.text[match.end() :]


def other_gender(story: Story, rng: Random) -> str:
    matches = list(re.finditer(rf"\b({'|'.join(GENDER)})\b", story.text))
    if not matches:
        return ""
    match = rng.choice(matches)
    return story.text[: match.start()] + GENDER[match.group()] + story.text[match.end() :]


def without_a_needed_sentence(story: Story, rng: Random) -> str:
    """Drop the opening, the ending, or a sentence where the friend appears (and has a kind)."""
    parts = sentences(story.text)
    arrival = next(i for i, part in enumerate(parts) if f"{story.friend} the " in part)
    drop = rng.choice([0, arrival, len(parts) - 1])
    return " ".join(parts[:drop] + parts[drop + 1 :])


def spliced(story: Story, rng: Random) -> str:
    first, second = sentences(story.text), sentences(rng.choice(STORIES).text)
    return " ".join(first[: len(first) // 2] + second[len(second) // 2 :])


def with_gibberish(story: Story, rng: Random) -> str:
    words = story.text.split()
    words[rng.randrange(len(words))] = "".join(rng.choices("abcdefghijklmnop", k=5))
    return " ".join(words)


def with_neighbours_swapped(story: Story, rng: Random) -> str:
    parts = sentences(story.text)
    i = rng.randrange(len(parts) - 1)
    parts[i : i + 2] = parts[i + 1], parts[i]
    return " ".join(parts)


def with_an_echo(story: Story, rng: Random) -> str:
    parts = sentences(story.text)
    parts.insert(i := rng.randrange(len(parts)), parts[i])
    return " ".join(parts)


DAMAGES: dict[str, Callable[[Story, Random], str]] = {
    "another name": lambda s, rng: replace_one(s, NAMES, rng),
    "hero for friend": lambda s, rng: replace_one(s, [s.hero, s.friend], rng),
    "another thing": lambda s, rng: replace_one(s, THINGS, rng),
    "another place": lambda s, rng: replace_one(s, PLACES, rng),
    "another kind of animal": lambda s, rng: replace_one(s, KINDS, rng),
    "a pronoun's gender": other_gender,
    "a needed sentence deleted": without_a_needed_sentence,
    "cut between words": lambda s, rng: s.text[: rng.randrange(1, len(s.text) - 1)],
    "cut between sentences": lambda s, rng: " ".join(
        sentences(s.text)[: rng.randrange(1, len(sentences(s.text)))]
    ),
    "two halves spliced": spliced,
    "a word of gibberish": with_gibberish,
    "neighbours swapped": with_neighbours_swapped,
    "a sentence said twice": with_an_echo,
    "words shuffled": lambda s, rng: " ".join(rng.sample(s.text.split(), len(s.text.split()))),
    "goes on after its ending": lambda s, rng: s.text + " " + rng.choice(sentences(s.text)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_checker_rejects_damage(damage: Callable[[Story, Random], str]) -> None:
    rng = Random(0)
    damaged = [(story, damage(story, rng)) for story in STORIES[:400]]
    texts = [text for story, text in damaged if text and text != story.text]
    assert len(texts) > 350
    rejected = sum(not check_story(text).ok for text in texts)
    assert rejected >= 0.98 * len(texts)


def test_the_report_says_what_is_wrong() -> None:
    story = next(story for story in STORIES if story.plot == "lost and found")
    assert check_story("").problems == ("the text is empty",)
    assert check_story(story.text[:-9]).problems == ("the story stops before its end",)
    others = [name for name in NAMES if name not in (story.hero, story.friend)]
    head, tail = story.text[:-90], story.text[-90:]
    stranger = head + tail.replace(story.hero, others[0]).replace(story.friend, others[0])
    report = check_story(stranger)
    assert f"{others[0]} was never introduced" in report.problems
    assert (report.hero, report.place) == (story.hero, story.place)
    assert "does not follow" in check_story("The cat sat on the mat.").problems[0]


@given(st.text(max_size=200))
def test_no_text_is_too_strange_to_check(text: str) -> None:
    assert not check_story(text).ok


# --- the grammar -----------------------------------------------------------------------------


def test_a_node_reads_back_what_it_tells() -> None:
    node = then(
        say("{hero} [ran|walked] to the {place} with a {thing}."),
        maybe("It rained."),
        say("{He} sat down.", "{He} sat down. Then {he} slept."),
    )
    domains = {"cast": CASTS, "thing": TOYS}
    for seed in range(200):
        rng = Random(seed)
        scene = draw_scene(domains, rng)
        telling = Telling(rng, words_of(scene))
        node.tell(telling)
        text = "".join(telling.pieces)
        readings = [
            read for end, read in node.read(Reading(text, domains), 0, {}) if end == len(text)
        ]
        assert readings == [scene]
