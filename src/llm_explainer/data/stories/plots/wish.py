"""A wish is spoken aloud, and a friend who heard it makes it come true."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, TOYS

WISH = plot(
    "a wish",
    say(
        "More than anything, {hero} wished for a {color} {thing}.",
        "{He} had only one wish: a {color} {thing} of {his} own.",
        "Every night {he} dreamed of a {color} {thing}.",
        '"I wish I had a {color} {thing}," {he} [told the wind|said to the sky].',
    ),
    ask(
        "what",
        "a {thing}",
        "What did {hero} wish for?",
        "What was the wish?",
        "What came true?",
        "What was wished for?",
    ),
    ask("who", "{hero}", "Who had a wish?", "Who wished for the {thing}?"),
    maybe(
        "But {he} had no money, only [a button|two acorns|a shiny stone].",
        "{He} tried to make one out of [leaves|sticks|paper], but it fell apart.",
    ),
    say(
        "{friend} the {friend_kind} came to the {place}, heard {him}, and [smiled|had an idea].",
        "By the {place} {friend} the {friend_kind} heard about the wish and [smiled|had an idea].",
        "Now {friend} the {friend_kind} was out for a walk by the {place} and heard every word.",
    ),
    say(
        "For three days {friend} worked on the {thing} [in secret|behind a closed door].",
        "All week {friend} worked on the {thing} by the light of a lamp.",
        "All night {friend} cut and glued and painted the {thing}.",
    ),
    maybe(
        '"What are you doing?" asked {hero}. "Wait and see," said {friend}.',
        "{hero} asked and asked, but {friend} only [smiled|sang a song].",
    ),
    say(
        "Then {friend} took {hero} to the {place}, and there was a {thing}!",
        '"Come to the {place}," said {friend} at last, and there was a {thing}!',
        "In a box by the {place} {hero} found a {thing} and a note from {friend}.",
    ),
    ask(
        "who",
        "{friend}",
        "Who made the wish come true?",
        "Who heard about the wish?",
        "Who made the {thing}?",
    ),
    ask(
        "why",
        "{friend} made a {thing}",
        "Why did the wish come true?",
        "Why was there a {thing} at last?",
        "Why was everyone happy in the end?",
    ),
    ask(
        "where",
        "by the {place}",
        "Where did the wish come true?",
        "Where did the friend hear of the wish?",
    ),
    maybe(
        '"For me?" asked {hero}. "For you," said {friend}.',
        "{hero} [could not say a word|laughed and cried at once|jumped for joy].",
    ),
    say(
        "{hero} and {friend} took turns with the {thing} until the stars came out.",
        "Since that day, {hero} has never gone anywhere without the {thing}.",
        "A wish comes true sooner when a friend is listening, thought {hero}, and held the {thing} "
        "tight.",
        'That evening, {hero} let {friend} have the {thing} first. "You made it," {he} said.',
        "And if you walk by the {place}, you may still see {hero} and {friend} with the {thing}.",
    ),
    thing=TOYS,
    color=COLORS,
)
