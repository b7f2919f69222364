"""The Tutorial is true: all code runs and prints what the page says.

One test a chapter, so that several processes share them; ``-m "not tutorial"`` leaves them out.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest
import typer

from llm_explainer.commands.group import make_app
from llm_explainer.program import DEMO
from llm_explainer.tutorial.chapters import Chapter, Value, find_chapters, read_chapter
from llm_explainer.tutorial.comparing import find_difference, same_value
from llm_explainer.tutorial.pages import check_page, commands_of
from llm_explainer.tutorial.running import check_chapter, open_session

FOLDER = Path(__file__).parents[1] / "Tutorial"
CHAPTERS = find_chapters(FOLDER)
LEAST_FIGURES, LEAST_SOLUTIONS, LEAST_BLOCKS = 3, 4, 12
WORDS = range(2_000, 4_001)

pytestmark = pytest.mark.tutorial
each_chapter = pytest.mark.parametrize(
    "chapter", [pytest.param(n, id=f"{n:02}") for n in CHAPTERS], indirect=True
)


@pytest.fixture
def chapter(request: pytest.FixtureRequest) -> Chapter:
    return read_chapter(CHAPTERS[request.param])


def lines(mistakes: list) -> str:
    return "\n" + "\n".join(str(mistake) for mistake in mistakes)


@each_chapter
def test_all_that_the_page_says_is_so(chapter):
    mistakes = check_chapter(chapter)
    assert not mistakes, lines(mistakes)


@each_chapter
def test_links_pictures_and_commands_are_there(chapter):
    mistakes = check_page(chapter)
    assert not mistakes, lines(mistakes)


@each_chapter
def test_a_chapter_has_all_of_its_parts(chapter):
    pictures = {link.target for link in chapter.links if link.is_picture}
    assert len(pictures) >= LEAST_FIGURES
    assert chapter.solutions >= LEAST_SOLUTIONS
    assert sum(block.runs for block in chapter.blocks) >= LEAST_BLOCKS
    assert chapter.question
    assert chapter.minutes
    assert prose_words(chapter) in WORDS


@each_chapter
def test_commands_take_the_options_that_they_are_given(chapter):
    for line, words in commands_of(chapter):
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if "run_demo.py" in words and options and "sweep" not in words:  # which takes any
            name = words[words.index("run_demo.py") + 1]
            assert options <= options_of(name), f"{chapter.path.name}:{line}"


@cache
def options_of(name: str) -> frozenset[str]:
    command = typer.main.get_command(make_app(DEMO)).commands[name]
    named = [parameter.opts + parameter.secondary_opts for parameter in command.params]
    return frozenset({"--help", "--debug", *(option for some in named for option in some)})


@each_chapter
def test_files_have_what_links_to_them_name(chapter):
    """A link [`plain.softmax`](path), and the name of a test behind one, stand in that file."""
    links = re.finditer(r"\[(`[^]]+`)\]\(\.\./([^)]+\.py)\)(?:, `(test_\w+)`)?", chapter.text)
    for names, path, test in (match.groups() for match in links):
        source = (FOLDER.parent / path).read_text(encoding="utf-8")
        for name in [*re.findall(r"`([^`]+)`", names), *([test] if test else [])]:
            own = name.removesuffix(".py").rpartition(".")[2]
            there = own == Path(path).stem or re.search(rf"(def|class) {own}\b", source)
            assert there, f"{chapter.path.name}: {name} is not in {path}"


@pytest.mark.skipif(not os.environ.get("CAMPAIGNS"), reason="by hand, with CAMPAIGNS=1")
@each_chapter
def test_no_number_can_be_changed_unseen(chapter):
    """Each number that a page shows, its last digit changed, is one that a check complains of."""
    with open_session(chapter) as session:
        for step in chapter.steps:
            if isinstance(step, Value):
                value = session.value(step)
                assert not [text for text in changed(step.shown) if same_value(text, value)]
            elif step.runs:
                printed = session.run(step)
                if step.expected and not step.expected.varies:
                    for text in changed(step.expected.text):
                        assert find_difference(text, printed), f"{step.line}: {text}"


def changed(text: str) -> list[str]:
    """The text with another last digit in one of its numbers, for each of them."""
    return [
        f"{text[: place.start()]}{(int(place[0]) + 1) % 10}{text[place.end() :]}"
        for place in re.finditer(r"\d(?!\.?\d)", text)
    ]


def prose_words(chapter: Chapter) -> int:
    """Return how many words a chapter has outside of blocks, comments and solutions."""
    text = re.sub(
        r"^```.*?^```|<!--.*?-->|<details>.*?</details>", "", chapter.text, flags=re.S | re.M
    )
    return len(re.findall(r"\w[\w'’-]*", text))
