"""Something dear is lost, and two friends look for it."""

from llm_explainer.data.stories.grammar import ask, either, maybe, say, then
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, EMPTY_SPOTS, SPOTS, TOYS

LOST = plot(
    "lost and found",
    say(
        "{He} had {his} {color} {thing} with {him}.",
        "{He} loved {his} {color} {thing} and took it everywhere.",
        "{He} wanted to {use} {his} new {color} {thing}.",
        "With {him} was the best thing that {he} had, a {color} {thing}.",
    ),
    say(
        "But when {he} looked back to the {place}, the {thing} was gone.",
        "{He} put it down by the {place} to [pick flowers|watch the birds], and soon the {thing} "
        "was gone.",
        "{He} fell asleep by the {place}, and when {he} woke up, the {thing} was gone.",
        "{He} played by the {place} all morning, and then the {thing} was gone.",
    ),
    ask(
        "what",
        "a {thing}",
        "What did somebody lose?",
        "What was lost?",
        "What was gone?",
        "What did the two friends look for?",
    ),
    ask(
        "why",
        "the {thing} was gone",
        "Why was {hero} sad?",
        "Why did they look all around?",
        "Why did {hero} want help?",
    ),
    ask("who", "{hero}", "Who lost the {thing}?", "Who lost something?"),
    ask("where", "by the {place}", "Where was the {thing} lost?", "Where was something lost?"),
    maybe(
        '"Oh no!" {he} cried. "Where is my {thing}?"',
        "A tear rolled down {his} nose.",
        "{He} was so [sad|worried] that {he} could not even [eat|sing].",
    ),
    say(
        '{friend} the {friend_kind} heard {him}. "[Do not cry|I will help you]," said {friend}.',
        'Just then, {friend} the {friend_kind} came by. "[I will help you|Let us look together]," '
        "said {friend}.",
        '{He} told {friend} the {friend_kind} about it. "[We will find it|Let us look together]," '
        "said {friend}.",
    ),
    say(
        "The two friends looked all around the {place}.",
        "They looked high and low around the {place}.",
        "Together they walked slowly around the {place}.",
    ),
    maybe(
        "They looked {spot2}, but [found only a snail|found only an old shoe|it was not there].",
        '"Is it {spot2}?" asked {friend}. It was not.',
    ),
    either(
        then(
            say(
                "Then {friend} looked {spot}, and there was the {thing}!",
                '"Here it is!" cried {friend}, and there was the {thing}, {spot}.',
            ),
            ask("who", "{friend}", "Who found the {thing}?", "Who found it?"),
        ),
        then(
            say(
                "Then {hero} looked {spot}, and there was the {thing}!",
                '"Here it is!" cried {hero}, and there was the {thing}, {spot}.',
            ),
            ask("who", "{hero}", "Who found the {thing}?", "Who found it?"),
        ),
    ),
    ask("who", "{friend}", "Who came to help?", "Who helped to look?"),
    ask(
        "where",
        "{spot}",
        "Where did they find the {thing}?",
        "Where was it in the end?",
        "Where was the {thing} found?",
    ),
    say(
        "{hero} hugged {friend} and held the {thing} close all the way home.",
        "That evening, {hero} and {friend} walked home from the {place}, and the {thing} went too.",
        '"Thank you, {friend}," said {hero}, and all day long they shared the {thing}.',
        "That night, {hero} slept well, with the {thing} beside {his} bed.",
        "It is good to find a {thing}, thought {hero}, but a friend like {friend} is better.",
    ),
    thing=TOYS,
    color=COLORS,
    spot=SPOTS,
    spot2=EMPTY_SPOTS,
)
