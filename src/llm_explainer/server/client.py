"""A client of a served model, ours or another's that speaks as OpenAI does; nothing to install."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from llm_explainer.errors import LLMExplainerError

WAIT_S = 120.0
"""Seconds without a byte after which a service is given up."""

_MOST_LINE = 1 << 24


class ServiceError(LLMExplainerError):
    """A service that is not there, or does not do what it was asked.

    Attributes:
        code: the word for programs that a refusal has, if any.
    """

    def __init__(self, message: str, code: object = None) -> None:
        super().__init__(message)
        self.code = code


class Client:
    """Asks a service.

    Args:
        url: its address, with or without ``/v1``; nothing behind that.
        key: that it wants to see; None for none.

    Raises:
        ServiceError: an address that is none.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        takes = "it takes one like http://127.0.0.1:8000"
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
            host.encode("idna") if host else None
        except ValueError:
            raise ServiceError(f"the address is {url!r}; {takes}") from None
        if "@" in parts.netloc:  # what it may hold is not repeated
            raise ServiceError("the address has a name or a password in it; a key goes in a file")
        has_more = parts.query or parts.fragment or not parts.path.isascii() or " " in url
        if parts.scheme not in ("http", "https") or not host or has_more:
            raise ServiceError(f"the address is {url!r}; {takes}")
        self._kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port = host, port
        self._url, self._key = f"{parts.scheme}://{parts.netloc}", key
        self._base = parts.path.rstrip("/").removesuffix("/v1")

    def models(self) -> list[dict[str, Any]]:
        """Return what the service has, each with its ``id``."""
        return [
            each
            for each in _objects(self.ask("GET", "/v1/models"), "data")
            if isinstance(each.get("id"), str)
        ]

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a service's answer.

        Raises:
            ServiceError: it is not there, or refuses.
        """
        connection, response = self._send(method, path, body)
        try:
            return _object(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from None
        finally:
            connection.close()

    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the choices of an answer as they come.

        Raises:
            ServiceError: it is not there, refuses, or breaks off.
        """
        connection, response = self._send("POST", path, {**body, "stream": True})
        try:
            while line := response.readline(_MOST_LINE):
                name, _, data = line.decode(errors="replace").strip().partition(":")
                if name != "data":
                    continue
                if data.strip() == "[DONE]":
                    return
                event = _object(data.encode())
                if event.get("error"):
                    raise _refusal(event, 500)
                yield from _objects(event, "choices")
            raise ServiceError(f"{self._url} broke its answer off")
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from None
        finally:
            response.close()  # it may hold the socket by itself
            connection.close()

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request; return the answer that begins."""
        connection = self._kind(self._host, self._port, timeout=WAIT_S)
        headers = {"Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            connection.request(method, self._base + path, data, headers)
            response = connection.getresponse()
            if response.status == 200:
                return connection, response
            refusal = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._lost(error) from None
        connection.close()
        try:
            answer = _object(refusal)
        except ServiceError:
            raise ServiceError(f"{self._url} answers {response.status}") from None
        raise _refusal(answer, response.status)

    def _lost(self, error: Exception) -> ServiceError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServiceError(f"{self._url}: {reason}")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ServiceError("the service answers with something that is no JSON object")
    return value


def _objects(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects that an answer lists under a name; whatever else stands there is none."""
    found = answer.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _refusal(answer: Mapping[str, Any], status: int) -> ServiceError:
    """Return what a refusal says."""
    error = answer.get("error", answer.get("detail"))  # FastAPI's services have the latter
    error = error if isinstance(error, dict) else {"message": error}
    said = error.get("message") or "it does not say why"
    return ServiceError(f"the service answers {status}: {said}", error.get("code"))
