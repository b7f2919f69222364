"""The engine's figures: what has been asked and done since it began."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Stats:
    """Counts since the engine began, and how it stands.

    Attributes:
        waiting: requests that wait.
        running: those that are read or go on.
        submitted: all that were taken; each is finished, cancelled or failed in the end.
        finished: those that came to their end.
        cancelled: those that nobody wanted any more.
        failed: those that ended with an error.
        refused: those for which the queue was full.
        prompt_tokens: read, without those taken over from earlier prompts.
        cached_tokens: taken over.
        made_tokens: added to texts.
        first_tokens: texts that have got their first token.
        first_token_seconds: what they waited for it, from ``submit`` on, added up.
        prefix_bytes: what is kept of earlier prompts.
    """

    waiting: int = 0
    running: int = 0
    submitted: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    made_tokens: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0
    prefix_bytes: int = 0
