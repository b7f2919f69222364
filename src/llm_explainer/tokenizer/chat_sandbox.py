"""Where chat templates run: Jinja's immutable sandbox, set up as transformers sets it up.

The settings, functions and filters are those of ``chat_template_utils.py`` there. Only
``chat_template`` imports this module, when there is a conversation: jinja2 is an extra.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MARK = "_mark_generation"
"""What the sandbox's tag calls with the text that stands in it."""

MOST_STEPS = 1_000_000
"""Of loops over ``range``, in one rendering; a conversation's template has use for hardly any."""


class GenerationTag(Extension):
    """``{% generation %}...{% endgeneration %}`` stands around what the assistant wrote."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja's own extensions have it

    def parse(self, parser: Any) -> nodes.Node:
        """Read one block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_marked", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _marked(self, context: Context, caller: Callable[[], str]) -> str:
        text = caller()
        context[MARK](text)
        return text


def make_sandbox() -> ImmutableSandboxedEnvironment:
    """Return the sandbox that templates are compiled for."""
    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    sandbox.filters["tojson"] = _tojson
    sandbox.globals["raise_exception"] = _raise_exception
    sandbox.globals["strftime_now"] = _strftime_now
    return sandbox


def bounded_range() -> Callable[..., range]:
    """Return ``range`` for one rendering, which has an end even where loops stand in loops."""
    left = MOST_STEPS

    def count(*bounds: int) -> range:
        nonlocal left
        steps = range(*bounds)
        left -= len(steps) + 1
        if left < 0:
            raise jinja2.TemplateError(f"more than {MOST_STEPS:,} steps of loops over numbers")
        return steps

    return count


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON as it is; Jinja's own filter would escape it for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
