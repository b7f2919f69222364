"""A request's body: read up to a limit, in time, and taken apart without trust in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from starlette.requests import Request

from llm_explainer.server.web.problems import Problem

MOST_BYTES = 1 << 20
MOST_DEPTH = 16
"""Lists and objects inside of each other; a request has use for five."""

MOST_DIGITS = 400
"""Of a whole number: Python takes its time over a long one."""

BODY_S = 30.0
"""Seconds in which a body has to be there."""

_CLOSE = {"Connection": "close"}  # what is left of a body is not read


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request carries.

    Raises:
        Problem: too long, too slow, no JSON object, or not sent as JSON.
        ClientDisconnect: its client has left.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(
            415, f"the content type is {kind[:80]!r}; it takes application/json", headers=_CLOSE
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(
            415, f"the body is encoded as {encoding[:80]!r}; it is taken as it is", headers=_CLOSE
        )
    try:
        async with asyncio.timeout(BODY_S):
            body = await _read(request)
    except TimeoutError:
        raise Problem(
            408, f"the body was not there after {BODY_S:g} seconds", headers=_CLOSE
        ) from None
    return parse_object(body)


async def _read(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    too_long = Problem(413, f"a body has at most {MOST_BYTES} bytes", headers=_CLOSE)
    if not announced.isdecimal() or int(announced[:20]) > MOST_BYTES:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise too_long
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        Problem: it is none, or one that says a thing twice, is nested too deeply, or has numbers
            or characters that JSON and UTF-8 do not have.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is no UTF-8 at byte {error.start}") from None
    try:
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a mark of the byte order")
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_refuse_constant, parse_int=_whole
        )
    except RecursionError:
        raise Problem(400, _too_deep()) from None
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Problem(400, "the body is JSON, but no object")
    for depth, text in _texts(value):
        if depth > MOST_DEPTH:
            raise Problem(400, _too_deep())
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Problem(400, "the body has half a surrogate pair (\\ud800 to \\udfff)") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice")
    return values


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has more than {MOST_DIGITS} digits")
    return int(digits)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _too_deep() -> str:
    return f"the body is nested more than {MOST_DEPTH} deep"


def _texts(value: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield every text with its depth, and an empty one for every list and object."""
    rest: list[tuple[int, Any]] = [(1, value)]
    while rest:
        depth, each = rest.pop()
        if isinstance(each, str):
            yield depth, each
        elif isinstance(each, (dict, list)):
            yield depth, ""
            if depth > MOST_DEPTH:
                return
            inner = [*each, *each.values()] if isinstance(each, dict) else each
            rest.extend((depth + 1, x) for x in inner if isinstance(x, (str, dict, list)))
