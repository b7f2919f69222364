"""Whether the two backends are the same model: one batch through both, layer by layer.

NumPy is the reference: its gradients are proved by central differences (``gradcheck.py``), and here
it is held against ``plain`` first. What the errors mean is said in ``parity_verdict.py``.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_explainer import plain
from llm_explainer.backend import load_backend
from llm_explainer.batch import Batch
from llm_explainer.config import ModelConfig
from llm_explainer.gradcheck import least_lengths, relative_error
from llm_explainer.layer_calls import LayerCall, layer_calls
from llm_explainer.model_spec import ModelSpec
from llm_explainer.parity_verdict import CURVE_BAR, LayerCheck, Parity, judge
from llm_explainer.tree import Tree, flatten

Array = NDArray[Any]

FLOAT32_FLOOR = 0.01
"""As gradcheck's, for numbers that are rounded to seven digits instead of sixteen."""

N_STEPS, LEARNING_RATE = 3, 1e-3
N_CACHED = 4  # tokens that are read one by one, as in generation


def random_model(config: ModelConfig, seed: int = 0) -> Any:
    """Return a NumPy model in which every parameter matters.

    Fresh biases are 0 and fresh norms 1, which would hide an error in their use; so noise is added
    to everything, small enough for sums over a row to stay near 1.
    """
    model = load_backend("numpy").GPT(config, seed=seed)
    rng = np.random.default_rng(seed)
    for array in flatten(model.parameters()).values():
        array += rng.normal(scale=array.shape[-1] ** -0.5, size=array.shape)
    return model


def check_parity(
    model: Any,
    *,
    batch_size: int = 2,
    length: int = 64,
    seed: int = 0,
    report: Callable[[str], None] = lambda name: None,
) -> Parity:
    """Compare a NumPy model with its twin on MLX, of the same weights, on random tokens.

    Args:
        model: a ``GPT`` of the NumPy backend; it is trained for a few steps in passing
        batch_size: texts, B
        length: tokens of each, T; at most the context
        seed: of the tokens, and of the gradients that flow back into single layers
        report: called with the name of what is compared next

    Raises:
        BackendUnavailable: this machine has no MLX.
    """
    reference, nn = load_backend("numpy"), load_backend("mlx")
    twin = ModelSpec.of(model).build(nn)
    twin.update(model.parameters())
    rng = np.random.default_rng(seed)
    tokens, targets = rng.integers(0, model.config.vocab_size, (2, batch_size, length))  # (B, T)
    report("the loss and its gradients")
    loss, grads = model.loss_and_grads(tokens, targets)
    twin_loss, twin_grads = twin.loss_and_grads(tokens, targets)
    gradients = gradient_errors(twin_grads, grads)
    report("the plain model")
    checks = [_check_reference(model, tokens, targets, grads)]
    others = {stage.name: stage for stage in stages(twin, tokens)}
    for stage in stages(model, tokens):
        report(stage.name)
        checks.append(_check_stage(nn, stage, others.get(stage.name), gradients, rng))
    checks.append(_check_loss(nn, model(tokens), targets, abs(twin_loss - loss)))
    report("generation and training")
    checks.append(LayerCheck("cached logits", _cached_error(model, twin, tokens)))
    checks.append(_check_steps(reference, model, nn, twin, tokens, targets))
    return Parity(judge(checks), gradients)


def stages(model: Any, tokens: Array) -> Iterator[LayerCall]:
    """Yield every layer of a model of either backend at work on ``tokens`` (B, T), and between them
    what the model does itself: adding up the embeddings, and the logits. Those have no layer."""
    calls, logits = layer_calls(model, tokens)
    first = next(call for call in calls if call.name.startswith("blocks."))
    for call in calls:
        if call is first:
            yield LayerCall("embeddings", None, tokens, first.x)
        yield call
    yield LayerCall("logits", None, calls[-1].x, logits)


def gradient_errors(actual: Tree, expected: Tree) -> dict[str, float]:
    """Return every array's relative error, by dotted name; a wrong shape is infinitely wrong.

    Raises:
        KeyError: the names, or their order, differ.
    """
    found, right = flatten(actual), flatten(expected)
    if list(found) != list(right):
        raise KeyError(f"gradients of different names: {sorted(found.keys() ^ right.keys())}")
    floors = least_lengths(right, FLOAT32_FLOOR)
    return {name: _relative_error(found[name], a, floors[name]) for name, a in right.items()}


def _check_reference(model: Any, tokens: Array, targets: Array, grads: Tree) -> LayerCheck:
    """Hold the NumPy model itself against ``plain``, so that it is known which of two is wrong."""
    right: dict[str, Array] = {}

    def keep(name: str, array: Array) -> None:
        right[name] = array.copy()

    logits, backward = plain.gpt(tokens, model.parameters(), model.config, keep)
    _, loss_backward = plain.cross_entropy(logits, targets)
    all_gradients = flatten(backward(loss_backward()))
    wanted = {name: all_gradients[name] for name in flatten(grads)}  # what is not frozen
    gradients = gradient_errors(grads, wanted)
    outputs = [
        _largest_error(stage.y, right[stage.name], _unit(right[stage.name]))
        for stage in stages(model, tokens)
        if stage.name in right  # an untied head's result is the logits
    ]
    return LayerCheck("NumPy beside plain", _worst(outputs), gradient=_worst([*gradients.values()]))


def _check_stage(
    nn: ModuleType,
    stage: LayerCall,
    twin: LayerCall | None,
    gradients: dict[str, float],
    rng: np.random.Generator,
) -> LayerCheck:
    """Hold MLX's ``twin`` of a stage against NumPy's, in the model and alone."""
    if twin is None:  # a layer that MLX's model never called
        return LayerCheck(stage.name, np.inf)
    unit = 1.0 if stage.name == "logits" else _unit(stage.y)
    output = _largest_error(twin.y, stage.y, unit)
    if stage.layer is None:
        return LayerCheck(stage.name, output)
    y, backward = stage.layer.forward(stage.x)
    twin_y, twin_backward = twin.layer.forward(nn.as_array(stage.x))
    dy = rng.normal(size=y.shape).astype(np.float32)  # random: a constant one hides errors of norms
    (dx, grads), (twin_dx, twin_grads) = backward(dy), twin_backward(nn.as_array(dy))
    errors = [_relative_error(twin_dx, dx), *gradient_errors(twin_grads, grads).values()]
    own = [gradients[f"{stage.name}.{name}"] for name in flatten(grads)]
    return LayerCheck(
        stage.name,
        output,
        alone=_largest_error(twin_y, y, _unit(y)),
        backward=_worst(errors),
        gradient=_worst(own),
    )


def _check_loss(nn: ModuleType, logits: Array, targets: Array, in_model: float) -> LayerCheck:
    """Hold the cross-entropy of the same logits (B, T, V), and its gradient, against NumPy's."""
    loss, backward = load_backend("numpy").cross_entropy(logits, targets)
    twin_loss, twin_backward = nn.cross_entropy(nn.as_array(logits), targets)
    error = _relative_error(twin_backward(), backward())
    return LayerCheck("cross_entropy", in_model, alone=abs(twin_loss - loss), backward=error)


def _cached_error(model: Any, twin: Any, tokens: Array) -> float:
    """Return the largest error of the logits when tokens (B, T) come one by one, as they do in
    generation, after a prompt that is read at once."""
    n_prompt = max(1, tokens.shape[1] - N_CACHED)
    caches = [each.make_cache(len(tokens)) for each in (model, twin)]
    errors = []
    for start, stop in pairwise([0, *range(n_prompt, tokens.shape[1] + 1)]):
        logits, twin_logits = (
            each.next_logits(tokens[:, start:stop], cache)
            for each, cache in zip((model, twin), caches, strict=True)
        )
        errors.append(_largest_error(twin_logits, logits))
    return _worst(errors)


def _check_steps(
    nn: ModuleType, model: Any, twin_nn: ModuleType, twin: Any, tokens: Array, targets: Array
) -> LayerCheck:
    """Train both for a few steps as the trainer does: on a GPU, MLX's step is compiled."""
    steps, twin_steps = (
        [train([Batch(tokens, targets)], LEARNING_RATE) for _ in range(N_STEPS)]
        for train in (
            nn.TrainStep(model, nn.AdamW(model)),
            twin_nn.TrainStep(twin, twin_nn.AdamW(twin)),
        )
    )
    pairs = list(zip(steps, twin_steps, strict=True))
    return LayerCheck(
        f"{N_STEPS} training steps",
        _worst([abs(twin.loss - step.loss) for step, twin in pairs]),
        gradient=_worst([abs(twin.grad_norm / step.grad_norm - 1) for step, twin in pairs]),
        forward_bar=CURVE_BAR,
        gradient_bar=CURVE_BAR,
    )


def _largest_error(actual: Any, expected: Array, unit: float = 1.0) -> float:
    found = np.asarray(actual)
    if found.shape != expected.shape:
        return np.inf
    return float(np.abs(found - expected).max(initial=0.0)) / unit


def _relative_error(actual: Any, expected: Array, floor: float = 0.0) -> float:
    found = np.asarray(actual)
    if found.shape != expected.shape:
        return np.inf
    return relative_error(found, expected, floor)


def _unit(y: Array) -> float:
    """Return what absolute errors of y are measured in: 1, or its largest number above that."""
    return max(1.0, float(np.abs(y).max(initial=0.0)))


def _worst(errors: list[float]) -> float:
    """Return the largest error, and NaN where there is one: ``max`` would lose it."""
    return float(np.max(errors)) if errors else 0.0
