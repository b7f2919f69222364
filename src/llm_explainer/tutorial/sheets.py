"""The chapters' exercises as two pages to print: one for a class, one with the solutions beside.

Both are made from the chapters, whose tests run every solution; so they need no care of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.files import write_atomically
from llm_explainer.tutorial.chapters import Chapter
from llm_explainer.tutorial.site import (
    graded_list,
    html_page,
    make_markdown,
    refuse_what_is_not_ours,
    to_html,
    write_style,
)

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_SECTION = re.compile(r"^## Exercises\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_TASK = re.compile(
    r"^\*\*(?P<number>\d+)\. (?P<kind>\w+)\.\*\* (?P<question>.*?)"
    r"<details><summary>Solution</summary>\n(?P<solution>.*?)</details>",
    re.MULTILINE | re.DOTALL,
)
_BY_PEN = ("Predict", "Derive")
"""Kinds of exercises that are answered on paper, and get room for it."""


@dataclass(frozen=True)
class Task:
    """An exercise of a chapter, with its solution, both as Markdown."""

    number: int
    kind: str  # Predict, Modify, Derive or Build
    question: str
    solution: str


def find_tasks(text: str) -> list[Task]:
    """Return the exercises in a chapter's text, in order."""
    section = _SECTION.search(text)
    return [
        Task(int(match["number"]), match["kind"], match["question"], match["solution"])
        for match in _TASK.finditer(section["text"] if section else "")
    ]


def write_sheets(chapters: Sequence[Chapter], out: Path) -> list[Path]:
    """Write the page with the exercises and the one with the solutions, and return both.

    Raises:
        ConfigError: ``out`` holds something else, or what this needs isn't installed.
        OSError: no permission, or no space.
    """
    exercises, solutions = out / "exercises.html", out / "solutions.html"
    refuse_what_is_not_ours(exercises, "--sheets takes a new folder, or one of old sheets")
    markdown = make_markdown()
    out.mkdir(parents=True, exist_ok=True)
    write_style(out)
    for path, title, solved in ((exercises, "Exercises", False), (solutions, "Solutions", True)):
        sheets = "".join(_sheet(chapter, markdown, solved) for chapter in chapters)
        body = f"<h1>{title}</h1>\n{sheets}"
        write_atomically(path, html_page(title, body).encode())
    return [exercises, solutions]


def _sheet(chapter: Chapter, markdown: MarkdownIt, solved: bool) -> str:
    """Return a chapter's part of a page, which begins on new paper."""
    folder, article = chapter.path.parent, "<article>" if solved else '<article class="open">'
    parts = [f"<section>\n<h2>{escape(chapter.title)}</h2>\n"]
    if not solved:
        parts.append('<p class="name">Name: ____________________ Date: ____________</p>\n')
    for task in find_tasks(chapter.text):
        parts.append(f"{article}\n<h3>{task.number}. {task.kind}</h3>\n")
        parts.append(to_html(task.question, folder, markdown, has_pages=False))
        if solved:
            parts.append("<h4>Solution</h4>\n")
            parts.append(to_html(task.solution, folder, markdown, has_pages=False))
        elif task.kind in _BY_PEN:
            parts.append(f'<div class="space {task.kind.lower()}"></div>\n')
        parts.append("</article>\n")
    if not solved and (graded := graded_list(chapter.number)):
        parts.append(f"{article}\n<h3>Graded at the command line</h3>\n{graded}</article>\n")
    return "".join([*parts, "</section>\n"])
