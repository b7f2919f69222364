"""Many ask at once, and some leave: each text is as alone, nothing stays behind.

``CAMPAIGNS=1 uv run pytest -n 0 tests/test_service_many.py``: 2,000 requests, 10,000 streams.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served_model import Address, make_model, serving

ALL = bool(os.environ.get("CAMPAIGNS"))
N_REQUESTS, N_STREAMS = (2000, 10_000) if ALL else (32, 16)
AT_ONCE = 8
PIECES = ["Once", " there", "é", "—", "日本", "🦊", "\n", " the", "a", "<|endoftext|>", "\x00", "s"]


@pytest.fixture
def service():
    with serving({"tiny": make_model(), "other": make_model(seed=1)}) as found:
        yield found


def some_request(rng: random.Random) -> dict[str, Any]:
    prompt = "".join(rng.choices(PIECES, k=rng.randint(1, rng.choice([4, 60]))))
    return {
        "model": rng.choice(["tiny", "other"]),
        "prompt": prompt,
        "max_tokens": rng.randint(1, 40),
        "seed": rng.randrange(1000),
        "temperature": rng.choice([0, 0.7, 1, 2]),
        "top_p": rng.choice([None, 0.5, 0.9]),
        "stop": rng.choice([None, ["e"], ["\n", "th"], ["🦊", "ab", "\ufffd"]]),
        "echo": rng.random() < 0.2,
        "logprobs": rng.choice([None, None, 0, 2]),
    }


def texts(answer: dict[str, Any]) -> list[Any]:
    return [answer["choices"], answer["usage"]]


def leave(service: Address, asked: dict[str, Any], rng: random.Random) -> None:
    """Ask, and hang up at a random moment."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    body = json.dumps({**asked, "max_tokens": 200, "stream": rng.random() < 0.5})
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    time.sleep(rng.random() * 0.03)
    connection.close()


def test_each_answer_is_as_alone_whoever_else_asks_or_leaves(service):
    rng = random.Random(7)
    requests = [some_request(rng) for _ in range(N_REQUESTS)]
    alone = [texts(service.post("/v1/completions", **asked)) for asked in requests]
    seeds = [rng.random() for _ in requests]

    def ask(place: int) -> list[Any] | None:
        if place % 3 == 2:
            leave(service, requests[place], random.Random(seeds[place]))
            return None
        return texts(service.post("/v1/completions", **requests[place]))

    memory = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, N_REQUESTS, N_REQUESTS // 4):
            places = range(first, min(first + N_REQUESTS // 4, N_REQUESTS))
            for place, found in zip(places, pool.map(ask, places), strict=True):
                assert found in (None, alone[place]), requests[place]
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    deadline = time.monotonic() + 30
    while (stats := service.engine.stats()).running or stats.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert stats.failed == 0
    assert stats.submitted == stats.finished + stats.cancelled
    assert not ALL or memory[-1] < 1.05 * memory[1], memory  # its peak, in KiB


def test_what_is_streamed_is_what_is_not(service):
    rng = random.Random(3)
    requests = [some_request(rng) for _ in range(N_STREAMS)]

    def ask(asked: dict[str, Any]) -> None:
        whole = service.post("/v1/completions", **asked)
        asked = {**asked, "stream_options": {"include_usage": True}}
        *events, last = service.events("/v1/completions", **asked)
        assert last == "[DONE]"
        assert events.pop()["usage"] == whole["usage"]
        (choice,) = whole["choices"]
        parts = [part for event in events for part in event["choices"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert parts[-1]["finish_reason"] == choice["finish_reason"]
        assert {part["finish_reason"] for part in parts[:-1]} <= {None}
        written = choice["text"].removeprefix(asked["prompt"]) if asked["echo"] else choice["text"]
        assert not any(stop in written for stop in asked["stop"] or [])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, requests))
