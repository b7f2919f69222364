"""The addresses of a service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_explainer.server.engine import Engine
from llm_explainer.server.web.answering import Answer
from llm_explainer.server.web.asking import Asked, choose_model
from llm_explainer.server.web.bodies import read_object
from llm_explainer.server.web.chats import read_chat
from llm_explainer.server.web.completions import read_completions
from llm_explainer.server.web.explaining import read_explanation
from llm_explainer.server.web.fields import Fields
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.metrics import MEDIA_TYPE, write_metrics
from llm_explainer.server.web.page import page_response
from llm_explainer.server.web.problems import Problem, problem_of
from llm_explainer.server.web.safety import Guard, Rules
from llm_explainer.server.web.tokens import detokenize, tokenize, tokenizer_info

Handler = Callable[[Request], Awaitable[ASGIApp]]
_LEFT = Response(status_code=499)  # nobody gets it


class Service:
    """What answers requests: an ASGI app.

    Args:
        engine: who makes the texts; its first model is meant where a request names none.
        rules: who may ask.
        most_texts: of one request.
        created: when the service began, in seconds since 1970.

    Attributes:
        addresses: methods and paths of what it answers.
    """

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        most_texts: int,
        created: int,
    ) -> None:
        self._engine, self._created = engine, created
        self._limits = Limits(engine.served, most_texts)
        self._answers: Counter[tuple[str, int]] = Counter()
        self._page = page_response()
        routes = {
            ("GET", "/"): self._show_page,
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._list_models,
            ("POST", "/v1/completions"): self._completions,
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/explain"): self._explain,
            ("POST", "/tokenize"): self._tokenize,
            ("POST", "/detokenize"): self._detokenize,
            ("GET", "/tokenizer_info"): self._tokenizer_info,
            ("GET", "/metrics"): self._metrics,
        }
        self.addresses = frozenset(routes)
        self._paths = {path for _, path in routes}
        app = Starlette(
            routes=[
                Route(path, _guarded(handler), methods=[method])
                for (method, path), handler in routes.items()
            ],
            exception_handlers={HTTPException: _not_found},
        )
        app.router.redirect_slashes = False
        self._app = Guard(app, rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                address = scope["path"] if scope["path"] in self._paths else "other"
                self._answers[address, message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counting)

    async def _show_page(self, request: Request) -> ASGIApp:
        return self._page

    async def _health(self, request: Request) -> ASGIApp:
        return JSONResponse({"status": "ok"})

    async def _list_models(self, request: Request) -> ASGIApp:
        data = [
            {
                "id": name,
                "object": "model",
                "created": self._created,
                "owned_by": "llm-explainer",
                "max_model_len": served.context_length,
                "chat": served.tokenizer.chat_template is not None,
            }
            for name, served in self._limits.models.items()
        ]
        return JSONResponse({"object": "list", "data": data})

    async def _completions(self, request: Request) -> ASGIApp:
        return self._answer(read_completions(await read_object(request), self._limits))

    async def _chat(self, request: Request) -> ASGIApp:
        return self._answer(read_chat(await read_object(request), self._limits))

    def _answer(self, asked: Asked) -> ASGIApp:
        return Answer(asked, self._engine)

    async def _explain(self, request: Request) -> ASGIApp:
        explanation = read_explanation(await read_object(request), self._limits)
        return JSONResponse(await asyncio.wrap_future(self._engine.call(explanation)))

    async def _tokenize(self, request: Request) -> ASGIApp:
        return JSONResponse(tokenize(await read_object(request), self._limits))

    async def _detokenize(self, request: Request) -> ASGIApp:
        return JSONResponse(detokenize(await read_object(request), self._limits))

    async def _tokenizer_info(self, request: Request) -> ASGIApp:
        fields = Fields(dict(request.query_params))
        return JSONResponse(
            tokenizer_info(choose_model(fields, self._limits.models, required=False))
        )

    async def _metrics(self, request: Request) -> ASGIApp:
        text = write_metrics(self._engine.stats(), self._answers)
        return PlainTextResponse(text, media_type=MEDIA_TYPE)


def _guarded(handler: Handler) -> Callable[[Request], Awaitable[Any]]:
    """Return a handler whose errors are answers."""

    async def guarded(request: Request) -> ASGIApp:
        try:
            return await handler(request)
        except ClientDisconnect:
            return _LEFT
        except Exception as error:
            return problem_of(error).response()

    return guarded


async def _not_found(request: Request, error: Exception) -> Response:
    """Answer a request for an address that there isn't, or in a way that it does not take."""
    assert isinstance(error, HTTPException)
    wrong_method = error.status_code == 405
    message = f"{request.method} is not for this address" if wrong_method else "no such address"
    headers = dict(error.headers or {})
    return Problem(error.status_code, message, code="not_found", headers=headers).response()
