"""The prompts of a request: a text, ids, or a list of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_explainer.errors import TokenizerError
from llm_explainer.generation.prompts import starting_id, with_prefix
from llm_explainer.server.served import Served
from llm_explainer.server.web.fields import refused
from llm_explainer.server.web.problems import Problem

TAKES = "a text, a list of token ids, or a list of these"


@dataclass(frozen=True)
class Prompt:
    """What a text starts from.

    Attributes:
        ids: what the model reads.
        text: as it was sent; None where ids were.
        n_before: how many of the ids stand for no text that was sent, but for its beginning.
    """

    ids: tuple[int, ...]
    text: str | None = None
    n_before: int = 0


def read_prompts(value: Any, served: Served) -> list[Prompt]:
    """Return the prompts of a request.

    Raises:
        Problem: no prompt, an id that there isn't, or more of them than the model's context.
    """
    if isinstance(value, str) or _is_ids(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise refused("prompt", value, TAKES)
    return [_read(each, served) for each in value]


def _read(value: Any, served: Served) -> Prompt:
    if isinstance(value, str):
        return text_prompt(value, served)
    if not _is_ids(value):
        raise refused("prompt", value, TAKES)
    check_ids(value, served, "prompt")
    return _fitting(Prompt(tuple(value)), served)


def text_prompt(text: str, served: Served, param: str = "prompt") -> Prompt:
    """Return a text as a prompt; special tokens in it are those tokens.

    Raises:
        Problem: a text that the tokenizer lacks, or that is longer than the model's context.
    """
    own = encode(text, served, param)
    ids = with_prefix(served.tokenizer, own) or [starting_id(served.tokenizer)]
    return _fitting(Prompt(tuple(ids), text, len(ids) - len(own)), served, param)


def encode(text: str, served: Served, param: str) -> list[int]:
    """Return the ids of a text.

    Raises:
        Problem: one that the tokenizer lacks.
    """
    try:
        return served.tokenizer.encode(text)
    except TokenizerError as error:
        raise Problem(400, str(error), param=param, code="invalid_value") from None


def check_ids(ids: Sequence[int], served: Served, param: str) -> None:
    """Refuse an id that the model does not know.

    Raises:
        Problem: names it.
    """
    for token in ids:
        if not 0 <= token < served.vocab_size:
            raise Problem(
                400,
                f"{param} has the token id {token}; this model knows 0 to {served.vocab_size - 1}",
                param=param,
                code="invalid_value",
            )


def _fitting(prompt: Prompt, served: Served, param: str = "prompt") -> Prompt:
    if len(prompt.ids) > served.context_length:
        raise Problem(
            400,
            f"{param} has {len(prompt.ids)} tokens, and the model's context is "
            f"{served.context_length}; shorten it",
            param=param,
            code="context_length_exceeded",
        )
    return prompt


def _is_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(token, int) and not isinstance(token, bool) for token in value)
    )
