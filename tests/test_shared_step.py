"""Sharing a batch among processes: messages, shares, masks, and who is silent too long.

Threads stand in for the processes, so that many cases are tried in a second.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_twins import mlx_backend, mx
from small_models import random_tokens, small_config

from llm_explainer.batch import Batch, StepResult
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec, freeze
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.distributed.processes import Processes, pack, unpack
from llm_explainer.training.distributed.same_settings import check_same_settings
from llm_explainer.training.distributed.shared_step import SharedStep, end_work, share, work
from llm_explainer.training.distributed.watchdog import Watchdog
from llm_explainer.training.train_step import make_train_step
from llm_explainer.tree import flatten, unflatten

TOLERANCE = 1e-4  # of a loss, and of a weight


def nobody_gives_up(seconds: float) -> None:
    raise AssertionError(f"gave up after {seconds} s")


# Messages and shares


@settings(max_examples=30)
@given(st.data(), st.integers(1, 5))
def test_shares_are_all_rows_in_order(data: st.DataObject, size: int) -> None:
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    rows = np.arange(sum(lengths))[:, None]
    cuts = np.split(rows, np.cumsum(lengths)[:-1])
    batches = [Batch(cut, cut + 100, cut % 2 if len(cut) > 2 else None) for cut in cuts]
    shares = [share(batches, rank, size) for rank in range(size)]
    own = [batch for part in shares for batch in part]
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in own]), rows)
    for tokens, targets, mask, _ in own:
        assert 0 < len(tokens) <= max(lengths)
        np.testing.assert_array_equal(targets, tokens + 100)
        if mask is not None:
            np.testing.assert_array_equal(mask, tokens % 2)
    counts = [sum(len(batch[0]) for batch in part) for part in shares]
    assert max(counts) - min(counts) <= 1


@settings(max_examples=30)
@given(
    st.dictionaries(st.text(), st.none() | st.integers() | st.floats(allow_nan=False) | st.text()),
    st.lists(
        st.sampled_from(["<i4", "<f4", "|b1"]).flatmap(
            lambda kind: st.tuples(st.just(kind), st.lists(st.integers(0, 3), max_size=3))
        )
    ),
)
def test_messages_arrive_as_they_were(words: dict[str, Any], kinds: list[Any]) -> None:
    arrays = [
        np.arange(np.prod(shape), dtype=int).reshape(shape).astype(kind) for kind, shape in kinds
    ]
    heard, received = unpack(pack(words, arrays))
    assert heard == words
    for sent, array in zip(arrays, received, strict=True):
        assert (array.dtype, array.shape) == (sent.dtype, sent.shape)
        np.testing.assert_array_equal(array, sent)


# A group of threads stands in for one of processes


class Threads:
    """What ``connect`` returns, for one of several threads of this process."""

    def __init__(self, rank: int, slots: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, len(slots)
        self._slots, self._barrier = slots, barrier

    def _exchange(self, value: Any) -> list[Any]:
        self._slots[self.rank] = value
        self._barrier.wait()
        values = list(self._slots)
        self._barrier.wait()
        return values

    def average(self, tree: Any) -> Any:
        loss, grads = tree
        names = flatten(grads)
        mx.eval(loss, names)
        own = {"loss": np.array(loss), **{name: np.array(grad) for name, grad in names.items()}}
        everyone = self._exchange(own)
        mean = {name: mx.array(sum(each[name] for each in everyone) / self.size) for name in own}
        return mean.pop("loss"), unflatten(mean, like=grads)

    def broadcast(self, data: bytes = b"") -> bytes:
        return self._exchange(data)[0]

    def gather(self, data: bytes) -> list[bytes]:
        return self._exchange(data)

    def collective(self) -> Any:
        return nullcontext()


def in_threads(size: int, lead: Any, follow: Any) -> Any:
    """Run ``lead`` on process 0 and ``follow`` on the others; return what ``lead`` returns."""
    slots, barrier = [None] * size, threading.Barrier(size)
    everyone = [Processes(Threads(rank, slots, barrier), nobody_gives_up) for rank in range(size)]
    failures: list[BaseException] = []

    def run_follower(processes: Processes) -> None:
        try:
            follow(processes)
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    others = [threading.Thread(target=run_follower, args=(each,)) for each in everyone[1:]]
    for thread in others:
        thread.start()
    try:
        result = lead(everyone[0])
    except BaseException:
        barrier.abort()
        raise
    finally:
        for thread in others:
            thread.join()
    assert not failures
    return result


MODEL = small_config(tie_embeddings=False)


def make_step(config: TrainConfig, group: Any = None, frozen: Sequence[str] = ()) -> Any:
    model = mlx_backend.GPT(MODEL, seed=5)
    freeze(model, frozen)
    return make_train_step(mlx_backend, model, config, group)


def make_batch(seed: int, B: int, kept: float) -> Batch:
    mask = np.random.default_rng(seed).random((B, 6)) < kept if kept < 1 else None
    return Batch(random_tokens(MODEL, B, 6, seed), random_tokens(MODEL, B, 6, seed + 100), mask)


def assert_equal_steps(actual: Any, expected: Any) -> None:
    weights = flatten(expected.model.parameters())
    for name, array in flatten(actual.model.parameters()).items():
        np.testing.assert_allclose(np.asarray(array), weights[name], atol=TOLERANCE, err_msg=name)
    assert actual.optimizer.steps == expected.optimizer.steps


@settings(max_examples=10)
@given(
    st.integers(2, 3),
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1, 0.5, 0])), min_size=3, max_size=4),
    st.sampled_from([(), ("head.weight", "token_embedding.weight")]),
)
def test_masks_and_uneven_shares_train_as_one_process(
    size: int, shapes: list[tuple[int, float]], frozen: tuple[str, ...]
) -> None:
    """Every token weighs the same, whoever has it: batches of any number of rows and mask."""
    config = TrainConfig(batch_size=4, optimizer="sgd", clip_norm=0.5)
    batches = [make_batch(index, B, kept) for index, (B, kept) in enumerate(shapes)]
    alone = make_step(config, frozen=frozen)
    expected = [alone(batches, 0.1) for _ in range(2)]
    followers: list[Any] = []

    def lead(processes: Processes) -> tuple[Any, list[StepResult], tuple[float, float]]:
        step = make_step(config, processes.group, frozen)
        shared = SharedStep(processes, step, config)
        results = [shared(batches, 0.1) for _ in range(2)]
        measured = shared.evaluate(batches[0])
        end_work(processes, 7)
        return step, results, measured

    def follow(processes: Processes) -> None:
        def make(spec: ModelSpec, train: TrainConfig) -> Any:
            assert (spec, train) == (ModelSpec.of(alone.model), config)
            followers.append(
                make_train_step(mlx_backend, spec.build(mlx_backend), train, processes.group)
            )
            return followers[-1]

        assert work(processes, make) == 7

    step, results, measured = in_threads(size, lead, follow)
    for result, one in zip(results, expected, strict=True):
        assert result.loss == pytest.approx(one.loss, abs=TOLERANCE)
        assert result.grad_norm == pytest.approx(one.grad_norm, abs=TOLERANCE)
    assert measured == pytest.approx(alone.evaluate(batches[0]), abs=1e-3)
    for each in (step, *followers):
        assert_equal_steps(each, alone)


def test_each_process_draws_its_own_dropout() -> None:
    """Or the same units would drop in the rows of all."""
    config = TrainConfig(batch_size=3)
    seeds: dict[int, list[Any]] = {0: [], 1: [], 2: []}

    class Recorder:
        def __init__(self, rank: int) -> None:
            whole = make_step(config)
            self.rank, self.model, self.optimizer = rank, whole.model, whole.optimizer

        def __call__(self, batches: Any, rate: float, seed: Any, n_counted: float) -> None:
            seeds[self.rank].append(seed)
            assert (rate, n_counted) == (0.5, 18)

    def lead(processes: Processes) -> None:
        shared = SharedStep(processes, Recorder(0), config)
        shared([make_batch(0, 3, 1)], 0.5, (4, 2))
        shared([make_batch(0, 3, 1)], 0.5)
        end_work(processes, 0)

    in_threads(3, lead, lambda each: work(each, lambda *_: Recorder(each.rank)))
    assert seeds == {rank: [(4, 2, rank), ()] for rank in range(3)}


def test_fewer_windows_than_processes_are_refused() -> None:
    def lead(processes: Processes) -> None:
        config = TrainConfig(batch_size=2)
        with pytest.raises(ConfigError, match=r"batch_size is 2, fewer .* the 3 processes"):
            SharedStep(processes, make_step(config, processes.group), config)

    in_threads(3, lead, lambda processes: None)


def test_what_differs_is_named_on_every_process() -> None:
    def check(processes: Processes) -> None:
        settings = {"steps": 10, "seed": processes.rank // 2, "out": "runs/x"}
        with pytest.raises(ConfigError, match=r"seed is 0 in process 0 but 1 in process 2"):
            check_same_settings(processes, settings)
        check_same_settings(processes, {"steps": 10})

    in_threads(3, check, check)


def test_a_wait_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_explainer.training.distributed.watchdog.PERIOD_S", 0.01)
    given_up: list[float] = []
    noticed = threading.Event()

    def give_up(seconds: float) -> None:
        given_up.append(seconds)
        noticed.set()

    watchdog = Watchdog(give_up)
    with watchdog.limit(1000.0):
        assert not noticed.wait(0.1)
    with watchdog.limit(0.5):
        pass
    assert not noticed.wait(0.8)  # nobody waits any more
    with watchdog.limit(0.02):
        noticed.wait()
    assert given_up == [0.02]
