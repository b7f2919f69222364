"""The server's engine: texts side by side are the texts that each would be alone."""

from __future__ import annotations

import dataclasses
import gc
import os
import threading
import time
from typing import Any

import numpy as np
import pytest
from served_requests import CONTEXT, KINDS, make_engine, make_model, request, tokenizer

from llm_explainer.backend import backend_of, load_backend
from llm_explainer.errors import BackendUnavailable
from llm_explainer.generation import SamplingConfig, generate
from llm_explainer.numpy_backend import kernels
from llm_explainer.server.engine import Engine
from llm_explainer.server.requests import Completion, Piece, joined

CAMPAIGNS = bool(os.environ.get("CAMPAIGNS"))
N_MIXED = 2000 if CAMPAIGNS else 60


def backends() -> list[str]:
    try:
        load_backend("mlx")
    except BackendUnavailable:
        return ["numpy"]
    return ["numpy", "mlx"]


def answers(engine: Engine, asked: list[Completion], together: bool) -> list[Piece]:
    if together:
        tickets = [engine.submit(one, "m") for one in asked]
        return [joined(ticket) for ticket in tickets]
    return [joined(engine.submit(one, "m")) for one in asked]


def assert_nothing_is_left(engine: Engine, model: Any) -> None:
    engine.close()
    stats = engine.stats()
    assert (stats.waiting, stats.running) == (0, 0)
    assert stats.submitted == stats.finished + stats.cancelled + stats.failed
    gc.collect()
    kind = backend_of(model).KVCache
    assert not [found for found in gc.get_objects() if isinstance(found, kind)]


def peak_bytes(model: Any) -> int:
    return int(backend_of(model).peak_memory())


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_the_same_alone_and_in_company(
    backend: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(backend, kind)
    if backend == "mlx":  # as on a GPU
        monkeypatch.setattr(backend_of(model).TextRows, "n_rows", lambda: 4)
    engine = make_engine(model)
    asked = [request(seed) for seed in range(12 if backend == "numpy" else 6)]
    asked[0] = dataclasses.replace(asked[0], logprobs=3, echo=True)
    alone = answers(engine, asked, together=False)
    assert answers(engine, asked, together=True) == alone
    assert len({one.ids for one in alone}) == len(asked)
    assert_nothing_is_left(engine, model)


@pytest.mark.parametrize("shape", [(580, 256), (256, 512)])
def test_no_bit_of_a_product_depends_on_how_many_rows_it_has(shape: tuple[int, int]) -> None:
    """At these sizes BLAS adds up eight rows otherwise than four."""
    rng = np.random.default_rng(0)
    weight = kernels.long_lines(rng.standard_normal(shape, np.float32))
    rows = rng.standard_normal((11, shape[1]), np.float32)
    with kernels.rows_apart():
        alone = [kernels.times_transposed(row[None], weight)[0] for row in rows]
        for n in (2, 4, 8, 11):
            np.testing.assert_array_equal(kernels.times_transposed(rows[:n], weight), alone[:n])


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("adapted", [False, True])
def test_no_bit_of_a_row_depends_on_the_others(
    adapted: bool, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:  # as weights are that no cache of a processor holds
        monkeypatch.setattr(kernels, "SMALL_PRODUCT", 0)
        monkeypatch.setattr(kernels, "WEIGHT_AT_ONCE", 48 * 100)
    model = make_model(kind="qk norm, yarn, untied", adapted=adapted)
    rows = backend_of(model).TextRows
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 320, (1, n)) for n in (3, 40, 9, 70, 1, 22, 64, 5, 33, 12, 2)]
    following = rng.integers(0, 320, (len(prompts), 1))

    def logits_of(chosen: list[int]) -> Any:
        caches = [model.make_cache(1) for _ in chosen]
        for cache, which in zip(caches, chosen, strict=True):
            model.next_logits(prompts[which], cache)
        held = rows(caches, len(chosen))
        with held.apart():
            return model.next_logits(following[chosen], held)

    alone = [logits_of([which])[0] for which in range(len(prompts))]
    for _ in range(20):
        chosen = rng.permutation(len(prompts))[: rng.integers(2, 12)].tolist()
        for which, found in zip(chosen, logits_of(chosen), strict=True):
            np.testing.assert_array_equal(found, alone[which])


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("kind", ["gpt2", "window"])
def test_likeliest_tokens_are_those_of_generate(backend: str, kind: str) -> None:
    model = make_model(backend, kind)
    engine = make_engine(model)
    sampling = SamplingConfig(temperature=0, max_tokens=30)
    asked = [dataclasses.replace(request(seed), sampling=sampling) for seed in range(4)]
    for one, found in zip(asked, answers(engine, asked, together=True), strict=True):
        options = {"temperature": 0.0, "max_tokens": 30}
        stream = generate(model, tokenizer(), one.prompt_ids, **options)
        assert found.text == "".join(stream)
        assert found.ids == tuple(stream.ids)
        reasons = {"end of text": "stop", "max_tokens": "length", "context": "length"}
        assert found.finish_reason == reasons[stream.ended_by]
    engine.close()


def test_those_who_leave_change_nothing_for_the_others() -> None:
    """With CAMPAIGNS=1, 2,000 requests, twice; a third of them is dropped when chance has it."""
    model = make_model()
    engine = make_engine(model)
    asked = [request(seed, longest=90) for seed in range(N_MIXED)]
    alone = answers(engine, asked, together=False)
    leaving = set(np.random.default_rng(0).permutation(N_MIXED)[: N_MIXED // 3].tolist())
    run_while_some_leave(engine, asked, alone, leaving)
    assert engine.stats().cancelled > len(leaving) // 4
    if CAMPAIGNS:
        before = peak_bytes(model)
        run_while_some_leave(engine, asked, alone, leaving)
        assert peak_bytes(model) < 1.01 * before
    assert_nothing_is_left(engine, model)


def run_while_some_leave(
    engine: Engine, asked: list[Completion], alone: list[Piece], leaving: set[int]
) -> None:
    rng = np.random.default_rng(1)
    tickets = [engine.submit(one, "m") for one in asked]

    def leave() -> None:
        for which in sorted(leaving):
            while not tickets[max(0, which - int(rng.integers(12)))].ended:
                time.sleep(0.0005)
            tickets[which].cancel()

    thread = threading.Thread(target=leave)
    thread.start()
    for which, ticket in enumerate(tickets):
        found = joined(ticket)
        if which not in leaving:
            assert found == alone[which]
    thread.join()


@pytest.mark.parametrize("drain", [True, False])
def test_an_engine_is_closed_with_or_without_its_texts(drain: bool) -> None:
    engine = make_engine(max_batch=2)
    tickets = [engine.submit(request(seed), "m") for seed in range(8)]
    engine.close(drain)
    ended = [ticket.finished for ticket in tickets]
    assert all(ended) if drain else not all(ended)
    assert all(ticket.ended for ticket in tickets)


def test_a_text_ends_where_the_context_does() -> None:
    engine = make_engine()
    prompt = (tokenizer().encode("the hen sang") * 40)[: CONTEXT - 3]
    sampling = SamplingConfig(max_tokens=50, seed=5)
    found = joined(engine.submit(Completion(prompt_ids=tuple(prompt), sampling=sampling), "m"))
    assert (len(found.ids), found.finish_reason) == (4, "length")
    engine.close()
