"""A grammar that runs both ways: the teller speaks it, the checker reads it back.

A story is a tree of nodes. Like a layer of the model, each node has two directions:
``tell`` walks forward and appends text; ``read`` walks over a given text, finds every way in which
the node could have told it, and fills in who and what the text is about.

A phrase is written as plain text with slots and choices, as in
``"{hero} [ran|walked] to the {place}."``; ``world.SLOTS`` says what a slot stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from llm_explainer.data.stories.world import SLOTS, Scene, Value

_TOKEN = re.compile(r"\{(\w+)\}|\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one story; ``answer`` is the only right one, to the letter."""

    question: str
    answer: str
    kind: str  # who, where, what or why


@dataclass(slots=True)
class Telling:
    """A story while it is told: the facts as words, and the pieces of text so far."""

    rng: Random
    words: Mapping[str, str]  # slot -> its text in this story
    pieces: list[str] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)  # what can be asked about it


@dataclass(slots=True)
class Reading:
    """A text while it is read, and the furthest point that any attempt has reached."""

    text: str
    domains: Mapping[str, tuple[Value, ...]]  # variable -> what it may be in this plot
    furthest: int = -1
    known: Scene = field(default_factory=dict)  # the facts at that point
    due: list[str] = field(default_factory=list)  # the facts' words that would have fitted there

    def stuck(self, at: int, scene: Scene, due: str = "") -> None:
        """Note that an attempt ends at ``at``; ``due`` is the word that a fact demanded there."""
        if at > self.furthest:
            self.furthest, self.known, self.due = at, scene, []
        if at == self.furthest and due and due not in self.due:
            self.due.append(due)


Step = tuple[int, Scene]  # how far a reading has come, and what it has learned


class Node(Protocol):
    """One part of a story, in both directions."""

    def tell(self, telling: Telling) -> None:
        """Append this part's text."""

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Yield every way in which the text from ``at`` on begins with this part."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Fixed words."""

    text: str

    def tell(self, telling: Telling) -> None:
        """Append the words."""
        telling.pieces.append(self.text)

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Match the words."""
        if reading.text.startswith(self.text, at):
            yield at + len(self.text), scene
        else:
            reading.stuck(at, scene)


@dataclass(frozen=True, slots=True)
class Slot:
    """A word that depends on the story's facts, such as ``{hero}`` or ``{his}``."""

    name: str
    variable: str  # the fact
    form: str  # which of its forms

    def tell(self, telling: Telling) -> None:
        """Append the fact's form."""
        telling.pieces.append(telling.words[self.name])

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Match a fact that is known; learn one that is not."""
        known = scene.get(self.variable)
        if known is not None:
            word = known.forms[self.form]
            if reading.text.startswith(word, at):
                yield at + len(word), scene
            else:
                reading.stuck(at, scene, word)
            return
        for value in reading.domains[self.variable]:
            word = value.forms[self.form]
            if reading.text.startswith(word, at):
                yield at + len(word), {**scene, self.variable: value}
        reading.stuck(at, scene)


@dataclass(frozen=True, slots=True)
class Either:
    """Exactly one of several nodes."""

    choices: tuple[Node, ...]

    def tell(self, telling: Telling) -> None:
        """Tell one, all equally likely."""
        self.choices[int(telling.rng.random() * len(self.choices))].tell(telling)

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Try each."""
        for choice in self.choices:
            yield from choice.read(reading, at, scene)


@dataclass(frozen=True, slots=True)
class Maybe:
    """A node or nothing."""

    node: Node
    chance: float = 0.4

    def tell(self, telling: Telling) -> None:
        """Tell it with this chance."""
        if telling.rng.random() < self.chance:
            self.node.tell(telling)

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Try it, then go on without it."""
        yield from self.node.read(reading, at, scene)
        yield at, scene


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several nodes, one after the other."""

    parts: tuple[Node, ...]

    def tell(self, telling: Telling) -> None:
        """Tell all."""
        for part in self.parts:
            part.tell(telling)

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Read all; where a later part fails, go back and read an earlier one differently."""
        yield from self._read_from(0, reading, at, scene)

    def _read_from(self, i: int, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        if i == len(self.parts):
            yield at, scene
            return
        for next_at, next_scene in self.parts[i].read(reading, at, scene):
            yield from self._read_from(i + 1, reading, next_at, next_scene)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that can be asked once the story has come this far; it adds no text."""

    kind: str
    answer: str
    wordings: tuple[str, ...]

    def tell(self, telling: Telling) -> None:
        """Note that this can be asked."""
        telling.asks.append(self)

    def questions(self, words: Mapping[str, str]) -> Iterator[Question]:
        """Yield the question in each of its wordings, the slots filled with a story's words."""
        answer = self.answer.format_map(words)
        for wording in self.wordings:
            yield Question(wording.format_map(words), answer, self.kind)

    def read(self, reading: Reading, at: int, scene: Scene) -> Iterator[Step]:
        """Nothing to read."""
        yield at, scene


def say(*phrasings: str) -> Node:
    """Return a node for one or more sentences, told in any one of these phrasings."""
    return Either(tuple(_phrase(phrasing + " ") for phrasing in phrasings))


def either(*nodes: Node) -> Node:
    """Return a node that is one of these."""
    return Either(nodes)


def maybe(*phrasings: str) -> Node:
    """Return a node that not every story tells."""
    return Maybe(say(*phrasings))


def then(*nodes: Node) -> Node:
    """Return a node that is these, in order."""
    return Sequence(nodes)


def ask(kind: str, answer: str, *wordings: str) -> Node:
    """Return a node that asks; ``kind`` is who, where, what or why.

    A question whose answer is a name, an animal or the place names nobody: who knows the hero of
    a story knows the friend and the place as well, and could answer without reading.
    """
    return Ask(kind, answer, wordings)


def _phrase(source: str) -> Node:
    """Parse a phrase: text, ``{slot}`` and ``[one|of|these]``, which may hold slots in turn."""
    parts: list[Node] = []
    end = 0
    for match in _TOKEN.finditer(source):
        if match.start() > end:
            parts.append(Literal(source[end : match.start()]))
        slot, choices = match.groups()
        if slot is not None:
            parts.append(Slot(slot, *SLOTS[slot]))
        else:
            parts.append(Either(tuple(_phrase(choice) for choice in choices.split("|"))))
        end = match.end()
    if end < len(source):
        parts.append(Literal(source[end:]))
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))
