"""Running a chapter: its blocks in order, in one namespace, each against what the page says."""

from __future__ import annotations

import io
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llm_explainer.tutorial.chapters import Block, Chapter, Value
from llm_explainer.tutorial.comparing import find_difference, same_value
from llm_explainer.tutorial.excerpts import ExcerptError, check_excerpt


@dataclass(frozen=True)
class Mistake:
    """What the page says and the code does not, or the other way round."""

    page: str  # its file's name
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.what}"


@dataclass
class Session:
    """A chapter that is being run: its names, and what each block prints."""

    chapter: Chapter
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__chapter__"})

    def run(self, block: Block) -> str:
        """Run a block, and return what it prints.

        Raises:
            Exception: whatever the block raises; its traceback shows the chapter's lines.
        """
        printed = io.StringIO()
        with redirect_stdout(printed):
            self._execute(block.text, block.line)
        return printed.getvalue()

    def value(self, value: Value) -> Any:
        """Return what a value's expression gives now.

        Raises:
            Exception: whatever the expression raises.
        """
        self._execute(f"__value__ = ({value.expression})", value.line)
        return self.names.pop("__value__")

    def _execute(self, source: str, line: int) -> None:
        # As many empty lines before it, and a traceback has the chapter's numbers.
        code = compile("\n" * (line - 1) + source, str(self.chapter.path), "exec")
        exec(code, self.names)


@contextmanager
def open_session(chapter: Chapter) -> Iterator[Session]:
    """Give a session; at its end how NumPy prints and warns is as it was."""
    with np.printoptions(), np.errstate():
        yield Session(chapter)


def check_chapter(chapter: Chapter) -> list[Mistake]:
    """Run all of a chapter, and return what isn't as the page says, in order.

    After a block that raises nothing more is run, for want of its names.
    """
    name, mistakes = chapter.path.name, list[Mistake]()
    with open_session(chapter) as session:
        for step in chapter.steps:
            try:
                if found := _check(session, step):
                    mistakes.append(Mistake(name, *found))
            except Exception as error:
                mistakes.append(Mistake(name, _line_of(chapter, step, error), _say(error)))
                if isinstance(step, Block):
                    return mistakes
    return mistakes


def _check(session: Session, step: Block | Value) -> tuple[int, str] | None:
    """Return the line of a mistake in a step, and what it is."""
    if isinstance(step, Value):
        real = session.value(step)
        if same_value(step.shown, real):
            return None
        return step.line, f"the text says {step.shown}, but {step.expression} is {real!r}"
    if step.source:
        try:
            check_excerpt(step.text, step.source, step.part)
        except ExcerptError as error:
            return step.line, f"the excerpt {error}"
    if not step.runs:
        return None
    printed = session.run(step)
    if step.expected is None:
        what = f"the code prints {printed.strip()!r}, and no text block shows it"
        return (step.line, what) if printed else None
    shown = step.expected
    different = find_difference(shown.text, printed, varies=shown.varies)
    return different and (shown.line + different[0], different[1])


def _line_of(chapter: Chapter, step: Block | Value, error: Exception) -> int:
    """Return the chapter's line at which an error came up."""
    if isinstance(error, SyntaxError) and error.filename == str(chapter.path):
        return error.lineno or step.line
    own = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(chapter.path)
    ]
    return own[0] or step.line if own else step.line


def _say(error: Exception) -> str:
    return " ".join(f"raises {type(error).__name__}: {error}".split())
