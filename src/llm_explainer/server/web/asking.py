"""What completions and chats have in common: the model, how to go on, and how many texts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from llm_explainer.generation.sampling_config import SamplingConfig
from llm_explainer.server.requests import Completion, Piece
from llm_explainer.server.served import Served
from llm_explainer.server.web.fields import Fields, refused
from llm_explainer.server.web.parameters import refuse_unknown
from llm_explainer.server.web.problems import Problem

MOST_STOPS = 16
_MOST = 1 << 31


class Choice(Protocol):
    """One of the texts that an answer consists of, in the shape that its client expects."""

    completion: Completion

    def opening(self) -> list[dict[str, Any]]:
        """Return what a stream says of it before its first piece."""

    def add(self, piece: Piece) -> list[dict[str, Any]]:
        """Take the next piece; return what a stream says of it."""

    def whole(self) -> dict[str, Any]:
        """Return what is said of it at once, when all pieces were added."""


@dataclass(frozen=True)
class Asked:
    """A request that is understood.

    Attributes:
        model: the name of the one that is asked.
        choices: the texts that are wanted.
        n_prompt_tokens: of all prompts, each counted once.
        kind: "text_completion" or "chat.completion", and of a stream's ``chunk_kind``.
        stream: whether pieces are sent as they come.
        include_usage: whether a stream ends with the count of tokens.
    """

    model: str
    choices: Sequence[Choice]
    n_prompt_tokens: int
    kind: str
    chunk_kind: str
    prefix: str
    stream: bool = False
    include_usage: bool = False
    created: int = field(default_factory=lambda: int(time.time()))
    id: str = field(default_factory=lambda: secrets.token_hex(12))

    def frame(self, choices: Sequence[dict[str, Any]], *, chunk: bool) -> dict[str, Any]:
        """Return choices with what stands around them."""
        return {
            "id": f"{self.prefix}-{self.id}",
            "object": self.chunk_kind if chunk else self.kind,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
        }

    def usage(self, n_made: int) -> dict[str, int]:
        """Return the count of tokens."""
        n_read = self.n_prompt_tokens
        return {
            "prompt_tokens": n_read,
            "completion_tokens": n_made,
            "total_tokens": n_read + n_made,
        }


def choose_model(fields: Fields, models: Mapping[str, Served], *, required: bool = True) -> Served:
    """Return the model of a request: a name that is looked up and opens nothing.

    Raises:
        Problem: none was named, or one that is not served.
    """
    known = ", ".join(models)
    name = fields.text("model")
    if name is None:
        if required:
            raise Problem(400, f"model is missing; there is {known}", param="model")
        return next(iter(models.values()))
    if name not in models:
        raise Problem(
            404,
            f"there is no model {name[:80]!r}; there is {known}",
            param="model",
            code="model_not_found",
        )
    return models[name]


def read_sampling(fields: Fields, max_tokens: int, stops: Sequence[str] = ()) -> SamplingConfig:
    """Return how a text is to go on, until ``stops`` too; the defaults are OpenAI's.

    Raises:
        Problem, GenerationError: a value that cannot work.
    """
    seed = fields.whole("seed", 0, (1 << 63) - 1)
    temperature = fields.number("temperature", 0, 2)
    penalty = fields.number("repetition_penalty", 0, 10)
    return SamplingConfig(
        temperature=1.0 if temperature is None else temperature,
        top_p=fields.number("top_p", 0, 1),
        top_k=fields.whole("top_k", 1, _MOST),
        min_p=fields.number("min_p", 0, 1),
        repetition_penalty=1.0 if penalty is None else penalty,
        seed=any_seed() if seed is None else seed,
        max_tokens=max_tokens,
        stop=(*fields.texts("stop", MOST_STOPS), *stops),
    )


def any_seed() -> int:
    """Return the seed of a request that has none."""
    return secrets.randbits(53)


def check_labels(fields: Fields) -> None:
    """Refuse names for who asks that are no texts; they change nothing.

    Raises:
        Problem: names it.
    """
    for name in ("user", "safety_identifier", "prompt_cache_key"):
        fields.text(name)


def read_max_tokens(fields: Fields, name: str, low: int) -> int | None:
    """Return how many tokens may be added; a text ends where its model's context does anyway."""
    return fields.whole(name, low, _MOST)


def read_stream(fields: Fields) -> tuple[bool, bool]:
    """Return whether to stream, and whether that ends with the count of tokens.

    Raises:
        Problem: options without a stream, or unknown ones.
    """
    stream, options = fields.flag("stream"), fields.get("stream_options")
    if options is None:
        return stream, False
    if not isinstance(options, dict):
        raise refused("stream_options", options, "an object")
    if not stream:
        raise Problem(400, "stream_options goes with stream: true", param="stream_options")
    refuse_unknown(options, ("include_usage", "include_obfuscation"))
    inner = Fields(options)
    if inner.flag("include_obfuscation"):
        raise Problem(
            400,
            "include_obfuscation is not supported: a chunk is as long as its text; leave it out",
            param="stream_options",
            code="unsupported_parameter",
        )
    return stream, inner.flag("include_usage")
