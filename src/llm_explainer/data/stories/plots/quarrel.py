"""Two friends want the same thing, quarrel, are lonely, and make up."""

from llm_explainer.data.stories.grammar import ask, either, maybe, say, then
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, TOYS

QUARREL = plot(
    "a quarrel",
    say(
        "By the {place} {he} and {his} friend {friend} the {friend_kind} found a {color} {thing}.",
        "By the {place} {he} met {friend} the {friend_kind}, and both saw a {color} {thing}.",
        "{friend} the {friend_kind} came to the {place} to play, and they found a {color} {thing}.",
    ),
    ask(
        "what",
        "a {thing}",
        "What did they find?",
        "What did both of them want?",
        "What did the two see?",
        "What was found?",
    ),
    ask("where", "by the {place}", "Where did they find the {thing}?", "Where did the two shout?"),
    say(
        '"[It is mine|Me first]!" said {hero}. "[No, mine|No, me first]!" said {friend}.',
        "{hero} wanted to have the {thing} first, and so did {friend}.",
        '"I saw it first!" said {friend}. "No, I did!" said {hero}.',
    ),
    say(
        "They pulled and they shouted, until {friend} ran away.",
        "{hero} [stamped and shouted|said an unkind word], and {friend} ran away.",
        '"I will never play with you again!" cried {friend} and ran away.',
    ),
    ask(
        "why",
        "both wanted the {thing}",
        "Why were the two angry?",
        "Why did they shout?",
        "Why did {friend} run away?",
        "Why was {hero} alone?",
    ),
    ask("who", "{friend}", "Who ran away?"),
    ask("who", "{hero}", "Who had the {thing} alone?", "Who was left behind?"),
    say(
        "Now {hero} had the {thing}, but the {place} was so quiet.",
        "{hero} sat by the {place} with the {thing} and felt [lonely|small and sad].",
        "It was no fun to have the {thing} alone, and the {place} was so quiet.",
    ),
    maybe(
        "Both of them were [lonely|sad].",
        "The sun went behind a cloud.",
    ),
    either(
        then(
            say(
                '{hero} went to find {friend}. "I am sorry," {he} said. "You may have it first."',
                '"I was wrong," {hero} said to {friend}. "A friend is more than a {thing}."',
            ),
            ask("who", "{hero}", "Who said sorry?", "Who was sorry first?"),
        ),
        then(
            say(
                'Then {friend} came back. "I am sorry," said {friend}. "I missed you."',
                'Then {friend} came back with [a flower|two plums]. "I am sorry," said {friend}.',
            ),
            ask("who", "{friend}", "Who said sorry?", "Who was sorry first?"),
        ),
    ),
    maybe(
        "They looked at each other and laughed.",
        "And the sun came out again.",
    ),
    say(
        "So {hero} and {friend} took turns with the {thing} until the stars came out.",
        "First {friend} had the {thing}, then {hero}, and it was twice as much fun.",
        "The {thing} belongs to both of them now, to {hero} and to {friend}.",
        "And the {thing}? {hero} and {friend} forgot all about it and played tag.",
    ),
    thing=TOYS,
    color=COLORS,
)
