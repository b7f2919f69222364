"""What is asked of the engine, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from llm_explainer.errors import GenerationError, LLMExplainerError
from llm_explainer.generation.sampling_config import SamplingConfig

FinishReason = Literal["stop", "length"]
"""Why a text ended: by itself or at a stop string; or at ``max_tokens`` or the context's end."""

MOST_ALTERNATIVES = 20


class QueueFull(LLMExplainerError):  # noqa: N818 - says what happened
    """As many requests wait as may."""


class EngineClosed(LLMExplainerError):  # noqa: N818 - says what happened
    """The engine takes no more requests, or stopped before it came to the end of this one."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A text that is to be continued, or scored.

    Attributes:
        prompt_ids: what it starts from, one id or more.
        sampling: how to go on, for how long (``max_tokens``), until what (``stop``). ``heal`` has
            no meaning for ids, and ``windowed`` is refused.
        index: which of the seed's texts it is: n texts of one prompt have n indices.
        logprobs: None for none; else for every token how likely it was, and so many alternatives.
        echo: whether the prompt comes back too, before the new text. With ``logprobs`` its tokens
            are scored, and with 0 ``max_tokens`` that is all.

    Raises:
        GenerationError: a value that cannot work.
    """

    prompt_ids: tuple[int, ...]
    sampling: SamplingConfig
    index: int = 0
    logprobs: int | None = None
    echo: bool = False

    def __post_init__(self) -> None:
        """Check what the settings of sampling have not checked."""
        if not self.prompt_ids:
            raise GenerationError("the prompt is empty; it takes one id or more")
        if self.sampling.windowed:
            raise GenerationError("windowed is True; a served text ends where its context does")
        if self.logprobs is not None and not 0 <= self.logprobs <= MOST_ALTERNATIVES:
            raise GenerationError(
                f"logprobs is {self.logprobs}; it takes a number from 0 to {MOST_ALTERNATIVES}"
            )


class TokenScore(NamedTuple):
    """How likely a token was, by the model itself, before any setting of sampling.

    Attributes:
        token: its id.
        logprob: the logarithm of its probability; None for the first token of a prompt.
        top: the likeliest ids at its place and the logarithms of theirs, likeliest first.
    """

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


class Piece(NamedTuple):
    """A piece of a text: whole characters that no stop string will take back.

    Attributes:
        text: may be empty in the last piece.
        ids: the tokens that came since the last piece, with those of a stop string.
        logprobs: their scores, where they were asked for.
        finish_reason: why the text ends here; None while it goes on.
        is_prompt: whether this is the prompt, echoed.
    """

    text: str
    ids: tuple[int, ...] = ()
    logprobs: tuple[TokenScore, ...] = ()
    finish_reason: FinishReason | None = None
    is_prompt: bool = False


def joined(pieces: Iterable[Piece]) -> Piece:
    """Return pieces as one: what a client gets that does not stream."""
    found = list(pieces)
    return Piece(
        "".join(piece.text for piece in found),
        tuple(chain.from_iterable(piece.ids for piece in found)),
        tuple(chain.from_iterable(piece.logprobs for piece in found)),
        found[-1].finish_reason if found else None,
    )
