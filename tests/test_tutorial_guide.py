"""The ways into the Tutorial know all of it: guide, README's table, the plan for teachers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from llm_explainer.commands.group import make_app
from llm_explainer.program import COMMANDS, DEMO
from llm_explainer.tutorial import hand_model, story_model
from llm_explainer.tutorial.chapters import find_chapters, read_chapter
from llm_explainer.tutorial.exercises.table import EXERCISES
from llm_explainer.tutorial.pages import check_page
from llm_explainer.tutorial.running import check_chapter
from llm_explainer.tutorial.site import GUIDE, TEACHERS

ROOT = Path(__file__).parents[1]
CHAPTERS = {number: read_chapter(path) for number, path in find_chapters(ROOT / "Tutorial").items()}
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide():
    return read_chapter(ROOT / "Tutorial" / GUIDE)


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with ``head``."""
    table = text[text.index(head) :].split("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_guide_leads_somewhere(guide):
    mistakes = [*check_page(guide), *check_chapter(guide)]
    assert not mistakes, "\n".join(map(str, mistakes))
    linked = [unquote(link.target) for link in guide.links if link.target.endswith(".md")]
    assert linked == [TEACHERS, *(chapter.path.name for chapter in CHAPTERS.values())]
    for chapter in CHAPTERS.values():
        assert f"{chapter.title}]" in guide.text
        papers = re.search(r"^\*\*References\.?\*\* (.+)$", chapter.text, re.MULTILINE)
        assert papers is not None
        assert f"\n{chapter.number}. {papers[1]}\n" in guide.text


def test_the_minutes_of_each_way_are_those_of_its_chapters(guide):
    ways = rows(guide.text, "| you are |")
    assert len(ways) == 3
    for _, numbers, minutes, _ in ways:
        chosen = [CHAPTERS[int(number)] for number in numbers.split(", ")]
        assert int(minutes) == sum(chapter.minutes for chapter in chosen)
    assert ways[-1][1] == ", ".join(map(str, CHAPTERS))
    for chapter in CHAPTERS.values():
        assert f"({chapter.minutes} minutes)" in guide.text


def test_the_sizes_in_the_guide_are_those_of_the_models(guide):
    shown = {cells[0]: cells[2:] for cells in rows(guide.text, "| letter |")}
    for column, config in enumerate((hand_model()[1], story_model()[0].config)):
        sizes = {
            "V": config.vocab_size,
            "D": config.d_model,
            "F": config.d_ff,
            "H": config.head_dim,
            "L": config.context_length,
            "`n_heads`": config.n_heads,
            "`n_layers`": config.n_layers,
        }
        assert {name: int(shown[name][column]) for name in sizes} == sizes


def test_the_table_in_the_readme_has_every_chapter():
    table = rows(README, "| chapter | topic | code | command |")
    assert len(table) == len(CHAPTERS)
    for cells, chapter in zip(table, CHAPTERS.values(), strict=True):
        title, topic, code, command = cells
        assert title == f"[{chapter.title}](Tutorial/{chapter.path.name.replace(' ', '%20')})"
        assert topic
        link = re.fullmatch(r"\[`(.+)`\]\((.+)\)", code)
        assert link is not None
        assert (ROOT / link[2]).is_file()
        assert link[2].endswith(link[1])
        assert shlex.split(command.strip("`"))[0] in {command.name for command in DEMO}


def test_commands_name_the_chapter_that_explains_them():
    assert {command.chapter for command in COMMANDS if command.chapter} <= CHAPTERS.keys()
    built = typer.main.get_command(make_app(COMMANDS)).commands
    for command in COMMANDS:
        assert not command.chapter or f"learn {command.chapter}`" in built[command.name].epilog


@pytest.fixture(scope="module")
def plan():
    return read_chapter(ROOT / "Tutorial" / TEACHERS)


def test_the_plan_for_teachers_leads_somewhere(plan):
    mistakes = [*check_page(plan), *check_chapter(plan)]
    assert not mistakes, "\n".join(map(str, mistakes))
    assert f"({TEACHERS.replace(' ', '%20')})" in (ROOT / "Tutorial" / GUIDE).read_text("utf-8")
    assert f"(Tutorial/{TEACHERS.replace(' ', '%20')})" in README


def test_each_lesson_has_all_of_its_parts_in_ninety_minutes(plan):
    lessons = plan.text.split("\n## Lesson ")[1:]
    assert [lesson.partition(":")[0] for lesson in lessons] == [str(n) for n in range(1, 11)]
    for lesson in lessons:
        lesson = lesson.partition("\n## ")[0]
        for part in ("Aims", "Predict, then reveal", "What they believe", "Homework"):
            assert f"**{part}.**" in lesson
        table = rows(lesson, "| minutes |")
        assert sum(int(cells[0]) for cells in table) == 90
        numbers = [int(number) for number in re.findall(r"\]\((\d\d)%20", lesson)]
        headings = [heading.text for n in numbers for heading in CHAPTERS[n].headings]
        for cells in table:
            for name in re.findall(r"\*([^*]+)\*", cells[2]):
                assert any(heading.startswith(name) for heading in headings), name


def test_the_plan_names_every_chapter_and_every_graded_exercise_once(plan):
    linked = {unquote(link.target) for link in plan.links}
    assert {chapter.path.name for chapter in CHAPTERS.values()} <= linked
    graded = re.findall(r"(?:Graded|want more): ([\d., ]+)\.$", plan.text, re.MULTILINE)
    named = [name for names in graded for name in names.split(", ")]
    assert sorted(named) == sorted(exercise.name for exercise in EXERCISES)
