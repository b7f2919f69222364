"""Something good to eat, someone hungry, and the best half."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import FOODS

SHARING = plot(
    "sharing",
    say(
        "{He} had baked a [big|small|warm] {thing}.",
        "In {his} basket was a [big|small|warm] {thing}.",
        "{His} mother had given {him} a [big|small|warm] {thing}.",
    ),
    ask(
        "what",
        "a {thing}",
        "What was there to eat?",
        "What did the two eat?",
        "What was cut in two?",
    ),
    ask("who", "{hero}", "Who had something to eat?", "Who had the {thing}?"),
    maybe(
        "It smelled so good that {his} nose danced.",
        '"All for me," {he} thought, and {he} opened {his} mouth.',
        "{He} wanted to eat it slowly, bite by bite.",
    ),
    say(
        "Just then, {friend} the {friend_kind} came to the {place}.",
        "Someone by the {place} sighed. It was {friend} the {friend_kind}.",
        "Then {he} saw {friend} the {friend_kind}, all alone by the {place}.",
    ),
    say(
        '"I have not eaten all day," said {friend}.',
        '"My lunch fell into the [water|mud]," said {friend} in a small voice.',
        "{friend} had nothing to eat, not even a crumb.",
    ),
    ask(
        "who",
        "{friend}",
        "Who had nothing to eat?",
        "Who had not eaten?",
        "Who got the other half?",
    ),
    maybe(
        "{He} looked at the {thing}. Then {he} looked at {friend}.",
        "It was not easy. The {thing} was so [warm|sweet].",
    ),
    say(
        '{hero} cut the {thing} in two. "The bigger half is for you," {he} said.',
        '"Sit with me," said {hero}, and {he} gave {friend} half of the {thing}.',
        '{hero} broke the {thing} in half. "Here, {friend}," {he} said. "Eat!"',
    ),
    ask(
        "why",
        "{friend} had nothing to eat",
        "Why was the {thing} cut in two?",
        "Why was there only half a {thing}?",
        "Why did they share?",
    ),
    ask("where", "by the {place}", "Where did they eat?", "Where did they share the {thing}?"),
    say(
        "They ate every crumb of the {thing} and looked out over the {place}.",
        "Side by side they sat by the {place} and ate every crumb of the {thing}.",
        "Soon everyone around the {place} could hear them laugh.",
    ),
    say(
        "Half a {thing} with {friend}, thought {hero}, is more than a whole one alone.",
        "The next day, {friend} came with a {thing}, and {hero} got the bigger half.",
        '"That was the best {thing} in the world," said {friend}, and {hero} thought so too.',
        'The birds got the last of the {thing}. "Good night, {hero}," said {friend}.',
    ),
    thing=FOODS,
)
