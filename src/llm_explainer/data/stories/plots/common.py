"""What the plots share: the shape of a plot, and the ways in which a story opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_explainer.data.stories.grammar import Node, ask, say, then
from llm_explainer.data.stories.world import EVERYWHERE, Value


@dataclass(frozen=True)
class Plot:
    """A kind of story: its facts with the values that they can take, and its grammar."""

    name: str
    domains: Mapping[str, tuple[Value, ...]]
    story: Node


def plot(name: str, *beats: Node, **domains: tuple[Value, ...]) -> Plot:
    """Return a plot that opens like every other and goes on with ``beats``."""
    return Plot(name, {**EVERYWHERE, **domains}, then(OPENING, *beats))


OPENING = then(
    say(
        "[One|On a] {weather} [morning|afternoon], a {mood} {kind} named {hero} [went|walked|ran] "
        "to the {place}.",
        "[One|On a] {weather} [morning|afternoon], a {mood} {kind} named {hero} sat by the {place} "
        "and [sang a song|watched the clouds].",
        "It was a {weather} day by the {place}, and a {mood} {kind} named {hero} was [wide awake|"
        "out for a walk].",
        "[Not far from|Close to] the {place} lived a {mood} {kind} named {hero}.",
        "[Once there|There once] was a {mood} {kind} named {hero}, who lived by the {place}.",
    ),
    ask(
        "where",
        "by the {place}",
        "Where does the story begin?",
        "Where did this happen?",
        "Where were the two friends?",
    ),
    ask(
        "who",
        "{hero}",
        "Who is the story about?",
        "Who was {mood}?",
        "Who comes first in the story?",
    ),
    ask("what", "{kind}", "What animal comes first?", "What kind of animal is the story about?"),
    ask("what", "{friend_kind}", "What animal was the friend?"),
)
"""Only the hero is "a mole named Max"; the friend comes as "Max the mole": all stays clear."""
