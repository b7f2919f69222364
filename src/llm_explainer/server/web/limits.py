"""What a service has and how much of it one request may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llm_explainer.server.served import Served


@dataclass(frozen=True)
class Limits:
    """The models of a service, and the most that a request may ask of them.

    Attributes:
        models: by the names that requests have for them, the first being what is meant by none.
        most_texts: in one request, prompts times ``n``.
    """

    models: Mapping[str, Served]
    most_texts: int
