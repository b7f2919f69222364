"""The command that compares the two backends, layer by layer, in a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.options import Options, given, refuse, with_options
from llm_explainer.config import NO_OPTIONS, SIZES, ModelConfig
from llm_explainer.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from llm_explainer.parity_verdict import Parity

FAMILIES = ("gpt2", "llama")
LENGTH = 64
VERDICTS = {"ok": "green", "wrong": "bold red", "affected": "red"}
MODEL = Options(
    "Model: changes to the size", ModelConfig, omit=("dropout", *NO_OPTIONS), optional=True
)


@with_options(MODEL)
def diff(
    context: typer.Context,
    size: Annotated[str, Option(help=f"named size: {', '.join(SIZES)}")] = "tiny",
    family: Annotated[str, Option(help="gpt2, llama or both")] = "both",
    checkpoint: Annotated[
        Path | None, Option(help="compare with the weights of this model, not with random ones")
    ] = None,
    batch_size: Annotated[int, Option(help="texts that go through both")] = 2,
    length: Annotated[
        int | None, Option(help=f"tokens of each; by default {LENGTH}, or the context if shorter")
    ] = None,
    seed: Annotated[int, Option(help="of the weights and the text", min=0)] = 0,
    parameters: Annotated[
        bool, Option("--parameters", help="show the gradient of every parameter too")
    ] = False,
    **settings: Any,
) -> None:
    """Compare the backends: one batch through NumPy and MLX, from the same weights.

    For every layer the table shows how far MLX is from NumPy: its *output* in the model, where all
    errors before it add up; its output and its backward pass *alone*, where both read the same
    numbers; and the *gradient* of the loss for its parameters, the worst of them. What generation
    and training do comes last. Exits with 1 if a bar is broken: this MLX, or this code, is not to
    be trusted. Sizes differ in the shapes that MLX has its own kernels for, so try yours.

    Examples:

      uv run run_demo.py diff

      uv run run_demo.py diff --size small --family llama --n-kv-heads 1

      uv run run_demo.py diff --checkpoint runs/quick --batch-size 8 --parameters
    """
    from llm_explainer.backend import load_backend
    from llm_explainer.checkpoint import load_model
    from llm_explainer.console.tables import show_table
    from llm_explainer.console.terminal import make_console, show, working
    from llm_explainer.parity import check_parity, random_model
    from llm_explainer.spelling import spelled_out

    if batch_size < 1:
        raise ConfigError(f"--batch-size is {batch_size}; it takes 1 or more")
    load_backend("mlx")  # without it there is nothing to compare
    saved = None
    if checkpoint is not None:
        refuse(given(context) & {*MODEL.names, "size", "family"}, "--checkpoint has its own model")
        saved = load_model(checkpoint, "numpy")
        configs = {str(checkpoint): saved.config}
    else:
        configs = named_configs(size, family, MODEL.take(settings))
    lengths = {name: text_length(length, config) for name, config in configs.items()}
    for name, config in configs.items():
        check_memory(config, batch_size, lengths[name])
    console, results = make_console(), []
    show(console, versions())
    for name, config in configs.items():
        model = random_model(config, seed) if saved is None else saved
        shape = {"batch_size": batch_size, "length": lengths[name], "seed": seed}
        with working(make_console(stderr=True), name) as report:
            parity = check_parity(model, **shape, report=report)
        title = f"{spelled_out(name)}: {batch_size} × {lengths[name]} tokens"
        show_table(console, layer_table(title, parity))
        if parameters:
            show_table(console, parameter_table(parity))
        results.append(parity)
    show(console, *summary(results))
    if not all(parity.is_equal for parity in results):
        raise typer.Exit(1)


def versions() -> str:
    """Return which builds of the two libraries are compared, and on what."""
    from importlib.metadata import version

    from llm_explainer.backend import load_backend

    nn = load_backend("mlx")
    device = f"{nn.device_name()} ({nn.device_kind()})"
    return f"NumPy {version('numpy')} beside MLX {version('mlx')} on {device}"


def named_configs(size: str, family: str, changes: dict[str, Any]) -> dict[str, ModelConfig]:
    """Return the configurations that were asked for, by name.

    Raises:
        ConfigError: no such size or family, or changes that cannot work.
    """
    if family not in (*FAMILIES, "both"):
        raise ConfigError(f"unknown family {family!r}; choose one of {', '.join(FAMILIES)}, both")
    return {
        f"{size}, {name} family": ModelConfig.preset(size, family=name, **changes)
        for name in (FAMILIES if family == "both" else (family,))
    }


def text_length(asked: int | None, config: ModelConfig) -> int:
    """Return how many tokens a text has.

    Raises:
        ConfigError: none, or more than the context takes.
    """
    limit = config.context_length
    if asked is not None and not 1 <= asked <= limit:
        raise ConfigError(f"--length is {asked}; this model takes 1 to {limit} tokens")
    return min(LENGTH, limit) if asked is None else asked


def check_memory(config: ModelConfig, batch_size: int, length: int) -> None:
    """Refuse a batch that both models together cannot be trained on in this machine's memory.

    Raises:
        ConfigError: says how much it would take.
    """
    from llm_explainer.backend import load_backend
    from llm_explainer.machine import available_memory
    from llm_explainer.model_spec import ModelSpec

    as_used = dataclasses.replace(config, context_length=length)
    spec = ModelSpec(as_used)
    backends = [load_backend(name) for name in ("numpy", "mlx")]
    needed = sum(nn.training_bytes(spec, batch_size, nn.available_cores()) for nn in backends)
    # The rows of positions that no text comes to, in both models: float32.
    needed += 2 * 4 * (config.count_parameters() - as_used.count_parameters())
    limit = available_memory()
    if needed > limit:
        raise ConfigError(
            f"--batch-size {batch_size} with {length} tokens takes about {needed / 1e9:,.1f} GB "
            f"for both models, and {limit / 1e9:,.1f} GB are free; use fewer, or a smaller --size"
        )


def layer_table(title: str, parity: Parity) -> Table:
    """Return one row for every layer and stage, in the order of the model."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for heading in ("output", "alone", "backward", "gradient"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for check in parity.checks:
        forward, backward = check.forward_bar, check.gradient_bar
        table.add_row(
            check.name,
            error_cell(check.output, forward),
            error_cell(check.alone, forward),
            error_cell(check.backward, backward),
            error_cell(check.gradient, backward),
            Text(check.verdict, VERDICTS[check.verdict]),
        )
    return table


def parameter_table(parity: Parity) -> Table:
    """Return one row for the gradient of every parameter."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from llm_explainer.parity_verdict import GRADIENT_BAR

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("parameter", no_wrap=True)
    table.add_column("gradient", justify="right", no_wrap=True)
    for name, error in parity.gradients.items():
        table.add_row(name, error_cell(error, GRADIENT_BAR))
    return table


def error_cell(error: float | None, bar: float) -> Text:
    """Return an error as a cell of a table, red where it is over the bar."""
    from rich.text import Text

    if error is None:
        return Text()
    return Text(f"{error:.1e}" if error else "0", "" if error <= bar else "red")


def summary(results: list[Parity]) -> tuple[Text, str]:
    """Return the verdict on all models, in one line or two."""
    from rich.text import Text

    from llm_explainer.parity_verdict import CURVE_BAR, FORWARD_BAR, GRADIENT_BAR

    checks = [check for parity in results for check in parity.checks]
    wrong = [check.name for check in checks if check.verdict == "wrong"]
    if wrong:
        n_affected = sum(check.verdict == "affected" for check in checks)
        names = ", ".join(dict.fromkeys(wrong))
        verdict = Text(f"not the same model: wrong is {names}", "bold red")
        return verdict, f"; {n_affected} more are affected"
    n_gradients = sum(len(parity.gradients) for parity in results)
    worst_logit = max(check.output for check in checks if check.name == "logits")
    worst_gradient = max(error for parity in results for error in parity.gradients.values())
    agree = f"the same model: {len(checks)} checks and {n_gradients} gradients agree"
    return (
        Text(agree, "bold green"),
        f"\nlogits to {worst_logit:.0e} (bar {FORWARD_BAR:.0e} absolute), gradients to "
        f"{worst_gradient:.0e} (bar {GRADIENT_BAR:.0e} relative), training steps: bar "
        f"{CURVE_BAR:.0e}",
    )
