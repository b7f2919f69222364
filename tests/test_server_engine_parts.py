"""Scores, streams, stop strings, the prefix cache, the queue: what the engine's answers are."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_requests import CONTEXT, TEXT, make_engine, make_model, request, tokenizer
from test_server_engine import backends

from llm_explainer.backend import backend_of
from llm_explainer.checkpoint import load_checkpoint, save_checkpoint
from llm_explainer.checkpoint.storage import Storage
from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig
from llm_explainer.server.batch import Batch
from llm_explainer.server.engine import Engine
from llm_explainer.server.prefix_cache import CHUNK, PrefixCache
from llm_explainer.server.requests import Completion, EngineClosed, Piece, QueueFull, joined
from llm_explainer.server.running_text import RunningText
from llm_explainer.server.served import Served
from llm_explainer.server.stats import Stats
from llm_explainer.server.ticket import Ticket

CAMPAIGNS = bool(os.environ.get("CAMPAIGNS"))
N_FUZZED = 10_000 if CAMPAIGNS else 150
N_SCORED = 200 if CAMPAIGNS else 24


def completion(prompt: str, logprobs: int | None = None, echo: bool = False, **options: Any) -> Any:
    sampling = SamplingConfig(**{"max_tokens": 8, **options})
    ids = tuple(tokenizer().encode(prompt))
    return Completion(prompt_ids=ids, sampling=sampling, logprobs=logprobs, echo=echo)


@pytest.mark.parametrize("backend", backends())
def test_scores_of_a_prompt_add_up_to_its_loss(backend: str) -> None:
    model = make_model(backend)
    engine = make_engine(model)
    rng = np.random.default_rng(0)
    for _ in range(0, N_SCORED, 8):
        texts = [(TEXT * 3)[start : start + 60] for start in rng.integers(0, 80, 8)]
        asked = [completion(text, logprobs=2, echo=True, max_tokens=0) for text in texts]
        tickets = [engine.submit(one, "m") for one in asked]
        for text, one, ticket in zip(texts, asked, tickets, strict=True):
            found = joined(ticket)
            assert (found.text, found.ids, found.finish_reason) == (text, one.prompt_ids, "length")
            first, *rest = found.logprobs
            assert (first.logprob, first.top) == (None, ())
            ids = np.array([one.prompt_ids])
            mean = -np.mean([score.logprob for score in rest])
            assert abs(mean - model.loss(ids[:, :-1], ids[:, 1:])) < 1e-5
            assert all(len(score.top) == 2 and score.top[0][1] >= score.logprob for score in rest)
    engine.close()


def test_scores_are_those_of_the_model_and_change_no_token() -> None:
    model = make_model()
    engine = make_engine(model)
    plain = completion("The hen sang", temperature=1.2, seed=4, max_tokens=20)
    found = joined(engine.submit(dataclasses.replace(plain, logprobs=4, echo=True), "m"))
    n_prompt = len(plain.prompt_ids)
    assert found.ids[n_prompt:] == joined(engine.submit(plain, "m")).ids
    logits = np.asarray(model(np.array([found.ids])))[0].astype(np.float64)  # (T, V)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for place, score in enumerate(found.logprobs[1:]):
        np.testing.assert_allclose(score.logprob, expected[place, score.token], atol=1e-4)
        likeliest = np.argsort(-expected[place, : tokenizer().vocab_size])[:4]
        assert [token for token, _ in score.top] == likeliest.tolist()
    engine.close()


def cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """Return a text up to the stop string that is complete first, character by character."""
    for end in range(1, len(text) + 1):
        starts = [end - len(one) for one in stop if text[:end].endswith(one)]
        if starts:
            return text[: min(starts)]
    return text


def test_streamed_pieces_are_the_text_whatever_stops_it() -> None:
    """With CAMPAIGNS=1, 10,000 texts."""
    engine = make_engine()
    rng = np.random.default_rng(1)
    letters = "aeiou th🦊，世—é\n"
    for first in range(0, N_FUZZED, 50):
        asked = []
        for seed in range(first, first + 50):
            plain = request(seed, longest=12)
            n_stops = int(rng.integers(4))
            stop = ["".join(rng.choice(list(letters), rng.integers(1, 3))) for _ in range(n_stops)]
            asked.append(
                dataclasses.replace(plain, sampling=dataclasses.replace(plain.sampling, stop=stop))
            )
        for one, ticket in [(one, engine.submit(one, "m")) for one in asked]:
            pieces = list(ticket)
            found = joined(pieces)
            decoder = tokenizer().stream_decoder()
            for token in one.prompt_ids:
                decoder.push(token)
            whole = "".join(map(decoder.push, found.ids)) + decoder.finish()
            assert found.text == cut_at_stop(whole, tuple(one.sampling.stop))
            assert found.finish_reason == ("stop" if found.text != whole else found.finish_reason)
            assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
            assert all(piece.text for piece in pieces[:-1])
    engine.close()


@pytest.mark.parametrize("backend", backends())
def test_a_chat_takes_its_beginning_over_and_is_the_same_text(backend: str) -> None:
    model = make_model(backend, "window")
    engine, fresh = make_engine(model), make_engine(model, prefix_bytes=0)
    ids = tokenizer().encode(TEXT * 3)
    for end in (20, 40, 70, 90, CHUNK * 2, CHUNK * 2 + 1):
        sampling = SamplingConfig(seed=end, max_tokens=6)
        one = Completion(prompt_ids=tuple(ids[:end]), sampling=sampling, logprobs=0)
        assert joined(engine.submit(one, "m")) == joined(fresh.submit(one, "m"))
    assert engine.stats().cached_tokens == 0 + 0 + 32 + 64 + 32 + 64
    assert fresh.stats().cached_tokens == fresh.stats().prefix_bytes == 0
    engine.close()
    fresh.close()


@pytest.mark.skipif("mlx" not in backends(), reason="mlx is not there")
def test_a_beginning_is_taken_over_in_bfloat16_too(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", make_model("mlx"), tokenizer())
    model, _ = load_checkpoint(tmp_path / "model", "mlx", Storage("bfloat16"))
    engine, fresh = make_engine(model), make_engine(model, prefix_bytes=0)
    ids = tuple(tokenizer().encode(TEXT * 3))
    for end in (40, 70):
        one = Completion(prompt_ids=ids[:end], sampling=SamplingConfig(max_tokens=6), logprobs=0)
        assert joined(engine.submit(one, "m")) == joined(fresh.submit(one, "m"))
    assert engine.stats().cached_tokens == CHUNK
    engine.close()
    fresh.close()


def test_the_prefix_cache_forgets_what_was_used_longest_ago() -> None:
    model = make_model()
    prompts = [tuple(np.random.default_rng(i).integers(0, 320, 70).tolist()) for i in range(3)]

    def read(prompt: tuple[int, ...]) -> Any:
        cache = model.make_cache(1)
        model.next_logits(np.array([prompt]), cache)
        return cache

    measure = PrefixCache(1 << 30)
    measure.keep(read(prompts[0]), "m", prompts[0])
    chunk_bytes = measure.n_bytes // 2
    prefixes = PrefixCache(4 * chunk_bytes)
    for prompt in prompts[:2]:
        prefixes.keep(read(prompt), "m", prompt)
    assert prefixes.fill(model.make_cache(1), "m", prompts[0]) == 64
    prefixes.keep(read(prompts[2]), "m", prompts[2])
    assert prefixes.n_bytes == 4 * chunk_bytes
    known = [prefixes.fill(model.make_cache(1), "m", prompt) for prompt in prompts]
    assert known == [64, 0, 64]
    assert prefixes.fill(model.make_cache(1), "another", prompts[0]) == 0


def test_a_long_prompt_keeps_nobody_waiting() -> None:
    served = Served("m", make_model(), tokenizer())
    batch = Batch(served, PrefixCache(0), Stats())
    asked = (completion(TEXT * 3, max_tokens=3), completion("The", max_tokens=3))
    long, short = (Ticket(one, "m", lambda ticket: None) for one in asked)
    assert len(asked[0].prompt_ids) > 2 * CHUNK
    batch.add(RunningText(long, served))
    batch.add(RunningText(short, served))
    for _ in range(3):
        batch.step()
    assert (short.finished, long.ended) == (True, False)
    assert [piece.ids for piece in short]


def test_pieces_come_to_an_event_loop_too() -> None:
    engine = make_engine()

    async def read(seed: int) -> Piece:
        return joined([piece async for piece in engine.submit(request(seed), "m")])

    async def read_all() -> list[Piece]:
        return await asyncio.gather(*map(read, range(10)))

    found = asyncio.run(read_all())
    assert found == [joined(engine.submit(request(seed), "m")) for seed in range(10)]
    engine.close()


class Held:
    """A model that computes nothing until it may."""

    def __init__(self, model: Any) -> None:
        self.model, self.may = model, threading.Event()
        self.may.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def next_logits(self, tokens: Any, *others: Any, **options: Any) -> Any:
        self.may.wait()
        if tokens.shape[1] > 1 and tokens[0, 0] == 7:
            raise MemoryError("no room")
        return self.model.next_logits(tokens, *others, **options)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Any:
    model = Held(make_model())
    monkeypatch.setattr(Served, "backend", backend_of(model.model))
    return model


def test_a_full_queue_says_so_and_a_cancelled_ticket_makes_room(held: Held) -> None:
    engine = Engine({"m": (held, tokenizer())}, max_batch=1, queue=2)
    held.may.clear()
    tickets = [engine.submit(request(0), "m")]
    while not engine.stats().running:
        pass
    tickets += [engine.submit(request(seed), "m") for seed in (1, 2)]
    with pytest.raises(QueueFull, match="2 requests wait"):
        engine.submit(request(3), "m")
    tickets[1].cancel()
    tickets.append(engine.submit(request(4), "m"))
    tickets[0].cancel()
    held.may.set()
    assert list(tickets[0]) == list(tickets[1]) == []
    assert None not in [joined(ticket).finish_reason for ticket in tickets[2:]]
    engine.close()
    stats = engine.stats()
    assert (stats.finished, stats.cancelled, stats.refused, stats.failed) == (2, 2, 1, 0)
    with pytest.raises(EngineClosed):
        engine.submit(request(5), "m")


def test_an_error_ends_one_text_and_not_the_thread(held: Held) -> None:
    engine = Engine({"m": (held, tokenizer())})
    bad = Completion(prompt_ids=(7, 8), sampling=SamplingConfig())
    tickets = [engine.submit(one, "m") for one in (request(1), bad, request(2))]
    assert None not in [joined(ticket).finish_reason for ticket in tickets[::2]]
    with pytest.raises(MemoryError, match="no room"):
        joined(tickets[1])
    assert engine.call(lambda: threading.current_thread().name).result() == "model"
    with pytest.raises(ZeroDivisionError):
        engine.call(lambda: 1 // 0).result()
    engine.close()
    assert engine.stats().failed == 1


def test_what_cannot_be_asked_is_refused_at_once() -> None:
    engine = make_engine()
    with pytest.raises(GenerationError, match="no model 'n'; there is m"):
        engine.submit(request(0), "n")
    with pytest.raises(GenerationError, match="token id 320"):
        engine.submit(Completion(prompt_ids=(320,), sampling=SamplingConfig()), "m")
    with pytest.raises(GenerationError, match=f"only {CONTEXT}"):
        engine.submit(Completion(prompt_ids=(1,) * (CONTEXT + 1), sampling=SamplingConfig()), "m")
    for wrong in (
        {"prompt_ids": ()},
        {"logprobs": 21},
        {"sampling": SamplingConfig(windowed=True)},
    ):
        with pytest.raises(GenerationError):
            dataclasses.replace(request(0), **wrong)
    engine.close()
