"""The little world that the stories come from: who lives there, where, and with what.

Ten pairs of friends live here, each pair in its own place; either of the two can be a story's hero.
Pairs, things and spots are few on purpose: a small model can get to know them all.
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
        """The plain form, of a value that has one."""
        return self.forms["name"]


Scene = Mapping[str, Value]  # variable -> its value: the facts of one story
Domains = Mapping[str, tuple[Value, ...]]  # variable -> the values that it can take


def _pair(he: str, she: str, place: str) -> tuple[Value, Value]:
    """Return the two casts of a pair of friends: either of them can be the hero."""
    pronouns = {"he": "he", "him": "him", "his": "his", "He": "He", "His": "His"}
    her_pronouns = {"he": "she", "him": "her", "his": "her", "He": "She", "His": "Her"}
    name, kind = he.split(" the ")
    her_name, her_kind = she.split(" the ")
    he_leads = {"hero": name, "kind": kind, "friend": her_name, "friend_kind": her_kind, **pronouns}
    she_leads = {
        "hero": her_name,
        "kind": her_kind,
        "friend": name,
        "friend_kind": kind,
        **her_pronouns,
    }
    return Value({**he_leads, "place": place}), Value({**she_leads, "place": place})


def _words(words: str) -> tuple[Value, ...]:
    return tuple(Value({"name": word}) for word in words.split(", "))


def _with_verbs(**verbs: str) -> tuple[Value, ...]:
    return tuple(Value({"name": thing, "use": verb}) for thing, verb in verbs.items())


CASTS = (
    *_pair("Pip the mouse", "Rosa the rabbit", "pond"),
    *_pair("Max the mole", "Wren the crow", "mill"),
    *_pair("Otto the bear", "Nell the otter", "brook"),
    *_pair("Toby the toad", "Dot the duck", "lake"),
    *_pair("Hugo the hedgehog", "Tilly the turtle", "bridge"),
    *_pair("Gus the goose", "Ada the goat", "hill"),
    *_pair("Ned the donkey", "Lulu the lamb", "barn"),
    *_pair("Sam the squirrel", "Olive the owl", "orchard"),
    *_pair("Finn the fox", "Poppy the pig", "farm"),
    *_pair("Jack the dog", "Fern the frog", "meadow"),
)
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
LOADS = _words("apples, pumpkins, carrots")
PLANTS = _words("sunflower, pumpkin, bean, rose")
FIXES = _words("glue, string, tape, wire")
SPOTS = _words(
    "under a bush, behind a big stone, in the tall grass, under some leaves, in a hollow tree"
)
EMPTY_SPOTS = _words("behind a fence, under a bench, beside a log, up in a tree")

SLOTS: dict[str, tuple[str, str]] = {
    **{form: ("cast", form) for form in CASTS[0].forms},
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
    "cast": CASTS,
    "weather": WEATHER,
    "mood": MOODS,
}
"""What every plot has."""


def draw_scene(domains: Domains, rng: Random) -> Scene:
    """Draw a value for every variable."""
    return {name: values[int(rng.random() * len(values))] for name, values in domains.items()}


def words_of(scene: Scene) -> dict[str, str]:
    """Return the text of every slot in a scene."""
    return {
        slot: scene[variable].forms[form]
        for slot, (variable, form) in SLOTS.items()
        if variable in scene and form in scene[variable].forms
    }
