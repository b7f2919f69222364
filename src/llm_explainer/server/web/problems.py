"""Errors in OpenAI's shape: what was wrong, which parameter it was, and nothing about our code."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from llm_explainer.errors import ConfigError, GenerationError, TokenizerError
from llm_explainer.server.requests import EngineClosed, QueueFull

LOG = logging.getLogger("llm_explainer.server")
RETRY_S = 1
"""After how many seconds to ask again where the queue is full."""

_TYPES = {401: "authentication_error", 403: "permission_error"}


class Problem(Exception):  # noqa: N818 - not all of them are errors of ours
    """Why a request is not answered.

    Args:
        status: of HTTP.
        message: one line: what was wrong, the value received, what would do.
        param: the parameter that it is about.
        code: a word for programs.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return what a client gets."""
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = _TYPES.get(self.status, usual)
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(self.body(), self.status, headers=self.headers)


def problem_of(error: Exception) -> Problem:
    """Return what a client is told of an error; of one that is ours, that it is ours alone."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, QueueFull):
        return Problem(503, str(error), code="queue_full", headers={"Retry-After": str(RETRY_S)})
    if isinstance(error, EngineClosed):
        return Problem(503, str(error), code="shutting_down", headers={"Retry-After": "10"})
    if isinstance(error, (ConfigError, GenerationError, TokenizerError)):
        message = " ".join(str(error).split())
        first = message.partition(" is ")[0]
        return Problem(400, message, param=first if first.isidentifier() else None)
    LOG.error("an error of the service's own", exc_info=error)
    return Problem(500, "the service failed at this request; its log says more", code="internal")
