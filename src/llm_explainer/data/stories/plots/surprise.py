"""A birthday that everyone seems to have forgotten."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, TOYS

SURPRISE = plot(
    "a surprise",
    say(
        "It was {his} birthday.",
        '"Today is my birthday," {he} said to the [sun|birds|wind].',
        "{He} had counted the days, for it was {his} birthday.",
    ),
    say(
        "But nobody by the {place} said a word.",
        "But by the {place} there was no cake and no song.",
        "But everyone by the {place} had forgotten it.",
    ),
    ask("who", "{hero}", "Who had a birthday?", "Who was sad?"),
    say(
        "Even {his} friend {friend} the {friend_kind} [ran by|only waved].",
        '{He} met {friend} the {friend_kind}. "I have no time today," said {friend}.',
        "{friend} the {friend_kind} came by with a [big box|secret] and ran away.",
    ),
    maybe(
        '"They forgot me," {hero} whispered.',
        "{hero} sat down in the shade and sighed.",
        "The sun went behind a cloud.",
    ),
    say(
        'In the evening {friend} came back. "Come with me to the {place}," said {friend}.',
        "Then {hero} found a note: come to the {place}. It was from {friend}.",
        "When the sun went down, {friend} took {hero} to the {place}.",
    ),
    say(
        "[Lamps|Stars] shone in the trees, and everyone sang.",
        '"Surprise!" called everyone.',
        "There was a big cake, and everyone sang.",
    ),
    say(
        "{friend} gave {hero} a {color} {thing} with a bow on it.",
        'Then {friend} opened a box. "A {color} {thing}!" cried {hero}.',
        "And the best of it all was from {friend}: a {color} {thing}.",
    ),
    ask(
        "what",
        "a {thing}",
        "What did {hero} get?",
        "What was the best of the birthday?",
        "What was the best of it all?",
    ),
    ask("who", "{friend}", "Who had not forgotten the birthday?", "Who came with the {thing}?"),
    ask("who", "{hero}", "Who got the {thing}?"),
    ask(
        "why",
        "{friend} gave {him} a {thing}",
        "Why was it a good birthday?",
        "Why did the day end well?",
        "Why was nobody sad in the end?",
    ),
    ask("where", "by the {place}", "Where did everyone sing?", "Where did they go in the evening?"),
    say(
        '"You did not forget," said {hero} to {friend} and held the {thing} tight.',
        "{hero} wanted to try the {thing} at once, and so did {friend}.",
        "{hero} took the {thing} to bed that night and thought of {friend} and smiled.",
        "They danced until the stars came out, {hero} and {friend} and the {thing}.",
    ),
    thing=TOYS,
    color=COLORS,
)
