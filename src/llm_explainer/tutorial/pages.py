"""What a page promises beside its code: links, pictures with words, commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from llm_explainer.program import DEMO
from llm_explainer.tutorial.chapters import Chapter, Link, read_chapter
from llm_explainer.tutorial.running import Mistake
from llm_explainer.tutorial.thread import tutorial_folder

_LEAST_ALT = 20
"""Letters that it takes at least to say what a picture shows."""

_RUN = ("uv", "run")


def check_page(chapter: Chapter) -> list[Mistake]:
    """Return what of a page leads nowhere: links, anchors, pictures, commands."""
    return [
        Mistake(chapter.path.name, line, what)
        for line, what in (*_wrong_links(chapter), *_wrong_commands(chapter))
    ]


def commands_of(chapter: Chapter) -> Iterator[tuple[int, list[str]]]:
    """Give the shell commands of a chapter, in blocks and in code style, with their lines."""
    for block in chapter.blocks:
        if block.language in ("console", "bash"):
            for number, line in enumerate(block.text.splitlines(), block.line):
                if words := shlex.split(line.removeprefix("$ "), comments=True):
                    yield number, words
    for number, line in enumerate(chapter.text.splitlines(), 1):
        for code in re.findall(r"`(uv run [^`]+)`", line):
            yield number, shlex.split(code)


def _wrong_links(chapter: Chapter) -> Iterator[tuple[int, str]]:
    for link in chapter.links:
        if what := _wrong_picture(chapter, link) if link.is_picture else _wrong_link(chapter, link):
            yield link.line, what


def _wrong_picture(chapter: Chapter, link: Link) -> str:
    if "://" in link.target:
        return f"a picture from elsewhere: {link.target}"
    if not (chapter.path.parent / unquote(link.target)).is_file():
        return f"no picture {link.target}"
    if len(link.text) < _LEAST_ALT:
        return f"{link.text!r} does not say what one sees in {link.target}"
    return ""


def _wrong_link(chapter: Chapter, link: Link) -> str:
    if link.target.startswith("https://"):
        return ""
    name, _, anchor = link.target.partition("#")
    path = chapter.path.parent / unquote(name) if name else chapter.path
    if not path.exists():
        return f"a link to {link.target}, which does not exist"
    if anchor and path.suffix == ".md" and anchor not in _anchors(path):
        return f"a link to {link.target}, and there is no such heading"
    return ""


@cache
def _anchors(path: Path) -> frozenset[str]:
    return frozenset(heading.anchor for heading in read_chapter(path).headings)


def _wrong_commands(chapter: Chapter) -> Iterator[tuple[int, str]]:
    root = tutorial_folder().parent
    known = {"--help", *(command.name for command in DEMO)}
    for line, words in commands_of(chapter):
        if tuple(words[:2]) != _RUN:
            yield line, f"a command that begins with {words[0]}, not with uv run"
            continue
        script, *rest = [word for word in words[2:] if word != "--no-sync"]
        if script in ("pytest", "python"):
            paths = [
                word.partition("::")[0] for word in rest if word.endswith(".py") or "::" in word
            ]
            missing = [path for path in paths if not (root / path).is_file()]
        else:
            missing = [] if (root / script).is_file() else [script]
            if script == "run_demo.py" and rest and rest[0] not in known:
                missing = [f"{script} {rest[0]}"]
        if missing:
            yield line, f"a command that there isn't: {missing[0]}"
