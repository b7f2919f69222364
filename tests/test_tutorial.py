"""The Tutorial is true: all code runs and prints what the page says, all figures can be drawn.

One test a chapter, so that several processes share them; ``-m "not tutorial"`` leaves them out.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_explainer.tutorial.chapters import Chapter, find_chapters, read_chapter
from llm_explainer.tutorial.figures import draw, find_scripts, same_picture
from llm_explainer.tutorial.pages import check_page
from llm_explainer.tutorial.running import check_chapter

FOLDER = Path(__file__).parents[1] / "Tutorial"
CHAPTERS = find_chapters(FOLDER)
LEAST_FIGURES, LEAST_SOLUTIONS, LEAST_BLOCKS = 3, 4, 12
WORDS = range(1_800, 4_600)

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
def test_figures_are_drawn_again_and_are_the_same(chapter, tmp_path):
    scripts = find_scripts(FOLDER / "figures", chapter.number)
    drawn = [path for script in scripts for path in draw(script, tmp_path)]
    committed = {path.name for path in (FOLDER / "figures").glob(f"{chapter.number:02}-*.svg")}
    assert {path.name for path in drawn} == committed
    for path in set(drawn):
        again, svg = path.read_text("utf-8"), (FOLDER / "figures" / path.name).read_text("utf-8")
        assert same_picture(again, svg), path.name
        assert "http" not in re.sub(r'xmlns[:\w]*="[^"]+"|<!DOCTYPE[^>]+>', "", svg), path.name
    shown = {Path(link.target).name for link in chapter.links if link.is_picture}
    assert committed <= shown, "figures that no page shows"


def prose_words(chapter: Chapter) -> int:
    """Return how many words a chapter has outside of blocks, comments and solutions."""
    text = re.sub(
        r"^```.*?^```|<!--.*?-->|<details>.*?</details>", "", chapter.text, flags=re.S | re.M
    )
    return len(re.findall(r"\w[\w'’-]*", text))
