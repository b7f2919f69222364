"""A session with a model: each line is continued, and lines with a slash change the settings."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from llm_explainer.errors import LLMExplainerError
from llm_explainer.generation.decoding import LanguageModel
from llm_explainer.generation.sampling_config import SamplingConfig
from llm_explainer.generation.streaming import Generation
from llm_explainer.settings import help_of
from llm_explainer.tokenizer.base import Tokenizer

Show = Callable[[str], object]

_SETTINGS = {
    "/" + field.name.replace("_", "-"): field
    for field in dataclasses.fields(SamplingConfig)
    # A session always forgets the start of what grows too long, and always heals.
    if field.name not in ("windowed", "heal")
}


class Session:
    """A text that a person and a model write in turns.

    ``Chat`` is one whose turns are those of a conversation.

    Args:
        model: a ``GPT`` of any backend.
        tokenizer: the one that it was trained with.
        sampling: the settings to begin with.
        write: shows the model's text, piece by piece.
        note: shows a line about the session.
    """

    welcome = "Type the beginning of a text. /help shows what else there is; Ctrl-D leaves."
    about: tuple[str, ...] = (
        "A line is continued, and so is what the model wrote before; an empty line",
        "lets it go on. /reset starts anew. A text that begins with / takes a space",
        "before it. Ctrl-C ends the model's turn, Ctrl-D the session.",
    )

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        sampling: SamplingConfig,
        write: Show,
        note: Show,
    ) -> None:
        self.sampling = dataclasses.replace(sampling, windowed=True)
        self._model, self._tokenizer = model, tokenizer
        self._write, self._note = write, note
        self._ids: list[int] = []  # the text so far
        self._turn = 0  # each turn draws anew, and a session can be repeated

    def run(self, lines: Iterable[str]) -> None:
        """Take lines until ``/quit`` or their end; no line and no Ctrl-C ends it otherwise."""
        self._note(self.welcome)
        for line in lines:
            try:
                if not self.handle(line):
                    return
            except LLMExplainerError as error:
                self._note(f"error: {error}")
            except KeyboardInterrupt:
                self._note("interrupted")

    def handle(self, line: str) -> bool:
        """Do what a line asks for; return whether the session goes on.

        Raises:
            LLMExplainerError: a line that cannot be continued, or a setting that cannot work.
        """
        if not line.startswith("/"):
            self.take_turn(line)
            return True
        command, _, value = line.strip().partition(" ")
        if command == "/quit":
            return False
        if command == "/help":
            self._help()
        elif command == "/settings":
            for name in _SETTINGS:
                self._note(self._setting(name))
        elif command == "/reset":
            self._turn = 0
            self._forget()
            self._note("the text so far is forgotten")
        elif command in _SETTINGS:
            self._change(command, value)
        else:
            self._note(f"unknown command {command}; /help lists them")
        return True

    def take_turn(self, line: str) -> None:
        """Let the model go on after what was written so far and this line, whatever is in it.

        Raises:
            LLMExplainerError: a line that cannot be continued.
        """
        stream = self._answer(line)
        start = time.perf_counter()
        ended_by = "interrupted"
        try:
            for piece in self._pieces(stream):
                self._write(piece)
            ended_by = stream.ended_by
        except KeyboardInterrupt:
            pass  # what has been written stays part of the text
        seconds = time.perf_counter() - start
        self._write("\n")
        for notice in stream.notices:
            self._note(notice)
        self._note(summary(len(stream.ids), seconds, ended_by))
        self._keep(stream, ended_by)
        self._turn += 1

    def _answer(self, line: str) -> Generation:
        """Return what the model goes on with, after the text so far and a line."""
        return Generation(
            self._model,
            self._tokenizer,
            self._set_apart(line),
            self.sampling,
            index=self._turn,
            context=self._ids,
        )

    def _pieces(self, stream: Generation) -> Iterator[str]:
        """Yield what is shown of the model's text."""
        yield from stream

    def _keep(self, stream: Generation, ended_by: str) -> None:
        """Remember what has become of the text."""
        self._ids = stream.prompt_ids + stream.ids
        if ended_by == "end of text" and self._tokenizer.end_of_text is not None:
            self._ids.append(self._tokenizer.end_of_text)

    def _forget(self) -> None:
        """Begin with an empty text."""
        self._ids = []

    def _set_apart(self, line: str) -> str:
        """Return the line with a space before it where it would run into the text so far."""
        before = self._tokenizer.decode(self._ids)
        is_complete = self._ids[-1:] == [self._tokenizer.end_of_text]
        if not before or not line or is_complete or before[-1].isspace() or line[0].isspace():
            return line
        return " " + line

    def _change(self, name: str, value: str) -> None:
        if value:
            field = _SETTINGS[name].name
            new: Any = read_value(value)
            if field == "stop":
                new = () if new is None else (unescape(value),)
            self.sampling = dataclasses.replace(self.sampling, **{field: new})
        self._note(self._setting(name))

    def _setting(self, name: str) -> str:
        value = getattr(self.sampling, _SETTINGS[name].name)
        shown = ", ".join(map(repr, value)) if isinstance(value, tuple) else value
        return f"{name} {'off' if shown in (None, '') else shown}"

    def _help(self) -> None:
        for line in self.about:
            self._note(line)
        rows = [(f"{name} VALUE", help_of(field)) for name, field in _SETTINGS.items()]
        rows += [
            ("/settings", "show them all; VALUE off turns a filter off"),
            ("/reset", "forget the text so far"),
            ("/quit", "leave"),
        ]
        for name, explanation in rows:
            self._note(f"  {name:<26}{explanation}")


def summary(n_tokens: int, seconds: float, ended_by: str) -> str:
    """Say how much was written, how fast, and why it ended."""
    reasons = {
        "end of text": "the text is complete",
        "stop": "ended before a stop text",
        "max_tokens": "ended at max-tokens",
        "context": "ended with the context full; --windowed goes on",
    }
    speed = n_tokens / max(seconds, 1e-9)
    return (
        f"{n_tokens} tokens in {seconds:.2f} s, {speed:,.0f} tokens/s; "
        f"{reasons.get(ended_by, ended_by)}"
    )


def read_value(text: str) -> int | float | str | None:
    """Read what a person typed as a value: "off" is None, and numbers are numbers."""
    if text in ("off", "none"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def unescape(text: str) -> str:
    r"""Read ``\n`` and ``\t`` as line break and tab, ``\\`` as a backslash."""
    meanings = {"n": "\n", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nt\\])", lambda match: meanings[match[1]], text)
