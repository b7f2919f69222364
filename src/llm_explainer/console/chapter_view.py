"""A chapter of the Tutorial on a console: read, predicted, then run and shown."""

from __future__ import annotations

import re
from collections.abc import Callable

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from llm_explainer.console.terminal import show
from llm_explainer.spelling import spelled_out
from llm_explainer.tutorial.chapters import Block, Chapter, Value
from llm_explainer.tutorial.formulas import readable
from llm_explainer.tutorial.running import Session, open_session

WIDTH = 100
"""Columns of text at most: longer lines are hard to read."""

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
_LONG = re.compile(r"^(>? ?)\$\$(.+?)\$\$", re.DOTALL | re.MULTILINE)
_SHORT = re.compile(r"(`[^`\n]+`)|(?<![\\$])\$(?!\$)([^$\n]+?)\$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SOLUTION = "<details><summary>Solution</summary>"

Pause = Callable[[], bool]
"""Waits for the reader; false ends the walk."""


class ChapterView:
    """Shows a chapter step by step.

    Args:
        console: where to
        pause: called where the reader is to think first; without it all is shown at once.
    """

    def __init__(self, console: Console, pause: Pause | None = None) -> None:
        self._console, self._pause = console, pause
        self._width = min(WIDTH, console.width)

    def show(self, chapter: Chapter) -> bool:
        """Show all of a chapter, its blocks run; return false if the reader has seen enough.

        Raises:
            Exception: whatever a block raises.
        """
        lines = chapter.text.split("\n")
        at = 0
        with open_session(chapter) as session:
            for step in chapter.steps:
                if isinstance(step, Value):
                    continue
                text = "\n".join(lines[at : step.line - 2])
                if not self._show_text(text) or not self._show_block(step, session):
                    return False
                at = step.end
        return self._show_text("\n".join(lines[at:]))

    def _show_text(self, text: str) -> bool:
        """Show prose, with a pause before each section and before what solves an exercise."""
        for part in re.split(rf"(?m)^(?=## )|^(?={_SOLUTION})", text):
            if part.startswith("## ") and not self._ask("Enter: read on, q: leave"):
                return False
            if part.startswith(_SOLUTION):
                if not self._ask("your answer first; Enter: the solution, q: leave"):
                    return False
                part = f"**Solution.**\n{part.removeprefix(_SOLUTION)}"
            if markdown := for_terminal(part):
                self._console.print(Markdown(markdown, code_theme="ansi_dark"), width=self._width)
                self._console.print()
        return True

    def _show_block(self, block: Block, session: Session) -> bool:
        if block.language != "python":
            self._console.print(Padding(Text(spelled_out(block.text.rstrip())), (0, 0, 1, 4)))
            return True
        source = block.text.rstrip()
        code = Syntax(
            source, "python", theme="ansi_dark", background_color="default", word_wrap=True
        )
        if block.source:
            show(self._console, f"from {block.source}", style="dim")
        self._console.print(Panel(code, width=self._width))
        if not block.runs:
            return True
        if block.expected is not None and not self._ask("what does it print? Enter: run it"):
            return False
        if printed := session.run(block):
            self._console.print(
                Padding(Text(spelled_out(printed.rstrip()), style="green"), (0, 0, 1, 2))
            )
        return True

    def _ask(self, what: str) -> bool:
        if self._pause is None:
            return True
        show(self._console, what, style="dim italic")
        return self._pause()


def for_terminal(text: str) -> str:
    """Return a chapter's Markdown for a terminal: formulas as text, pictures as words."""
    text = _COMMENT.sub("", text).replace("</details>", "")
    text = _PICTURE.sub(r"*Picture* (Tutorial/\2): \1", text)
    text = _LONG.sub(lambda m: f"{m[1]}\n{m[1]}    {readable(m[2])}\n{m[1]}\n", text)
    return _SHORT.sub(lambda m: m[1] or f"*{_escaped(readable(m[2]))}*", text).strip()


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text)
