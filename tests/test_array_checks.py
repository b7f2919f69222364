"""Damaged and hostile arrays: one line that names value and place, the same on both backends."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from llm_explainer import ModelConfig, load_backend
from llm_explainer.adapters import apply_lora
from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig

V, B, T, CONTEXT = 11, 2, 3, 4
CONFIG = ModelConfig(vocab_size=V, context_length=CONTEXT, d_model=8, n_layers=1, n_heads=2)
N_TRIED = 1000 if os.environ.get("CAMPAIGNS") else 60
IDS = np.arange(B * T).reshape(B, T) % V
BACKENDS = ("numpy", "mlx")


@pytest.fixture(scope="module")
def calls():
    """Return each public function that takes arrays, on both backends, by name."""
    made = {}
    for backend in BACKENDS:
        nn = load_backend(backend)
        base = nn.GPT(CONFIG, seed=0)
        adapted = apply_lora(base, LoRAConfig(rank=2, targets=("q_proj",)))
        for model, name in ((base, "model"), (adapted, "adapted")):
            made |= calls_of(nn, model, backend, name)
    return made


def calls_of(nn, model, backend, name):
    step = nn.TrainStep(model, nn.SGD(model), workers=1)

    def with_cache(call):
        def run(tokens, **others):
            return call(tokens, model.make_cache(B), **others)

        return run

    def batch(tokens, targets, mask=None, segments=None):
        return Batch(tokens, targets, mask, segments)

    def logits_loss(targets, mask=None):
        logits = np.zeros((B, T, V), np.float32)
        if backend == "mlx":
            import mlx.core as mx

            logits = mx.array(logits)
        return nn.cross_entropy(logits, targets, mask)

    functions = {
        "call": lambda tokens, segments=None: model(tokens, segments=segments),
        "call with cache": with_cache(lambda tokens, cache: model(tokens, cache)),
        "next_logits": with_cache(
            lambda tokens, cache, lengths=None: model.next_logits(tokens, cache, lengths)
        ),
        "next_ids": with_cache(
            lambda tokens, cache, lengths=None: model.next_ids(tokens, cache, lengths)
        ),
        "forward": lambda tokens, segments=None: model.forward(tokens, segments),
        "loss_and_grads": model.loss_and_grads,
        "loss": model.loss,
        "step": lambda *a, **k: step([batch(*a, **k)], 1e-3),
        "evaluate": lambda *a, **k: step.evaluate(batch(*a, **k)),
        "cross_entropy": logits_loss,
    }
    return {(backend, name, key): call for key, call in functions.items()}


FUNCTIONS = {
    "call": ("tokens", "segments"),
    "call with cache": ("tokens",),
    "next_logits": ("tokens", "lengths"),
    "next_ids": ("tokens", "lengths"),
    "forward": ("tokens", "segments"),
    "loss_and_grads": ("tokens", "targets", "mask", "segments"),
    "loss": ("tokens", "targets", "mask", "segments"),
    "step": ("tokens", "targets", "mask", "segments"),
    "evaluate": ("tokens", "targets", "mask", "segments"),
    "cross_entropy": ("targets", "mask"),
}


def good(name):
    if name == "lengths":
        return np.array([T, 1])
    return {"mask": np.ones((B, T), np.float32), "segments": np.zeros((B, T), int)}.get(name, IDS)


def hostile(name, rng):
    """Return what cannot be ``name``."""
    fits = good(name)
    change = rng.integers(9)
    if change == 0:
        shape = [(), (0,), (1, T), (T, B), (B, T, 1), (B, 0), (B + 1, T), (B, CONTEXT + 1)]
        if name == "tokens":
            shape = [(), (0,), (B, T, 1), (B, 0), (0, T), (B, CONTEXT + 1), (T,)]
        return np.ones(shape[rng.integers(len(shape))], fits.dtype)
    if change == 1:
        kinds = [np.complex64, object, "U3", "M8[s]"]
        kinds += [] if name == "mask" else [np.float32, np.float64, np.float16]
        kinds += [bool] if name in ("tokens", "targets", "lengths") else []
        return fits.astype(kinds[rng.integers(len(kinds))])
    if change == 2:
        others = [
            "text",
            b"bytes",
            3,
            2.5,
            {},
            {1},
            object(),
            [[1, 2, 3], [4, 5, 6]],
            (),
            IDS.tolist,
        ]
        others += [None] if name in ("tokens", "targets") else []
        return others[rng.integers(len(others))]
    if name == "segments":
        return np.zeros((B, T + 1), int)
    damaged = np.array(fits, np.int64 if name != "mask" else np.float64)
    place = tuple(rng.integers(size) for size in damaged.shape)
    values = {
        "mask": [-1.0, 2.0, 0.5, np.nan, np.inf],
        "lengths": [0, -1, T + 1, 2**31, -(2**40)],
    }.get(name, [-1, -100, V, V + 7, 2**31, 2**31 - 1, -(2**31), 2**62, 2**32])
    damaged[place] = values[rng.integers(len(values))]
    if name in ("tokens", "targets") and rng.integers(2) and damaged.min() >= 0:
        return damaged.astype(np.uint64)
    return damaged


def message_of(call, arguments):
    try:
        result = call(**arguments)
    except ConfigError as error:
        return str(error)
    raise AssertionError(f"{arguments} gave {type(result)}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_hostile_arrays_are_refused_alike(calls, function):
    rng = np.random.default_rng(len(function))
    names = FUNCTIONS[function]
    for tried in range(N_TRIED):
        damaged = names[tried % len(names)]
        arguments = {name: good(name) for name in names if name == damaged or rng.integers(2)}
        arguments = {name: good(name) for name in names[:2] if name != "segments"} | arguments
        arguments[damaged] = hostile(damaged, rng)
        messages = {
            message_of(calls[backend, model, function], arguments)
            for backend, model in itertools.product(BACKENDS, ("model", "adapted"))
        }
        assert len(messages) == 1, (arguments, messages)
        assert "\n" not in messages.pop()


SAID = {
    "ignored as in PyTorch": (
        {"targets": np.where(IDS == 4, -100, IDS)},
        r"targets\[1, 1\] is -100; ids are 0 to 10; to leave a target out, put any id there and 0",
    ),
    "padding": ({"tokens": IDS - 1}, r"tokens\[0, 0\] is -1; ids are 0 to 10"),
    "above the vocabulary": ({"tokens": IDS + 6}, r"tokens\[1, 2\] is 11; ids are 0 to 10"),
    "one row of targets": (
        {"targets": IDS[:1]},
        r"targets has shape \(1, 3\); \(2, 3\) is expected",
    ),
    "floats": ({"targets": IDS * 1.0}, "targets holds float64; ids are whole numbers"),
    "weights": ({"mask": IDS * 0.5}, r"mask\[0, 1\] is 0.5; 0 and 1 are expected"),
    "one segment for all": ({"segments": IDS[0]}, r"segments has shape \(3,\); \(2, 3\)"),
    "a list": ({"tokens": IDS.tolist()}, "tokens is of type list; an array is expected"),
}


@pytest.mark.parametrize(("arguments", "message"), SAID.values(), ids=SAID)
def test_what_is_said(calls, arguments, message):
    for backend in BACKENDS:
        with pytest.raises(ConfigError, match=message):
            calls[backend, "model", "loss_and_grads"](
                **{"tokens": IDS, "targets": IDS, **arguments}
            )


def test_ids_in_any_integer_type(calls):
    kinds = (np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64)
    for backend in BACKENDS:
        call = calls[backend, "model", "loss_and_grads"]
        losses = {float(call(IDS.astype(kind), IDS.astype(kind))[0]) for kind in kinds}
        assert len(losses) == 1


def test_batches_of_something_else():
    for backend in BACKENDS:
        nn = load_backend(backend)
        model = nn.GPT(CONFIG)
        step = nn.TrainStep(model, nn.SGD(model), workers=1)
        for batches in ([], None, [(IDS, IDS)], [IDS], Batch(IDS, IDS)):
            with pytest.raises(ConfigError, match="Batch"):
                step(batches, 1e-3)
        with pytest.raises(ConfigError, match="n_counted is nan"):
            step([Batch(IDS, IDS)], 1e-3, n_counted=float("nan"))
