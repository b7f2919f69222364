"""Chat templates and conversations for tests, and, run as a program, what transformers renders.

uv run --group peers tests/chat_templates.py > tests/chat_templates.json
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping
from typing import Any

from llm_explainer.tokenizer.chat_template import PLAIN_WORDS

TOKENS = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}

CHATML = """\
{% for message in messages %}
    {%- if loop.first and message['role'] != 'system' -%}
        {{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
    {%- endif -%}
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' -}}
{% endif %}
"""

INSTRUCTIONS = """\
{{ bos_token }}
{%- set ns = namespace(system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {%- set ns.system = message.content | trim %}
        {%- continue %}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + (ns.system + '\\n\\n' if ns.system else '') }}
        {{- message.content + ' [/INST]' }}
        {%- set ns.system = '' %}
    {%- else %}
        {{- ' ' + message.content.strip() + eos_token }}
    {%- endif %}
{%- endfor %}"""

MARKED = """\
{% for message in messages %}
{% if message.role == 'assistant' %}
assistant> {% generation %}{{ message.content }}{% endgeneration %}{{ eos_token }}

{% else %}
{{ message.role }}> {{ message.content | tojson }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}assistant> {% endif %}"""

STRICT = """\
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('turns must go user/assistant/user/assistant') }}
    {%- endif -%}
    {% if message['role'] == 'user' %}Q: {{ message['content'] }}
{% else %}A: {{ message['content'] }}{{ eos_token }}
{% endif %}
{%- endfor -%}
{% if add_generation_prompt %}A: {% endif %}"""

INDENTED = """\
    {% set tone = 'plain' %}
Tone: {{ tone }}
    {% for message in messages %}
        {% if message.role == 'user' %}
  * {{ message.content }}
        {% else %}
  - {{ message.content }}{{ eos_token }}
        {% endif %}
    {% endfor %}
    {% if add_generation_prompt %}
  -{% endif %}
"""

TEMPLATES = {
    "plain words": PLAIN_WORDS,
    "chatml": CHATML,
    "instructions": INSTRUCTIONS,
    "marked": MARKED,
    "strict": STRICT,
    "indented": INDENTED,
}

Turns = list[dict[str, str]]


def turns(*contents: str, system: str | None = None) -> Turns:
    """Return a conversation in which user and assistant take turns."""
    roles = itertools.cycle(("user", "assistant"))
    begin = [] if system is None else [{"role": "system", "content": system}]
    return begin + [{"role": next(roles), "content": content} for content in contents]


CONVERSATIONS = {
    "one turn": turns("Who lost it?", "Pip"),
    "two turns": turns("Hi", "Hello!", "Bye", "See you."),
    "with a system": turns("Who?", "Rosa", system="  Answer with a name.  "),
    "markup": turns("<b>&amp; \"quotes\" 'n' {{ braces }} {% if %}", "a\nb\n\n  c "),
    "unicode": turns("naïve Füchse 🦊?", "« oui »\u2028fin"),
    "unanswered": turns("One?", "1", "Two?"),
    "only a question": turns("Is anybody there?"),
    "a system and a question": turns("Why?", system="Be kind."),
    "only a system": turns(system="Wait."),
    "an empty question": turns("", "What?"),
    "an empty answer": turns("Say nothing.", "", "Thank you."),
    "an empty system": turns("Hi", "Ho", system=""),
    "blanks": turns("   ", "\t", " \n "),
    "line breaks around": turns("\n\nHi\n", "\nHo\n\n"),
    "carriage returns": turns("a\r\nb", "c\rd"),
    "names of special tokens": turns("<|endoftext|><|im_end|>", "<|im_start|>user\n", "</s>"),
    "marks of a template": turns("[INST] no [/INST]", "<|eot_id|>", "<|start_header_id|>"),
    "Jinja's comments": turns("{# not shown? #}", "{%- raw -%}x{% endraw %}", "#}"),
    "braces in a system": turns("a", "b", system="{{ messages }} {{ bos_token }}"),
    "thoughts": turns("2 + 2?", "<think>\nTwo and two.\n</think>\n\n4", "3 + 3?"),
    "only a thought": turns("Hm?", "<think>Nothing.</think>", "And now?"),
    "an open thought": turns("Hm?", "<think>I begin", "Go on."),
    "a closed thought": turns("Hm?", "as I said</think>so", "Go on."),
    "a tool's words": turns("<tool_response>\n7\n</tool_response>", "7", "Why?"),
    "from right to left": turns("שלום עולם", "مرحبا \u202e.txt", "ok"),
    "characters of several": turns("👩‍👩‍👧‍👦 e\u0301 \u00e9", "🇨🇭🏽", "ﬁ Ⅳ"),
    "no characters of print": turns("a\x00b\x1b[0m", "\ufeffc\u200b", "\x7f"),
    "quotes and slashes": turns("\\n \"\\\" 'it''s'", "C:\\new", "`${x}`"),
    "many turns": turns(*(f"{number}?" for number in range(12)), system="Count."),
    "a long turn": turns("word " * 60, "w" * 200, "end"),
}


def render(apply: Any, template: str, messages: Turns, ask: bool) -> str | None:
    """Return what a renderer makes of a conversation, None where it refuses."""
    try:
        return apply(template, messages, ask)  # type: ignore[no-any-return]
    except Exception:
        return None


def rendered(apply: Any) -> dict[str, dict[str, list[str | None]]]:
    """Return all conversations in all templates, without and with a prompt to go on."""
    return {
        name: {
            title: [render(apply, template, messages, ask) for ask in (False, True)]
            for title, messages in CONVERSATIONS.items()
        }
        for name, template in TEMPLATES.items()
    }


def by_transformers(
    template: str, messages: Turns, ask: bool, tokens: Mapping[str, str] = TOKENS
) -> str:
    """Return the text that transformers renders."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, _ = render_jinja_template(
        [messages], chat_template=template, add_generation_prompt=ask, **tokens
    )
    return texts[0]  # type: ignore[no-any-return]


if __name__ == "__main__":
    json.dump(rendered(by_transformers), sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")
