"""A cart is stuck, and strength alone does not move it."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import LOADS

HELPING = plot(
    "helping",
    say(
        "By the {place} {he} saw {friend} the {friend_kind} with a cart full of {thing}.",
        "{friend} the {friend_kind} came to the {place} with a [big|little] cart full of {thing}.",
    ),
    ask("what", "{thing}", "What was in the cart?", "What was the cart full of?"),
    ask("who", "{friend}", "Who had a cart?", "Who had the {thing}?"),
    say(
        "But the {thing} and the cart were stuck in the mud.",
        "But the {thing} were heavy, and one wheel was [stuck in a hole|deep in the mud].",
        "But the {thing} were too heavy for {friend} alone.",
    ),
    ask("where", "by the {place}", "Where was the cart?", "Where did they push the cart?"),
    maybe(
        '"I am so tired," said {friend}.',
        "{friend} had pulled all day and was so tired.",
        '"It is too heavy," said {friend} and sat down.',
    ),
    say(
        '"Let me help," said {hero}.',
        "{He} did not think twice and came to help.",
        '"Two are stronger than one," said {hero}.',
    ),
    ask("who", "{hero}", "Who came to help?", "Who helped with the cart?"),
    maybe(
        "{He} pushed, and {friend} pulled, but the cart did not move.",
        "One, two, three! They pushed and pulled, but nothing happened.",
        "They pushed so hard that the {thing} danced, but nothing happened.",
    ),
    say(
        "Then {hero} had an idea. {He} put [a branch|a flat stone] under the wheel.",
        '"Wait," said {hero}. {He} ran and got [a branch|a rope].',
        '"Wait," said {hero}. "We must take out the {thing} first."',
    ),
    ask("who", "{hero}", "Who had an idea?"),
    ask(
        "why",
        "{hero} helped {friend}",
        "Why did the cart roll in the end?",
        "Why did the wheels turn at last?",
        "Why was the cart not stuck any more?",
    ),
    say(
        "They pushed together, and slowly the cart rolled on to the {place}.",
        "And look, the cart began to roll, all the way past the {place}!",
        "Now the wheels turned, and everyone around the {place} could hear them cheer.",
    ),
    maybe(
        "There was mud on {his} nose, and they had to laugh.",
        "They sang all the way.",
    ),
    say(
        '"These {thing} are for you," said {friend} and gave {hero} the best ones.',
        "Now, when {friend} goes out with the cart, {hero} comes along, just in case.",
        '"Thank you, {hero}," said {friend}, and side by side they ate some of the {thing}.',
        "That night, {hero} dreamed of the cart, and {friend} dreamed of {hero}.",
    ),
    thing=LOADS,
)
