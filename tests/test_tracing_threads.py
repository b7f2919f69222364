"""Tracing a small model takes one thread, whatever is read off it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import small_config
from small_traces import traced
from test_trainer import change, make_trainer
from threadpoolctl import threadpool_info, threadpool_limits

from llm_explainer import tracing
from llm_explainer.tracing import threads, threads_for


def n_threads() -> int:
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_a_small_model_takes_one_thread_and_a_large_one_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with threadpool_limits(2, user_api="blas"):
        before = n_threads()
        with threads_for(small_config()):
            assert n_threads() == 1
        assert n_threads() == before
        monkeypatch.setattr(threads, "SMALL", 1)
        with threads_for(small_config()):
            assert n_threads() == before


@pytest.mark.parametrize(
    ("works", "call"),
    [
        ("recording.gpt", lambda found, run: traced()),
        ("lens.unembed", lambda found, run: tracing.lens(found)),
        ("step.gpt", lambda found, run: tracing.take_step(found)),
        ("ablation.block", lambda found, run: tracing.ablate(found)),
        ("moments.generate", lambda found, run: tracing.moments(run, "lazy")),
    ],
    ids=["trace", "lens", "step", "ablate", "moments"],
)
def test_each_part_takes_one_thread(
    works: str, call: Callable[[Any, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, name = works.partition(".")
    module = importlib.import_module(f"llm_explainer.tracing.{file}")  # its function hides it
    if file == "moments":
        make_trainer(tmp_path, change(steps=1, eval_every=0))[0].train()
    _, found = traced()
    seen = []
    whole = getattr(module, name)

    def counting(*args: Any, **named: Any) -> Any:
        seen.append(n_threads())
        return whole(*args, **named)

    monkeypatch.setattr(module, name, counting)
    with threadpool_limits(2, user_api="blas"):
        call(found, tmp_path)
    assert seen, works
    assert set(seen) == {1}
