"""Who may ask: a guard before every address.

A server on one's own machine can be reached by every web page that is open there. So a request has
to name a host of ours (a page whose name was rebound to 127.0.0.1 names its own), and one from a
page of another origin is refused unless that origin was asked for.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_explainer.server.web.problems import Problem

OPEN = frozenset({"/", "/health"})
"""Addresses that take no key: a page without anybody's data, and whether the service is there."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

MOST_HEADERS, MOST_HEAD_BYTES = 100, 16 << 10

_PORT = re.compile(r":\d{1,5}$")
_NAMES = re.compile(r"[\w-]+(?:, ?[\w-]+)*", re.ASCII)
_USUAL = "Authorization, Content-Type"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Rules:
    """Who may ask.

    Attributes:
        hosts: names in ``Host``, without ports.
        origins: of pages elsewhere, such as ``http://localhost:3000``.
        key: that requests have to carry; None for none.
    """

    hosts: frozenset[str] = LOOPBACK
    origins: frozenset[str] = frozenset()
    key: str | None = field(default=None, repr=False)


class Guard:
    """Lets those requests through that may ask.

    Args:
        app: who answers them.
        rules: which these are.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = origin if origin in self._rules.origins else None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    found.setdefault(name, value)
                if allowed is not None:
                    found["Access-Control-Allow-Origin"] = allowed
                    found.add_vary_header("Origin")
            await send(message)

        app: ASGIApp
        try:
            self._check(scope, headers)
            is_preflight = allowed is not None and scope["method"] == "OPTIONS"
            app = _preflight(headers) if is_preflight else self._app
        except Problem as problem:
            app = problem.response()
        await app(scope, receive, send_with_headers)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Refuse who may not ask.

        Raises:
            Problem: says why.
        """
        n_bytes = sum(len(name) + len(value) for name, value in headers.raw)
        if n_bytes > MOST_HEAD_BYTES or len(headers.raw) > MOST_HEADERS:
            raise Problem(
                431, f"a head has at most {MOST_HEADERS} lines and {MOST_HEAD_BYTES} bytes"
            )
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _PORT.sub("", hosts[0]).lower() not in self._rules.hosts:
            named = ", ".join(hosts)[:80]
            raise Problem(
                403, f"the host {named!r} is none of this service's; --allowed-host adds one"
            )
        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy before us may go by the other one, and see two requests where we see one.
            raise Problem(400, "a body has a length or comes in chunks, not both")
        origins = headers.getlist("origin")
        own = {f"http://{hosts[0]}", f"https://{hosts[0]}"}
        if any(each not in own and each not in self._rules.origins for each in origins):
            raise Problem(
                403,
                f"pages of {', '.join(origins)[:80]!r} may not ask; --cors-origin adds an origin",
            )
        # A link to the page may come from anywhere; it carries nothing.
        is_link = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if not origins and is_foreign and not is_link:
            raise Problem(403, "pages of other sites may not ask")
        is_preflight = scope["method"] == "OPTIONS" and bool(origins)
        if self._rules.key is not None and scope["path"] not in OPEN and not is_preflight:
            self._check_key(headers)

    def _check_key(self, headers: Headers) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given, right = key.strip().encode(), (self._rules.key or "").encode()
        # Compared in a time that does not tell how much of it was right.
        if not hmac.compare_digest(given, right) or scheme.lower() != "bearer":
            raise Problem(
                401,
                "the key is missing or wrong; send Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _preflight(asked: Headers) -> Response:
    """Return the answer to a browser that asks what a page of an allowed origin may send.

    Whatever names it lists: OpenAI's own client sends a dozen, and we read none of them.
    """
    names = asked.get("access-control-request-headers", "")
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": names if _NAMES.fullmatch(names) else _USUAL,
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=headers)
