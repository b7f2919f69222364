"""The addresses of a service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_explainer.server.engine import Engine
from llm_explainer.server.served import Served
from llm_explainer.server.web.answering import Answer
from llm_explainer.server.web.asking import choose_model
from llm_explainer.server.web.bodies import read_object
from llm_explainer.server.web.chats import read_chat
from llm_explainer.server.web.completions import read_completions
from llm_explainer.server.web.explaining import Explainer, read_explanation
from llm_explainer.server.web.fields import Fields
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.metrics import MEDIA_TYPE, write_metrics
from llm_explainer.server.web.page import page_response
from llm_explainer.server.web.problems import Problem, problem_of
from llm_explainer.server.web.safety import Guard, Rules
from llm_explainer.server.web.tokens import detokenize, tokenize, tokenizer_info

Handler = Callable[[Request], Awaitable[ASGIApp]]
T = TypeVar("T")
_LEFT = Response(status_code=499)  # nobody gets it
_ONE_MODEL = "/v1/models/{model}"


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
        self._explainer = Explainer(engine)
        self._reader = ThreadPoolExecutor(1, "reader")
        self._answers: Counter[tuple[str, int]] = Counter()
        self._page = page_response()
        routes = {
            ("GET", "/"): self._show_page,
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._list_models,
            ("GET", _ONE_MODEL): self._show_model,
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
                Route(path.replace("}", ":path}"), _guarded(handler), methods=[method])
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
                self._answers[self._address(scope["path"]), message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counting)

    def _address(self, path: str) -> str:
        """Return what a path is counted as."""
        if path.startswith("/v1/models/"):
            return _ONE_MODEL
        return path if path in self._paths else "other"

    async def _show_page(self, request: Request) -> ASGIApp:
        return self._page

    async def _health(self, request: Request) -> ASGIApp:
        return JSONResponse({"status": "ok"})

    async def _list_models(self, request: Request) -> ASGIApp:
        data = [self._about(served) for served in self._limits.models.values()]
        return JSONResponse({"object": "list", "data": data})

    async def _show_model(self, request: Request) -> ASGIApp:
        models = self._limits.models
        return JSONResponse(self._about(choose_model(Fields(request.path_params), models)))

    def _about(self, served: Served) -> dict[str, Any]:
        return {
            "id": served.name,
            "object": "model",
            "created": self._created,
            "owned_by": "llm-explainer",
            "max_model_len": served.context_length,
            "chat": served.tokenizer.chat_template is not None,
        }

    async def _completions(self, request: Request) -> ASGIApp:
        return Answer(await self._read(request, read_completions), self._engine)

    async def _chat(self, request: Request) -> ASGIApp:
        return Answer(await self._read(request, read_chat), self._engine)

    async def _explain(self, request: Request) -> ASGIApp:
        asked = await self._read(request, read_explanation)
        return JSONResponse(await self._explainer.make(asked, request.receive))

    async def _tokenize(self, request: Request) -> ASGIApp:
        return JSONResponse(await self._read(request, tokenize))

    async def _detokenize(self, request: Request) -> ASGIApp:
        return JSONResponse(await self._read(request, detokenize))

    async def _read(self, request: Request, read: Callable[[dict[str, Any], Limits], T]) -> T:
        """Return what a function makes of a request's body.

        In a thread: a long text takes a tokenizer half a second, in which streams go on.
        """
        values = await read_object(request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, read, values, self._limits)

    async def _tokenizer_info(self, request: Request) -> ASGIApp:
        return JSONResponse(tokenizer_info(request.query_params.multi_items(), self._limits))

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
