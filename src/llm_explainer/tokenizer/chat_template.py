"""Chat templates: the program that makes one text of a conversation, as transformers has it.

A template belongs to a tokenizer and is stored with it. It is written in Jinja, and comes from
strangers, so it runs in Jinja's immutable sandbox, with the settings and the few functions that
transformers gives it; the text is the same to the letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_explainer.errors import TokenizerError
from llm_explainer.program import extra
from llm_explainer.tokenizer.base import END_OF_TEXT

if TYPE_CHECKING:
    import jinja2

Messages = Sequence[Mapping[str, str]]
"""Turns of a conversation, each with a ``role`` and a ``content``."""

Span = tuple[int, int]
"""Where a stretch of a text begins, and where it ends."""

MOST_CHARACTERS = 1 << 24
"""Of a conversation's text; no context holds so much, and a template from strangers may not end."""

PLAIN_WORDS = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}
{{ 'User: ' + message['content'] + '\\n' }}
{%- elif message['role'] == 'assistant' -%}
{{ 'Assistant: ' + message['content'] + eos_token }}
{%- else -%}
{{ raise_exception('the role is ' + message['role'] + '; it takes system, user or assistant') }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ 'Assistant:' }}
{%- endif -%}"""
"""The template of tokenizers that came without one: roles are plain words.

Tokens of their own for the roles would be shorter, but a base that was pre-trained on plain text
has never seen them: their embeddings would have to be learned from the records alone, which LoRA,
that leaves embeddings as they are, cannot do. Words it has seen, and ``<|endoftext|>``, which ends
a turn, as well. The space before an answer is the answer's: ``" Pip"`` is what stands in texts.
"""


WORD_FOR_WORD = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}
{{ message['content'] }}
{%- elif message['role'] == 'assistant' -%}
{{ ' ' + message['content'] + eos_token }}
{%- else -%}
{{ raise_exception('the role is ' + message['role'] + '; it takes system, user or assistant') }}
{%- endif -%}
{%- endfor -%}"""
"""The template of models that learned questions about stories, which name no roles: the story, two
line breaks, a question, its answer, and at once the next question."""


@dataclass(frozen=True)
class ChatTemplate:
    """A template, and the names of the special tokens that it may write.

    Args:
        source: the program, in Jinja
        tokens: what it knows as ``bos_token``, ``eos_token`` and so on
    """

    source: str = PLAIN_WORDS
    tokens: Mapping[str, str] = field(
        default_factory=lambda: {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    )

    def render(self, messages: Messages, *, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation.

        Args:
            messages: the turns
            add_generation_prompt: whether the text ends where the assistant is to go on

        Raises:
            TokenizerError: what the template says is wrong with the conversation; a template that
                fails, or does what the sandbox forbids; no jinja2.
        """
        return self.render_with_spans(messages, add_generation_prompt=add_generation_prompt)[0]

    def render_with_spans(
        self, messages: Messages, *, add_generation_prompt: bool = False
    ) -> tuple[str, list[Span]]:
        """Return the text, and what of it stands between ``{% generation %}`` marks.

        Raises:
            TokenizerError: as ``render``.
        """
        program = _compiled(self.source)
        from llm_explainer.tokenizer.chat_sandbox import (  # there is jinja2, then
            MARK,
            bounded,
        )

        written: list[str] = []
        marked: list[tuple[int, str]] = []

        def mark(text: str) -> None:
            marked.append((sum(map(len, written)), text))

        values = {
            **self.tokens,
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            MARK: mark,
        }
        room = MOST_CHARACTERS
        try:
            with bounded():
                for part in program.generate(values):
                    written.append(part)
                    room -= len(part)
                    if room < 0:
                        raise TokenizerError(f"a text of more than {MOST_CHARACTERS:,} characters")
        except Exception as error:  # the template is a program: it can fail in any way
            reason = " ".join(str(error).split()) or type(error).__name__
            raise TokenizerError(f"the chat template refuses or fails: {reason}") from None
        text = "".join(written)
        if not all(text.startswith(part, start) for start, part in marked):
            raise TokenizerError("the chat template moves what it marks with {% generation %}")
        return text, [(start, start + len(part)) for start, part in marked]


@lru_cache(maxsize=8)
def _compiled(source: str) -> jinja2.Template:
    """Return the program of a template.

    Raises:
        TokenizerError: it is no Jinja; no jinja2.
    """
    try:
        from llm_explainer.tokenizer.chat_sandbox import Sandbox
    except ImportError:
        raise TokenizerError(
            f"a conversation takes jinja2, which is not installed; {extra('chat')} brings it"
        ) from None
    try:
        return Sandbox().from_string(source)
    except Exception as error:  # beside syntax errors, recursion and whatever a parser trips over
        reason = " ".join(str(error).split())
        raise TokenizerError(f"the chat template cannot be read as Jinja: {reason}") from None
