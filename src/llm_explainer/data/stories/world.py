"""The little world that the stories come from: who lives there, where, and with what.

Every value knows its forms: a character its kind and pronouns, a toy what one does with it. Names,
places and things are few on purpose: a small model can get to know them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """Something that a story can be about, and the forms in which the text speaks of it."""

    forms: Mapping[str, str]

    @property
    def name(self) -> str:
        """The plain form."""
        return self.forms["name"]


Scene = Mapping[str, Value]  # variable -> its value: the facts of one story
Domains = Mapping[str, tuple[Value, ...]]  # variable -> the values that it can take


def _animals(he: str, him: str, his: str, animals: str) -> tuple[Value, ...]:
    pronouns = {"he": he, "him": him, "his": his}
    pronouns |= {"He": he.title(), "His": his.title()}
    pairs = (animal.split(" the ") for animal in animals.split(", "))
    return tuple(Value({"name": name, "kind": kind, **pronouns}) for name, kind in pairs)


def _words(words: str) -> tuple[Value, ...]:
    return tuple(Value({"name": word}) for word in words.split(", "))


def _with_verbs(**verbs: str) -> tuple[Value, ...]:
    return tuple(Value({"name": thing, "use": verb}) for thing, verb in verbs.items())


CHARACTERS = _animals(
    "he",
    "him",
    "his",
    "Pip the mouse, Otto the bear, Finn the fox, Toby the toad, Hugo the hedgehog, Max the mole,"
    " Gus the goose, Ned the donkey",
) + _animals(
    "she",
    "her",
    "her",
    "Dot the duck, Rosa the rabbit, Lulu the lamb, Tilly the turtle, Olive the owl, Fern the frog,"
    " Ada the goat, Wren the crow",
)
PLACES = _words("pond, brook, lake, mill, bridge, barn, hill, orchard")
WEATHER = _words("sunny, windy, bright, warm, misty, golden")
MOODS = _words("small, young, merry, shy, curious")
COLORS = _words("red, blue, green, yellow, white, silver")
TOYS = _with_verbs(
    kite="fly",
    ball="throw",
    drum="beat",
    bell="ring",
    book="read",
    hat="wear",
    wagon="pull",
    hoop="roll",
)
BREAKABLE = tuple(toy for toy in TOYS if toy.name in {"kite", "drum", "bell", "wagon", "hoop"})
INSTRUMENTS = _words("flute, horn, fiddle, harp")
COVERS = _words("umbrella, blanket, coat, tent")
FOODS = _words("plum cake, berry pie, honey cake, carrot cake")
LOADS = _words("apples, pumpkins, turnips, carrots, pears")
PLANTS = _words("sunflower, pumpkin, bean, rose")
FIXES = _words("glue, string, tape, wire")
SPOTS = _words(
    "under a bush, behind a big stone, in the tall grass, under some leaves, in a hollow tree"
)
EMPTY_SPOTS = _words("behind a fence, under a bench, beside a log, up in a tree")

SLOTS: dict[str, tuple[str, str]] = {
    "hero": ("hero", "name"),
    "kind": ("hero", "kind"),
    "he": ("hero", "he"),
    "him": ("hero", "him"),
    "his": ("hero", "his"),
    "He": ("hero", "He"),
    "His": ("hero", "His"),
    "friend": ("friend", "name"),
    "friend_kind": ("friend", "kind"),
    "place": ("place", "name"),
    "weather": ("weather", "name"),
    "mood": ("mood", "name"),
    "thing": ("thing", "name"),
    "use": ("thing", "use"),
    "color": ("color", "name"),
    "fix": ("fix", "name"),
    "spot": ("spot", "name"),
    "spot2": ("spot2", "name"),
}
"""Slot -> (variable, form). ``he`` is the hero, he or she: the character knows the real pronoun.
Only the hero gets pronouns, so that a reader never wonders who is meant."""

EVERYWHERE: Domains = {
    "hero": CHARACTERS,
    "friend": CHARACTERS,
    "place": PLACES,
    "weather": WEATHER,
    "mood": MOODS,
}
"""What every plot has."""


def draw_scene(domains: Domains, rng: Random) -> dict[str, Value]:
    """Draw a value for every variable, no value twice."""
    scene: dict[str, Value] = {}
    for variable, values in domains.items():
        value = values[int(rng.random() * len(values))]
        while value in scene.values():
            value = values[int(rng.random() * len(values))]
        scene[variable] = value
    return scene


def words_of(scene: Scene) -> dict[str, str]:
    """Return the text of every slot in a scene."""
    return {
        slot: scene[variable].forms[form]
        for slot, (variable, form) in SLOTS.items()
        if variable in scene and form in scene[variable].forms
    }
