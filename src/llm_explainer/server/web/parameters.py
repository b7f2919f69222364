"""Every parameter of OpenAI's completions and chats: honoured, or refused by name.

A parameter that were read over would have somebody believe that it did something. Where a refused
one has the value that asks for nothing (``tools: []``, ``presence_penalty: 0``), it is honoured by
doing nothing. docs/serving.md has this table in words; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llm_explainer.server.web.problems import Problem

Endpoint = Literal["completions", "chat"]
BOTH: tuple[Endpoint, ...] = ("completions", "chat")
TEXT: tuple[Endpoint, ...] = ("completions",)
CHAT: tuple[Endpoint, ...] = ("chat",)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a request.

    Args:
        name: as a request has it.
        where: at which addresses OpenAI, or we, have it.
        refused: why it is; None where it is honoured.
        neutral: values beside null that ask for nothing, of one that is refused.
    """

    name: str
    where: tuple[Endpoint, ...]
    refused: str | None = None
    neutral: tuple[Any, ...] = ()


_TOOLS = "these models call no tools"
_LABEL = "nothing is kept of a request"
_ONE_MODEL = "there is one service, and no choice"

PARAMETERS = (
    Parameter("model", BOTH),
    Parameter("prompt", TEXT),
    Parameter("messages", CHAT),
    Parameter("max_tokens", BOTH),
    Parameter("max_completion_tokens", CHAT),
    Parameter("temperature", BOTH),
    Parameter("top_p", BOTH),
    Parameter("top_k", BOTH),
    Parameter("min_p", BOTH),
    Parameter("repetition_penalty", BOTH),
    Parameter("seed", BOTH),
    Parameter("n", BOTH),
    Parameter("stop", BOTH),
    Parameter("stream", BOTH),
    Parameter("stream_options", BOTH),
    Parameter("echo", TEXT),
    Parameter("logprobs", BOTH),
    Parameter("top_logprobs", CHAT),
    Parameter("user", BOTH),
    Parameter("safety_identifier", CHAT),
    Parameter("prompt_cache_key", CHAT),
    Parameter("best_of", TEXT, "all n texts are returned, none is chosen", (1,)),
    Parameter("suffix", TEXT, "a text is continued at its end, not filled in", ("",)),
    Parameter("logit_bias", BOTH, "tokens are chosen by the model's own scores", ({},)),
    Parameter("presence_penalty", BOTH, "repetition_penalty is what there is", (0,)),
    Parameter("frequency_penalty", BOTH, "repetition_penalty is what there is", (0,)),
    Parameter("tools", CHAT, _TOOLS, ([],)),
    Parameter("tool_choice", CHAT, _TOOLS, ("none",)),
    Parameter("parallel_tool_calls", CHAT, _TOOLS, (False,)),
    Parameter("functions", CHAT, _TOOLS, ([],)),
    Parameter("function_call", CHAT, _TOOLS, ("none",)),
    Parameter("web_search_options", CHAT, _TOOLS),
    Parameter("response_format", CHAT, "an answer is text", ({"type": "text"},)),
    Parameter("modalities", CHAT, "an answer is text", (["text"],)),
    Parameter("audio", CHAT, "an answer is text"),
    Parameter("verbosity", CHAT, "a model writes as it has learned"),
    Parameter("reasoning_effort", CHAT, "a model writes as it has learned", ("none",)),
    Parameter("prediction", CHAT, "nothing is gained by a guess"),
    Parameter("store", CHAT, _LABEL, (False,)),
    Parameter("metadata", CHAT, _LABEL, ({},)),
    Parameter("prompt_cache_retention", CHAT, _LABEL),
    Parameter("service_tier", CHAT, _ONE_MODEL, ("auto", "default")),
)
"""All of them, and three that OpenAI lacks: top_k, min_p and repetition_penalty."""


def check_names(values: Mapping[str, Any], endpoint: Endpoint) -> None:
    """Refuse what a request asks for and does not get.

    Raises:
        Problem: names the first such parameter.
    """
    known = {each.name: each for each in PARAMETERS if endpoint in each.where}
    refuse_unknown(values, known)
    for name, value in values.items():
        parameter = known[name]
        if parameter.refused is None or value is None:
            continue
        if not any(_same(value, neutral) for neutral in parameter.neutral):
            raise Problem(
                400,
                f"{name} is not supported: {parameter.refused}; leave it out",
                param=name,
                code="unsupported_parameter",
            )


def refuse_unknown(values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a parameter that nobody knows.

    Raises:
        Problem: names it.
    """
    known = list(known)
    for name in values:
        if name not in known:
            raise Problem(
                400,
                f"there is no parameter {name[:80]!r} here; there are {', '.join(known)}",
                param=name[:80],
                code="unknown_parameter",
            )


def _same(value: Any, neutral: Any) -> bool:
    """Return whether values are equal, and both or neither a truth value: 0 is not false."""
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)
