"""A storm comes up, one of two friends is afraid, and what the other brought is room for both."""

from llm_explainer.data.stories.grammar import ask, maybe, say
from llm_explainer.data.stories.plots.common import plot
from llm_explainer.data.stories.world import COLORS, COVERS

STORM = plot(
    "a storm",
    say(
        "{He} had packed a {color} {thing}, just in case.",
        "On {his} back {he} carried a {color} {thing}.",
        "{His} mother had given {him} a {color} {thing}, just in case.",
    ),
    say(
        "{friend} the {friend_kind} came to the {place} to play with {him}.",
        "{friend} the {friend_kind} came along, and they played [tag|in the sun] by the {place}.",
        "By the {place} {he} met {friend} the {friend_kind}, and they [told jokes|played tag].",
    ),
    say(
        "Soon dark clouds rolled over the {place}, and down came the rain.",
        "But a storm was coming to the {place}. Boom, went the thunder!",
        "Then the wind howled around the {place}, and the rain fell.",
        "All at once the sky over the {place} turned black. Boom, went the thunder!",
    ),
    say(
        '"I am afraid of the [thunder|storm]," said {friend}.',
        "{friend} hid in the grass, afraid of the [thunder|storm].",
        '"I want to go home," said {friend} in a small voice.',
    ),
    ask("who", "{friend}", "Who was afraid?", "Who was afraid of the storm?", "Who came to play?"),
    ask(
        "where",
        "by the {place}",
        "Where was the storm?",
        "Where did the rain fall?",
        "Where did they play?",
    ),
    say(
        '"Come under my {thing}," said {hero}. "There is room for two."',
        "{hero} held the {thing} over {friend}, and not a drop came in.",
        'Quickly {hero} put up the {thing}. "In here!" {he} called to {friend}.',
    ),
    ask(
        "what",
        "the {thing}",
        "What kept the friends dry?",
        "What did one of them have?",
        "What did they sit under?",
    ),
    ask("who", "{hero}", "Who had the {thing}?", "Who was not afraid?", "Who kept the other dry?"),
    ask(
        "why",
        "{hero} had the {thing}",
        "Why were the two not afraid any more?",
        "Why did they stay dry?",
        "Why was there room for two?",
    ),
    maybe(
        "They counted [slowly|out loud] from each flash to each boom.",
        "{hero} sang an old song, and soon {friend} sang along.",
        "There they sat, warm and close, and told jokes.",
    ),
    say(
        "Then a rainbow stood over the {place}.",
        "At last the {place} shone in the sun again.",
        "At last it was quiet again by the {place}.",
    ),
    say(
        '"Storms are small when there are two of us," said {friend} and folded the {thing}.',
        "{hero} and {friend} hung the {thing} up to dry and jumped in every puddle.",
        '"Next time I will bring the {thing}," said {friend}.',
        "Now, when it thunders, {friend} thinks of {hero} and the {thing} and smiles.",
    ),
    thing=COVERS,
    color=COLORS,
)
