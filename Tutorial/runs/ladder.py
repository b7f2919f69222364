"""The same training step seven times, each time with less left to Python or to memory: chapter 12.

    uv run python Tutorial/runs/ladder.py

writes ladder.json beside this file, in less than a minute. The step is the gradient of a batch,
clipping and AdamW. Rungs take turns, and the fastest turn of each counts. Up to the fifth rung one
core works; the next has two workers, a core each; MLX does as it likes.
"""

from __future__ import annotations

import ast
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from llm_explainer import ModelConfig, load_backend, plain
from llm_explainer.batch import Batch
from llm_explainer.errors import BackendUnavailable
from llm_explainer.gradcheck import relative_error
from llm_explainer.numpy_backend.activations import GELU
from llm_explainer.numpy_backend.causal import causal_attention
from llm_explainer.numpy_backend.kernels import column_sums
from llm_explainer.tree import Tree, flatten, unflatten

Array = np.ndarray[Any, Any]
MODULES = [
    *("contract", "layers", "activations", "positions", "attention"),
    *("feed_forward", "block", "model", "loss", "training"),
]
SIZE, B, RATE = "tiny", 8, 1e-3
TURNS, FEWER = 30, {"Python loops": 2, "a row at a time": 6}


def main() -> None:
    """Write what each rung takes, what came out, and what single changes buy."""
    config = ModelConfig.preset(SIZE, family="gpt2")
    model = load_backend("numpy").GPT(config, seed=0)
    parameters = unflatten(
        {name: array.copy() for name, array in flatten(model.parameters()).items()},
        like=model.parameters(),
    )
    rng = np.random.default_rng(12)
    tokens, targets = rng.integers(0, config.vocab_size, (2, B, config.context_length))  # (B, T)
    rungs = make_rungs(config, parameters, tokens, targets)
    stored = {
        "machine": f"{processor()}, {platform.system()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}",
        "step": {"size": SIZE, "B": B, "T": config.context_length},
        "rungs": measure(rungs),
        "changes": single_changes(),
        "errors": gradient_errors(config, parameters, tokens, targets),
    }
    path = Path(__file__).with_name("ladder.json")
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def make_rungs(
    config: ModelConfig, parameters: Tree, tokens: Array, targets: Array
) -> dict[str, Callable[[], float]]:
    """Return the rungs: each call is a step, and returns its loss."""
    return {
        "Python loops": plain_rung(config, parameters, tokens, targets, product=by_loops),
        "a row at a time": plain_rung(config, parameters, tokens, targets, product=by_rows),
        "plain, float64": plain_rung(config, parameters, tokens, targets, dtype=np.float64),
        "plain, float32": plain_rung(config, parameters, tokens, targets),
        "tuned": tuned_rung("numpy", config, parameters, tokens, targets, workers=1),
        "two workers": tuned_rung("numpy", config, parameters, tokens, targets, workers=2),
        **mlx_rung(config, parameters, tokens, targets),
    }


def plain_rung(
    config: ModelConfig,
    parameters: Tree,
    tokens: Array,
    targets: Array,
    *,
    dtype: type = np.float32,
    product: Callable[[Array, Array], Array] | None = None,
) -> Callable[[], float]:
    """Return a step of ``plain``, with a product of one's own in the place of NumPy's."""
    training = plain if product is None else plain_with(product)
    flat = {name: array.astype(dtype) for name, array in flatten(parameters).items()}
    start = unflatten(flat, like=parameters)
    state = plain.start_adamw(start)
    return lambda: float(training.train_step(tokens, targets, start, state, config, RATE)[0])


def plain_with(product: Callable[[Array, Array], Array]) -> ModuleType:
    """Return ``plain.training`` anew, with ``product(a, b)`` for every ``a @ b`` of ``plain``."""
    package = f"plain_{product.__name__}"
    for name in MODULES:
        spec = find_spec(f"llm_explainer.plain.{name}")
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        tree = _Replaced().visit(ast.parse(source.replace("llm_explainer.plain.", f"{package}.")))
        module = ModuleType(f"{package}.{name}")
        module.__dict__["product"] = product
        sys.modules[module.__name__] = module
        exec(compile(ast.fix_missing_locations(tree), name, "exec"), module.__dict__)
    return module


class _Replaced(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.MatMult):
            return node
        return ast.Call(ast.Name("product", ast.Load()), [node.left, node.right], [])


def by_loops(a: Array, b: Array) -> Array:
    """Return a @ b, number by number."""
    stacked, other = pairs(a, b)
    results = []
    for left, right in zip(stacked, other, strict=True):
        columns = list(zip(*right.tolist(), strict=True))
        rows = left.tolist()
        results.append([[sum_of_products(row, column) for column in columns] for row in rows])
    return np.array(results, np.result_type(a, b)).reshape(shape_of_product(a, b))


def sum_of_products(row: list[float], column: tuple[float, ...]) -> float:
    """Return the dot product, as a loop."""
    total = 0.0
    for x, y in zip(row, column, strict=True):
        total += x * y
    return total


def by_rows(a: Array, b: Array) -> Array:
    """Return a @ b, a row of the result at a time."""
    stacked, other = pairs(a, b)
    rows = [
        left_row @ right for left, right in zip(stacked, other, strict=True) for left_row in left
    ]
    return np.array(rows).reshape(shape_of_product(a, b))


def pairs(a: Array, b: Array) -> tuple[Array, Array]:
    """Return two arrays of as many matrices, (n, rows, K) and (n, K, columns)."""
    front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(x, (*front, *x.shape[-2:])) for x in (a, b))
    return a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:])


def shape_of_product(a: Array, b: Array) -> tuple[int, ...]:
    """Return the shape of a @ b."""
    return (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])


def tuned_rung(
    backend: str, config: ModelConfig, parameters: Tree, tokens: Array, targets: Array, workers: int
) -> Callable[[], float]:
    """Return a step of a backend."""
    nn = load_backend(backend)
    model = nn.GPT(config, seed=0)
    model.update(parameters)
    step, batch = nn.TrainStep(model, nn.AdamW(model), workers=workers), Batch(tokens, targets)

    def run() -> float:
        return float(step([batch], RATE).loss)

    return run


def mlx_rung(
    config: ModelConfig, parameters: Tree, tokens: Array, targets: Array
) -> dict[str, Callable[[], float]]:
    """Return MLX's step, named after its device, or nothing where there is no MLX."""
    try:
        kind = load_backend("mlx").device_kind()
    except BackendUnavailable:
        return {}
    return {f"MLX, {kind}": tuned_rung("mlx", config, parameters, tokens, targets, workers=1)}


def measure(rungs: dict[str, Callable[[], float]]) -> list[dict[str, Any]]:
    """Return the loss of each rung's first step, and the milliseconds of its fastest turn."""
    losses, best = {}, dict.fromkeys(rungs, math.inf)
    for turn in range(TURNS):
        for name, step in rungs.items():
            if turn >= FEWER.get(name, TURNS):
                continue
            with threadpool_limits(1, user_api="blas"):
                start = time.perf_counter()
                loss = step()
                best[name] = min(best[name], time.perf_counter() - start)
            losses.setdefault(name, loss)
    return [
        {"rung": name, "ms": float(f"{1e3 * best[name]:.4g}"), "loss": round(losses[name], 6)}
        for name in rungs
    ]


def single_changes() -> list[dict[str, Any]]:
    """Return what single changes of the tuned backend buy, on arrays of the size small."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2048, 512)).astype(np.float32)  # (B·T, F)
    cube = rows[:128].copy()
    q, k, v = rng.normal(size=(3, 8, 4, 256, 32)).astype(np.float32)  # (B, n_heads, T, H)
    gelu = GELU()
    cases: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "x ** 3 as x * x * x": (lambda: cube**3, lambda: cube * cube * cube),
        "sums over rows as a product": (lambda: rows.sum(0), lambda: column_sums(rows)),
        "GELU and its slope in blocks": (
            lambda: plain.gelu(rows)[1](rows),
            lambda: gelu.forward(rows)[1](rows),
        ),
        "attention in bands": (
            lambda: plain.causal_attention(q, k, v),
            lambda: causal_attention(q[:, :, None], k[:, :, None], v[:, :, None]),
        ),
        "float32 instead of float64": (
            _product_of(rows.astype(np.float64)),
            _product_of(rows),
        ),
    }
    found = []
    with threadpool_limits(1, user_api="blas"):
        for name, both in cases.items():
            before, after = (min(seconds(call) for _ in range(TURNS)) for call in both)
            digits = (float(f"{1e3 * s:.3g}") for s in (before, after))
            found.append(
                dict(zip(("change", "before_ms", "after_ms"), (name, *digits), strict=True))
            )
    return found


def _product_of(rows: Array) -> Callable[[], Any]:
    return lambda: rows.T @ rows


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def gradient_errors(
    config: ModelConfig, parameters: Tree, tokens: Array, targets: Array
) -> dict[str, dict[str, float]]:
    """Return every gradient's relative error in float32, beside ``plain`` in float64."""

    def of_plain(dtype: type) -> dict[str, Any]:
        flat = {name: array.astype(dtype) for name, array in flatten(parameters).items()}
        logits, backward = plain.gpt(tokens, unflatten(flat, like=parameters), config)
        return flatten(backward(plain.cross_entropy(logits, targets)[1]()))

    exact = of_plain(np.float64)
    found = {"plain": of_plain(np.float32)}
    for backend in ("numpy", "mlx"):
        try:
            model = load_backend(backend).GPT(config, seed=0)
        except BackendUnavailable:
            continue
        model.update(parameters)
        found[backend] = flatten(model.loss_and_grads(tokens, targets)[1])
    return {
        name: {
            key: float(f"{relative_error(np.asarray(grads[key], np.float64), exact[key]):.2g}")
            for key in exact
        }
        for name, grads in found.items()
    }


def processor() -> str:
    """Return the processor's name, as far as it is known."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
