"""Chat templates that would eat memory or time: each is refused before it does."""

from __future__ import annotations

import pytest
from chat_templates import CHATML, TOKENS, turns

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import chat_limits
from llm_explainer.tokenizer.chat_limits import MOST_LENGTH
from llm_explainer.tokenizer.chat_template import ChatTemplate

FEW = 20_000  # steps, so that the tests take few
STEPS, LONG = f"more than {FEW:,} steps", f"more than {MOST_LENGTH:,} characters or items"
BYTES, BITS = "values of more than 268,435,456 bytes", "a number of more than 4,096 bits"
WIDE, WIDTH = "to more than 10,000", "a width too large"
GROW = "{% set ns = namespace(x='ab', y=[1], z=(1,)) %}{% for i in range(40) %}STEP{% endfor %}"
NEST = GROW.replace("STEP", "{% set ns.y = [ns.y, ns.y] %}{% set ns.z = (ns.z, ns.z) %}")
MANY = "{% for i in range(900000) %}STEP{% endfor %}"
# Where 4,000,000 stands, what would be made fits no memory: a check that came later would not do.
LETTERS = "{% set x = 'a' * 4000000 %}"
NASTY = {
    "doubled by ~": (GROW.replace("STEP", "{% set ns.x = ns.x ~ ns.x %}"), LONG),
    "doubled by +": (GROW.replace("STEP", "{% set ns.x = ns.x + ns.x %}"), LONG),
    "doubled by a block": (
        GROW.replace("STEP", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        LONG,
    ),
    "a list doubled": (GROW.replace("STEP", "{% set ns.y = ns.y + ns.y %}"), BYTES),
    "a text times": ("{{ 'a' * 10 ** 12 }}", LONG),
    "a list times": ("{% set x = 10 ** 12 * [1] %}", LONG),
    "a number squared": (
        GROW.replace("STEP", "{% set ns.x = 3 if i == 0 else ns.x * ns.x %}"),
        BITS,
    ),
    "a power": ("{% set x = 7 ** 1000000000 %}", BITS),
    "a percent's width": ("{{ '%999999999d' % 3 }}", WIDTH),
    "a percent's star": ("{{ '%*d' % (999999999, 3) }}", WIDTH),
    "a filter's width": ("{{ '%999999999d'|format(3) }}", WIDTH),
    "a format's width": ("{{ '{:999999999}'.format(3) }}", WIDTH),
    "a width from a text": ("{{ '{:{w}}'.format(3, w='999999999') }}", WIDTH),
    "a place often": ("{{ ('{0}' * 90000).format('a' * 90000) }}", LONG),
    "a dictionary's place": ("{{ ('{a}' * 99).format_map({'a': 'a' * 90000}) }}", LONG),
    "replaced by a filter": ("{{ ('a' * 4000000)|replace('a', 'b' * 4000000) }}", LONG),
    "replaced by a method": ("{{ ('a' * 4000000).replace('', 'b' * 4000000) }}", LONG),
    "joined by a filter": ("{{ range(90000)|join('a' * 4000000) }}", LONG),
    "joined as they come": ("{{ range(90000)|map('string')|join('a' * 4000000) }}", LONG),
    "joined by a method": ("{{ ('a' * 4000000).join('b' * 90000) }}", LONG),
    "adjusted": ("{{ 'a'.ljust(999999999) }}", WIDE),
    "centred": ("{{ 'a'|center(999999999) }}", WIDE),
    "indented": ("{{ ('a\n' * 90000)|indent(9999) }}", LONG),
    "wrapped": ("{{ ('a ' * 9000)|wordwrap(1, wrapstring='b' * 9999) }}", LONG),
    "in batches": ("{{ [1]|batch(999999999, 'x')|list }}", WIDE),
    "in slices": ("{{ [1]|slice(999999999)|list }}", WIDE),
    "rounded": ("{{ 1.5|round(999999999, 'floor') }}", WIDE),
    "JSON indented": ("{{ [1]|tojson(indent=999999999) }}", LONG),
    "other letters": ("{{ 'a'.translate({97: 'b'}) }}", "unsafe"),
    "tabs": ("{{ '\t'.expandtabs(999999999) }}", "unsafe"),
    "nested, written": (NEST + "{{ ns.y }}", STEPS),
    "nested, put together": (NEST + "{% set x = ns.y ~ 'a' %}", STEPS),
    "nested, as JSON": (NEST + "{{ ns.y|tojson }}", STEPS),
    "nested, compared": (NEST + "{{ ns.y == [ns.y] }}", STEPS),
    "nested, tested": (NEST + "{{ [1] is eq(ns.y) }}", STEPS),
    "nested, found": (NEST + "{{ [[1]].index(ns.y) }}", STEPS),
    "nested, changed": (
        NEST + "{% for x in [1, 2] %}{{ loop.changed(ns.y) }}{% endfor %}",
        STEPS,
    ),
    "nested, filled in": (NEST + "{{ '%s' % ns.y }}", STEPS),
    "nested, replaced": (NEST + "{{ 'a'|replace('a', ns.y) }}", STEPS),
    "nested, as a key": (NEST + "{% set x = {ns.z: 1} %}", STEPS),
    "nested, looked up": (NEST + "{{ {}[ns.z] }}{{ {}.get(ns.z) }}", STEPS),
    "nested, raised": (NEST + "{{ raise_exception(ns.y) }}", STEPS),
    "a namespace": ("{% set x = namespace() %}{{ [x] }}", "a namespace is no text"),
    "letters in loops": (
        "{% for a in 'a' * 9000 %}{% for b in 'a' * 9000 %}{% endfor %}{% endfor %}",
        STEPS,
    ),
    "a loop that calls itself": (
        "{% for a in ['a' * 9000] * 9000 recursive %}{{ loop(a) if a|length > 1 }}{% endfor %}",
        STEPS,
    ),
    "much in a loop": (MANY.replace("STEP", "a" * 90 + "{% if i %}{% endif %}" * 20), STEPS),
    "letters in a loop": ("{% set x %}" + MANY.replace("STEP", "a" * 9000) + "{% endset %}", BYTES),
    "parts": (LETTERS + MANY.replace("STEP", "{% set y = x[1:] %}"), BYTES),
    "counted": (LETTERS + MANY.replace("STEP", "{{ x.count('b') or '' }}"), STEPS),
    "looked through": (LETTERS + MANY.replace("STEP", "{{ '' if 'b' in x }}"), STEPS),
    "titles": (LETTERS + "{{ x|title|title }}", STEPS),
    "many numbers": ("{% set x = range(10 ** 9) %}", STEPS),
    "many words": ("{{ lipsum(100000) }}", "'lipsum' is undefined"),
}


@pytest.mark.parametrize("name", NASTY)
def test_what_would_take_too_much_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, message = NASTY[name]
    if message == STEPS:
        monkeypatch.setattr(chat_limits, "MOST_STEPS", FEW)
    with pytest.raises(TokenizerError) as caught:
        ChatTemplate(source).render(turns("Hi"))
    assert message in str(caught.value)


def test_a_long_conversation_is_far_from_every_limit() -> None:
    said = ["x" * 500] * 2000
    text = ChatTemplate(CHATML, TOKENS).render(turns(*said))
    assert text.count("x") == 1_000_000
    gathers = (
        "{% set ns = namespace(text='') %}{% for message in messages %}"
        "{% set ns.text = ns.text ~ message.content|trim %}"
        "{% if loop.index == messages|length %}{{ ns.text }}{% endif %}{% endfor %}"
    )
    assert ChatTemplate(gathers).render(turns(*said[:700])) == "x" * 350_000
    assert ChatTemplate("{{ messages[0].content|trim|length }}").render(turns("x" * 10**6))


def test_loops_know_their_lengths_as_in_jinja() -> None:
    source = (
        "{% for x in 'abc' %}{{ x }}{{ loop.index }}{{ loop.length }}{{ loop.last }}"
        "{{ loop.nextitem }}{% else %}none{% endfor %}{% for x in [] %}{% else %}none{% endfor %}"
    )
    assert ChatTemplate(source).render([]) == "a13Falseb" + "b23Falsec" + "c33True" + "none"
