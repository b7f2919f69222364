"""A strange sound in the dark turns out to be a friend."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, INSTRUMENTS

NIGHT = plot(
    "a sound in the night",
    say(
        "When night came to the {place}, {he} heard a strange sound.",
        "That night, a strange sound by the {place} woke {him} up.",
        "The day went by, and the {place} was dark. Then {he} heard a strange sound.",
    ),
    say(
        '"Who is there?" called {hero}. Nobody said a word.',
        "[Tap, tap, tap|Hoo, hoo, hoo|Toot, toot, toot], it went, all around the {place}.",
        "It came from behind the trees. Then the {place} was quiet again.",
    ),
    say(
        "{He} was afraid. Was it a ghost?",
        "{He} hid in {his} bed, but there it was again.",
        "{His} heart beat fast.",
    ),
    ask("who", "{hero}", "Who heard a strange sound?", "Who was afraid?"),
    ask("where", "by the {place}", "Where was the strange sound?", "Where was it dark?"),
    maybe(
        '"I am not so small," {he} whispered.',
        "The moon [hid behind a cloud|looked down and said nothing].",
    ),
    say(
        "But {he} took {his} lamp and walked to the {place}, step by step.",
        "Then {he} took a deep breath and walked all the way around the {place}.",
        '"I must know," {he} said and walked through the dark, all around the {place}.',
    ),
    say(
        "And who sat there? {friend} the {friend_kind}, with a {color} {thing}!",
        "It was no ghost. It was {friend} the {friend_kind} with a {color} {thing}.",
        "Behind a bush sat {friend} the {friend_kind} with a {color} {thing}.",
    ),
    ask("who", "{friend}", "Who made the sound?", "Who had the {thing}?"),
    ask(
        "what",
        "a {thing}",
        "What made the sound?",
        "What was played at night?",
        "What was the strange sound?",
    ),
    ask(
        "why",
        "{friend} played the {thing}",
        "Why was there a sound in the night?",
        "Why was it not quiet?",
        "Why did the sound come again?",
    ),
    say(
        '"I could not sleep," said {friend}.',
        '"Oh, {hero}, I have to practice," said {friend}.',
        '"I play for the moon," said {friend}. "Will you listen?"',
    ),
    maybe(
        "{hero} laughed and laughed.",
        '"I thought you were a ghost," said {hero}.',
        "{hero} sat down and was not afraid any more.",
    ),
    say(
        "{friend} played the {thing} until {hero} fell asleep.",
        "Now, when {hero} hears the {thing} at night, {he} thinks of {friend} and smiles.",
        "So they sang to the {thing}, {hero} high and {friend} low, until the sun came up.",
        '"Good night, {hero}," said {friend}. And the {thing} said good night too.',
    ),
    thing=INSTRUMENTS,
    color=COLORS,
)
