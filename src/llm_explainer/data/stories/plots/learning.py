"""Learning to play is hard until somebody sits down with you."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, INSTRUMENTS

LEARNING = plot(
    "learning",
    say(
        "{He} had a {color} {thing}, but {he} could not play it.",
        "{He} wanted to learn to play {his} {color} {thing}.",
        "{His} mother had given {him} a {color} {thing}, but {he} could not play it.",
    ),
    ask(
        "what",
        "a {thing}",
        "What did {hero} want to play?",
        "What was so hard to play?",
        "What did the song come out of?",
    ),
    ask("who", "{hero}", "Who could not play at first?", "Who wanted to play the {thing}?"),
    say(
        "The {thing} squeaked like [an old door|a sick cow].",
        "Out of the {thing} came [a squeak|no sound at all].",
        "{He} tried, but all the birds flew away.",
    ),
    maybe(
        '"I will never learn it," {he} said.',
        "{He} was so sad that {he} sat down and cried.",
        "{He} tried again. It was even worse.",
    ),
    say(
        'By the {place} sat {friend} the {friend_kind}. "[Let me show you|Not so fast]," said '
        "{friend}.",
        '{friend} the {friend_kind} came to the {place} and heard {him}. "I can teach you," said '
        "{friend}.",
        'Just then, {friend} the {friend_kind} came to the {place}. "Let me show you," said '
        "{friend}.",
    ),
    ask(
        "who",
        "{friend}",
        "Who could teach it?",
        "Who helped with the {thing}?",
        "Who knew how to play the {thing}?",
    ),
    say(
        "So every [morning|evening] they met by the {place} to practice.",
        "All summer long they practiced by the {place}.",
        "They went to the {place} each day and practiced [one note|a small song] again and again.",
    ),
    maybe(
        "Some days went well, and some did not.",
        '"Slowly," {friend} would say. "Slowly is fast enough."',
    ),
    say(
        "Then one day {hero} picked up the {thing}, and out came a song.",
        "And then, one morning, the {thing} sang!",
        "When the leaves turned yellow, {hero} could play the {thing} from start to end.",
    ),
    ask(
        "why",
        "{friend} taught {him}",
        "Why did it go well at last?",
        "Why did a song come out at last?",
        "Why was the {thing} good in the end?",
    ),
    ask("where", "by the {place}", "Where did they practice?", "Where did the two meet?"),
    say(
        'Everyone came to listen to the {thing}. "My friend {friend} taught me," said {hero}.',
        "Now, when {hero} plays the {thing}, {friend} dances.",
        "That evening, {hero} played the {thing} for {friend}, and even the moon stopped to "
        "listen.",
        '"You did it," said {friend}. "We did it," said {hero} and hugged the {thing}.',
    ),
    thing=INSTRUMENTS,
    color=COLORS,
)
