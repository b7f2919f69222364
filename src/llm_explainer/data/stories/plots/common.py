"""What the plots share: the shape of a plot, and the ways in which a story opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_explainer.data.stories.grammar import Node, ask, either, maybe, say, then
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
    either(
        say(
            "One {weather} [morning|afternoon], {hero} the {kind} [went|walked|skipped] to the "
            "{place}.",
            "On a {weather} [morning|afternoon], {hero} the {kind} sat by the {place} and [sang a "
            "song|watched the clouds].",
            "It was a {weather} day by the {place}, and {hero} the {kind} was [wide awake|out for a "
            "walk].",
            "Not far from the {place} lived {hero} the {kind}.",
        ),
        then(
            say(
                "[Once there|There once] was a [small|young|merry|shy] {kind} named {hero}, who "
                "lived by the {place}.",
            ),
            maybe(
                "One {weather} [morning|afternoon], {he} went [out to play|for a walk].",
                "It was a {weather} [morning|day].",
            ),
        ),
    ),
    ask("where", "Where was {hero}?", "by the {place}"),
    ask("what", "What kind of animal was {hero}?", "{kind}"),
)
