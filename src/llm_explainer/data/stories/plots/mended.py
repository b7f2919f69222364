"""A borrowed thing breaks; telling the truth is hard, mending it is easier."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import BREAKABLE, COLORS, FIXES

MENDED = plot(
    "broken and mended",
    say(
        "{friend} the {friend_kind} had lent {him} a {color} {thing}.",
        "{He} had a {color} {thing} that belonged to {friend} the {friend_kind}.",
        '"You may {use} my {color} {thing}," {friend} the {friend_kind} had told {him}.',
    ),
    ask("who", "{friend}", "Who did the {thing} belong to?", "Who had lent the {thing}?"),
    say(
        "But {he} ran too fast by the {place} and fell, and the {thing} broke.",
        "By the {place} {he} fell over a [root|stone]. Crack! The {thing} was broken.",
        "But by the {place} {he} dropped it, and the {thing} broke in two.",
    ),
    ask("what", "a {thing}", "What broke?", "What was broken?", "What did they mend?"),
    ask(
        "why",
        "the {thing} was broken",
        "Why was {hero} worried?",
        "Why did {hero} want to hide?",
        "Why did {hero} go to {friend}?",
    ),
    ask("who", "{hero}", "Who broke the {thing}?", "Who was worried?", "Who told the truth?"),
    ask("where", "by the {place}", "Where did the {thing} break?", "Where was the {thing} broken?"),
    maybe(
        "What would {friend} say?",
        '"Oh no," {he} whispered.',
    ),
    say(
        "{He} wanted to hide the {thing} by the {place}, but that did not feel right.",
        "First {he} wanted to run away from the {place} and never come back.",
        "For a long time {he} walked up and down around the {place}.",
    ),
    say(
        "Then {he} went to {friend} and told the truth.",
        'Then {he} took a deep breath. "I broke your {thing}," {he} told {friend}.',
        '"I broke it," {he} told {friend} at last.',
    ),
    maybe(
        '"Thank you for telling me," said {friend}.',
        '"It can be mended," said {friend} and was not angry at all.',
        '"I am sad, but not angry," said {friend}.',
    ),
    say(
        "They found some {fix} and mended the {thing} together.",
        "With a bit of {fix} they put the {thing} together again.",
        "Side by side they mended the {thing} with {fix}.",
    ),
    ask("what", "{fix}", "What did they mend it with?", "What was the {thing} mended with?"),
    say(
        "When {friend} looks at the {thing} now, there is always a smile for {hero}.",
        'Now the {thing} was as good as new. "Better," said {friend}, "for we made it, {hero}."',
        "You can still see the crack, but {hero} and {friend} love the {thing} all the more.",
        "That night, {hero} slept well. A {thing} can break, but a friend like {friend} stays.",
    ),
    thing=BREAKABLE,
    color=COLORS,
    fix=FIXES,
)
