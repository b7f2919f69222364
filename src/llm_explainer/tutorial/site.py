"""The chapters as a static site: plain files, nothing fetched from elsewhere, light and dark.

Formulas become MathML, which browsers draw by themselves. Links to the sources lead nowhere on a
site that may stand anywhere, so their text stays, and their path is shown beside it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from llm_explainer.errors import ConfigError
from llm_explainer.files import names_in, write_atomically
from llm_explainer.program import extra, typed
from llm_explainer.tutorial.chapters import Chapter, anchor_of, read_chapter
from llm_explainer.tutorial.exercises.table import exercises_of

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

GUIDE = "How to learn with this.md"
"""The page that the site begins with, if it is there."""

TEACHERS = "For teachers.md"
"""The plan of lessons, which stands beside the chapters."""

_MARK = "llm-explainer: the Tutorial"
_STYLE = Path(__file__).with_name("site.css")
_COMMENT = re.compile(r"<!--(?! source: )(?!\s*varies).*?-->", re.DOTALL)
_SOURCE = re.compile(r"^<!-- source: ([\w.]+).*?-->\n", re.MULTILINE)
_VARIES = "<!-- varies -->\n"


def write_site(chapters: Sequence[Chapter], out: Path) -> list[Path]:
    """Write a page for each chapter, the one before them, and the figures; return the pages.

    Raises:
        ConfigError: ``out`` holds something else, or what this needs isn't installed.
        OSError: no permission, or no space.
    """
    index = out / "index.html"
    refuse_what_is_not_ours(index, "--html takes a new folder, or an old site")
    markdown = make_markdown()
    folder = chapters[0].path.parent
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for figure in sorted((folder / "figures").glob("*.svg")):
        shutil.copyfile(figure, out / "figures" / figure.name)
    write_style(out)
    pages = []
    for i, chapter in enumerate(chapters):
        around = [
            chapters[i - 1] if i else None,
            chapters[i + 1] if i + 1 < len(chapters) else None,
        ]
        pages.append(_write(out / page_name(chapter.path.name), chapter, markdown, around))
    if (folder / TEACHERS).exists():
        plan = read_chapter(folder / TEACHERS)
        pages.append(_write(out / page_name(TEACHERS), plan, markdown, [None, None]))
    first = read_chapter(folder / GUIDE) if (folder / GUIDE).exists() else None
    body = _body(first, markdown) if first else "<h1>How a language model works</h1>"
    write_atomically(index, html_page("The Tutorial", body + _contents(chapters)).encode())
    return [index, *pages]


def refuse_what_is_not_ours(first: Path, rule: str) -> None:
    """Raise ConfigError if a folder holds anything, and not this first page of an earlier run."""
    out = first.parent
    if not out.exists() or not names_in(out):
        return
    if not (first.exists() and _MARK.encode() in first.read_bytes()):
        raise ConfigError(f"{out} holds something else; {rule}")


def write_style(out: Path) -> None:
    """Put the pages' style into their folder.

    Raises:
        OSError: no permission, or no space.
    """
    shutil.copyfile(_STYLE, out / "site.css")


def page_name(name: str) -> str:
    """Return a chapter's page.

    >>> page_name("04 - Attention.md")
    '04-attention.html'
    """
    if name == GUIDE:
        return "index.html"
    return f"{re.sub(r'[^a-z0-9]+', '-', Path(name).stem.lower())}.html"


def make_markdown() -> MarkdownIt:
    """Return what turns the chapters' Markdown into HTML.

    Raises:
        ConfigError: the packages for it aren't installed.
    """
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.dollarmath import dollarmath_plugin
    except ImportError:
        raise ConfigError(
            f"pages need the optional packages: {extra('site')} brings them"
        ) from None
    made = MarkdownIt("commonmark", {"html": True, "highlight": _highlight}).enable("table")
    return made.use(dollarmath_plugin, renderer=_formula, allow_digits=False, double_inline=True)


def _formula(latex: str, options: dict[str, Any]) -> str:
    from latex2mathml.converter import convert

    mathml: str = convert(latex.strip(), display="block" if options["display_mode"] else "inline")
    return mathml


def _highlight(code: str, language: str, attributes: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    if language != "python":
        return f'<pre class="{escape(language or "text")}">{escape(code)}</pre>'
    colored: str = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))
    return f'<pre class="python">{colored}</pre>'


def _write(
    path: Path, chapter: Chapter, markdown: MarkdownIt, around: Sequence[Chapter | None]
) -> Path:
    links = ['<a href="index.html">All chapters</a>']
    for word, other in zip(("Before", "Next"), around, strict=True):
        if other is not None:
            links.append(
                f'<a href="{page_name(other.path.name)}">{word}: {escape(other.title)}</a>'
            )
    way = f"<nav>{' · '.join(links)}</nav>"
    body = _body(chapter, markdown)
    if graded := graded_list(chapter.number):
        body += f'<h2 id="graded">Graded at the command line</h2>\n{graded}'
    write_atomically(path, html_page(chapter.title, body, way).encode())
    return path


def graded_list(chapter: int) -> str:
    """Return the list of a chapter's graded exercises, each with its command; "" for none."""
    rows = "".join(
        f"<li>{escape(one.title)}. {escape(one.task)}<br>"
        f"<code>{typed('learn', str(chapter), '--exercise', str(one.number))}</code></li>\n"
        for one in exercises_of(chapter)
    )
    return f"<ol>\n{rows}</ol>\n" if rows else ""


def _body(chapter: Chapter, markdown: MarkdownIt) -> str:
    return to_html(chapter.text, chapter.path.parent, markdown)


def to_html(text: str, folder: Path, markdown: MarkdownIt, *, has_pages: bool = True) -> str:
    """Return a chapter's text, or a part of it, as HTML.

    ``folder``: of the chapters, from where links lead. ``has_pages``: whether chapters have pages
    beside this one, to which links can lead.
    """
    text = text.replace(_VARIES, "")
    text = _SOURCE.sub(r'<p class="source">from <code>\1</code></p>\n\n', text)
    tokens = markdown.parse(_COMMENT.sub("", text))
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor_of(tokens[i + 1].content))
        for child in token.children or []:
            if child.type == "link_open":
                _point(child, folder, has_pages)
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return html


def _point(link: Any, folder: Path, has_pages: bool) -> None:
    """Let a link lead to the page of a chapter; one to a source has no place to lead to."""
    target = str(link.attrGet("href"))
    name, _, anchor = unquote(target).partition("#")
    if "://" in target or not name:
        return
    if has_pages and name.endswith(".md") and "/" not in name:
        link.attrSet("href", page_name(name) + (f"#{anchor}" if anchor else ""))
        return
    del link.attrs["href"]
    link.attrSet("title", (folder / name).resolve().relative_to(folder.parent.resolve()).as_posix())
    link.attrSet("class", "path")


def _contents(chapters: Sequence[Chapter]) -> str:
    rows = "".join(
        f'<tr><td><a href="{page_name(chapter.path.name)}">{escape(chapter.title)}</a></td>'
        f"<td>{escape(chapter.question)}</td><td>{chapter.minutes}</td></tr>\n"
        for chapter in chapters
    )
    head = "<tr><th>chapter</th><th>the question</th><th>minutes</th></tr>"
    return f'<h2 id="chapters">Chapters</h2>\n<table>{head}\n{rows}</table>\n'


def html_page(title: str, body: str, way: str = "") -> str:
    """Return a whole page, with what leads to others above and below."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{_MARK}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(title)}</title>\n<link rel="stylesheet" href="site.css">\n</head>\n'
        f"<body>\n{way}\n<main>\n{body}</main>\n{way}\n</body>\n</html>\n"
    )
