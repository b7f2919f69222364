"""A seed takes its time, and waiting is easier in company."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import PLANTS

SEED = plot(
    "a seed",
    say(
        "{He} found a {thing} seed by the {place} and put it into the ground.",
        "{He} had a {thing} seed and put it into the ground by the {place}.",
        "{He} made a little hole by the {place} and put a {thing} seed into it.",
    ),
    ask(
        "what",
        "a {thing} seed",
        "What had to grow?",
        "What did somebody put into the ground?",
        "What was in the ground?",
    ),
    ask("who", "{hero}", "Who had a seed?", "Who put something into the ground?"),
    ask(
        "why",
        "{hero} wanted a {thing}",
        "Why was a seed put into the ground?",
        "Why was there a seed in the ground?",
        "Why did they wait and wait?",
    ),
    ask("where", "by the {place}", "Where was the seed?", "Where did the {thing} grow?"),
    maybe(
        "{He} waited all day, but nothing happened.",
        "{He} gave it water and waited and waited.",
        '"Grow!" {he} told it. But it did not grow.',
    ),
    say(
        "{His} friend {friend} the {friend_kind} came to look.",
        "{friend} the {friend_kind} came by and asked what was there.",
        "Just then, {friend} the {friend_kind} came by.",
    ),
    say(
        '"My {thing} will not grow," said {hero}. "[It is asleep|Give it time]," said {friend}.',
        '"Where is my {thing}?" asked {hero}. "[It is asleep|Wait and see]," said {friend}.',
    ),
    ask("who", "{friend}", "Who said that it takes time?", "Who came to look?", "Who came by?"),
    say(
        "So every day they met by the {place} and [told stories|sang] to the {thing}.",
        "They went to the {place} each day with [some water|a song|a kind word] for the {thing}.",
        "The days went by, and the {thing} by the {place} had rain and sun.",
    ),
    maybe(
        "Once a [bird|snail] wanted to eat it, but {friend} chased it away.",
        "{hero} dreamed of it every night.",
    ),
    say(
        "Then one morning the {thing} had a small green leaf!",
        'One morning {hero} gave a shout. "My {thing} has a leaf!"',
        "And then, one day, the {thing} looked out of the ground.",
    ),
    maybe(
        "The {thing} grew up to {his} knees, and then up to {his} nose.",
        "The {thing} grew and grew, all summer long.",
        "Soon the {thing} was as big as {friend}.",
    ),
    say(
        "No {thing} was ever loved so much as the one that {hero} and {friend} had waited for.",
        '"It was there all the time," said {hero} and danced around the {thing} with {friend}.',
        "In the fall, {hero} gave {friend} a new {thing} seed, and it all began again.",
        '{hero} and {friend} sat by the {thing}. "Good things are slow," said {friend}.',
    ),
    thing=PLANTS,
)
