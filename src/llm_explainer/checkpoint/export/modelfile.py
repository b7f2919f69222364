"""A ``Modelfile``: what Ollama is told of a model beside its weights.

Its quotes have no way to escape anything: a value ends with its quotes at the end of a line, and
characters that cannot be seen are dropped (``parser/parser.go`` of Ollama). So a chat template is
written with every text in it as a literal of Go's templates, which can spell all characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_explainer.checkpoint.export.turns import Turns
from llm_explainer.errors import CheckpointError

COMPLETES = "{{ .Prompt }}"
"""The template of a model that continues texts."""

_NO_SYSTEM = '{{ slice "no system" 99 }}'
"""What fails in Go, and says why: a template there has no other way to refuse a message."""

_QUOTES = '"""'


def modelfile(
    weights: str, template: str, stops: Sequence[str], parameters: Mapping[str, int | float]
) -> str:
    """Return the content of a ``Modelfile``.

    Args:
        weights: the name of the file beside it.
        template: in Go's language.
        stops: texts that end an answer.
        parameters: Ollama's names of settings, with their values.

    Raises:
        CheckpointError: a text that its quotes cannot hold.
    """
    lines = [f"FROM {_quoted(f'./{weights}')}", f"TEMPLATE {_quoted(template)}"]
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stops]
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    return "\n".join(lines) + "\n"


def go_template(turns: Turns) -> str:
    """Return the words around turns as a template of Go's, which Ollama fills in."""
    unasked = ""
    if turns.unasked:
        is_first = 'and (eq $i 0) (ne $m.Role "system")'
        unasked = f"{{{{- if {is_first} -}}}}{_literal(turns.unasked)}{{{{- end -}}}}"
    cases = [
        f'{{{{- if eq $m.Role "{role}" -}}}}{_turn(turns, role)}{{{{- end -}}}}'
        for role in ("system", "user", "assistant")
    ]
    # A hyphen beside the braces drops the line break there, so that lines can be read.
    lines = ["{{- range $i, $m := .Messages -}}", unasked, *cases, "{{- end -}}"]
    return "\n".join([*filter(None, lines), _literal(turns.answer)])


def _turn(turns: Turns, role: str) -> str:
    if role not in turns.before:
        return _NO_SYSTEM
    before = _literal(turns.before[role])
    if role == "assistant" and turns.leaves_space:
        # What the model wrote begins with its space, and what others have it say may not.
        has_none = 'or (eq $m.Content "") (ne (slice $m.Content 0 1) " ")'
        before = f"{_literal(turns.answer)}{{{{ if {has_none} }}}}{_literal(' ')}{{{{ end }}}}"
    return f"{before}{{{{ $m.Content }}}}{_literal(turns.after[role])}"


def _literal(text: str) -> str:
    """Return what writes a text: a string of Go's, with all but plain letters spelled out."""
    if not text:
        return ""
    spelled = "".join(_spelled(character) for character in text)
    return f'{{{{ "{spelled}" }}}}'


def _spelled(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "\\n"
    if 32 <= code < 127 and character not in '"\\':
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _quoted(text: str) -> str:
    """Return a value in quotes.

    Raises:
        CheckpointError: Ollama would read another one.
    """
    quotes = _QUOTES if '"' in text or "\n" in text else '"'
    for line in text.split("\n")[:-1]:
        if line.rstrip().endswith(_QUOTES):
            raise CheckpointError(f"a Modelfile cannot hold {text!r}: its quotes would end there")
    if not all(character.isprintable() or character in "\n\t" for character in text):
        raise CheckpointError(f"a Modelfile cannot hold {text!r}: what cannot be seen is dropped")
    return f"{quotes}{text}{quotes}"
