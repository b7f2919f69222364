"""A record: one example that fine-tuning learns from, as text, and which of its text is learned.

There are three kinds, as in the files that people have: a prompt and its completion, a
conversation, and plain text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Piece(NamedTuple):
    """A stretch of a record's text."""

    text: str
    trained: bool  # whether the model is to learn to write it


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt, and what is to follow it; they are joined as they are, with nothing between."""

    prompt: str
    completion: str
    source: str = "a record"  # for messages: the file and the line

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The prompt, if there is one, then the completion, which is trained."""
        pieces = Piece(self.prompt, False), Piece(self.completion, True)
        return pieces if self.prompt else pieces[1:]


@dataclass(frozen=True, slots=True)
class Passage:
    """Plain text; all of it is trained."""

    text: str
    source: str = "a record"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The text."""
        return (Piece(self.text, True),)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str  # system, user or assistant
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns of a conversation; a chat template makes text of them, every assistant's is trained."""

    messages: tuple[Message, ...]
    source: str = "a record"


Record = Pair | Passage | Conversation
