"""Chat templates that put words around turns and do nothing else: those can be said elsewhere.

A template is a program, and no other software runs Jinja as transformers does. But many are as
simple as that, ChatML and our own among them. What they write is found by letting them write, and
a template that does anything more, in conversations of several shapes, is refused. Some take no
system message, and some drop the spaces around a turn: both is said, because it isn't the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm_explainer.errors import CheckpointError, TokenizerError
from llm_explainer.tokenizer.chat_template import ChatTemplate

Talk = list[dict[str, str]]

_MARKS = ("Wq1z", "Xj2v", "Yk3w", "Zh4u", "Vg5t")  # what no template writes of its own
_TRIED = ("Hi", " two  words \n", "<b>& 'x' \"y\" {{ z }}</b>", "3 < 4\n\n\ttab", "")
_ROLES = {"s": "system", "u": "user", "a": "assistant"}
_NEEDED = ("u", "uau", "uauau")  # conversations that every template has to take
_MORE = ("su", "suau", "uaua", "suaua")  # it may refuse these, as strict ones do


@dataclass(frozen=True)
class Turns:
    """The words around the turns of a conversation."""

    unasked: str  # goes first where the first turn is no system's: perhaps one of the template's
    before: dict[str, str]  # role: what its turn begins with; no system, if none is taken
    after: dict[str, str]
    answer: str  # where the model is to go on
    trimmed: tuple[str, ...]  # roles whose turns lose the spaces around them

    @property
    def takes_system(self) -> bool:
        """Whether a conversation may begin with a system message."""
        return "system" in self.before

    @property
    def leaves_space(self) -> bool:
        """Whether the space before an answer is the model's to write, so that it may be in it."""
        return self.before["assistant"] == f"{self.answer} "

    def render(self, talk: Talk) -> str:
        """Return the text of a conversation up to where the model is to go on."""
        text = "" if talk[0]["role"] == "system" else self.unasked
        for turn in talk:
            role, content = turn["role"], turn["content"]
            content = content.strip() if role in self.trimmed else content
            text += self.before[role] + content + self.after[role]
        return text + self.answer


def turns_of(template: ChatTemplate) -> Turns:
    """Return the words that a template puts around turns.

    Raises:
        CheckpointError: it does more than that; says for which conversation.
    """
    turns = _found(template)
    for content in _TRIED:
        for roles in (*_NEEDED, *(roles for roles in _MORE if _takes(template, roles))):
            talk = [{"role": _ROLES[role], "content": content} for role in roles]
            if _render(template, talk, True) != turns.render(talk):
                raise _NotPlainError(f"it changes {content!r}, or the words around it")
    return turns


def _found(template: ChatTemplate) -> Turns:
    """Return the words around turns, as small conversations show them."""
    user, answered, again = (_render(template, _marked(r)) for r in ("u", "ua", "uau"))
    [head, after_user] = _around(user, 1)
    [_, gap, after_assistant] = _around(answered, 2)
    [_, _, second_gap, _] = _around(again, 3)
    before_user = _rest(second_gap, after_assistant, "")
    before = {"user": before_user, "assistant": _rest(gap, after_user, "")}
    after = {"user": after_user, "assistant": after_assistant}
    if _takes(template, "su"):
        [before["system"], told_gap, _] = _around(_render(template, _marked("su")), 2)
        after["system"] = _rest(told_gap, "", before_user)
    return Turns(
        unasked=_rest(head, "", before_user),
        before=before,
        after=after,
        answer=_rest(_render(template, _marked("u"), True), user, ""),
        trimmed=tuple(role for role in before if _trims(template, role)),
    )


def _takes(template: ChatTemplate, roles: str) -> bool:
    """Return whether a template takes a conversation in which these have their turns."""
    try:
        template.render(_marked(roles), add_generation_prompt=True)
    except TokenizerError:
        return False
    return True


def _trims(template: ChatTemplate, role: str) -> bool:
    """Return whether the spaces around a turn's text are dropped."""
    talk = _marked({"system": "su", "user": "u", "assistant": "ua"}[role])
    spaced = [
        {**turn, "content": f" \n{turn['content']}\n "} if turn["role"] == role else turn
        for turn in talk
    ]
    return _render(template, spaced) == _render(template, talk)


def _marked(roles: str) -> Talk:
    return [
        {"role": _ROLES[role], "content": mark} for role, mark in zip(roles, _MARKS, strict=False)
    ]


def _around(text: str, n_marks: int) -> list[str]:
    """Return what stands before, between and behind the marks."""
    pieces = re.split("|".join(_MARKS), text)
    if len(pieces) != n_marks + 1:
        raise _NotPlainError("it leaves out a turn, or writes one twice")
    return pieces


def _rest(text: str, start: str, end: str) -> str:
    """Return a text without its start and its end, which it must have."""
    if not (text.startswith(start) and text.endswith(end) and len(text) >= len(start + end)):
        raise _NotPlainError("the words around a turn depend on the turns beside it")
    return text[len(start) : len(text) - len(end)]


def _render(template: ChatTemplate, talk: Talk, asks: bool = False) -> str:
    try:
        return template.render(talk, add_generation_prompt=asks)
    except TokenizerError as error:
        raise _NotPlainError(str(error)) from None


class _NotPlainError(CheckpointError):
    """A chat template that does more than put words around turns."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the chat template does more than put words around turns ({reason}), which Ollama's "
            "templates cannot say; take --to gguf, which keeps it as it is"
        )
