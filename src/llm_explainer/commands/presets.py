"""The command that lists the named model sizes and what they cost on this machine."""

from __future__ import annotations

from typing import Annotated

from typer import Option

MEASURED_SIZE = "small"
GOOD_FOR = {
    "tiny": "trying things out, in seconds",
    "small": "stories that hold together, in minutes",
    "medium": "a book of your own, in an hour",
    "large": "a long night on a processor",
    "50m": "a GPU (50 M with its head untied)",
    "gpt2-small": "GPT-2's weights, fine-tuned",
    "gpt2-medium": "the same, with a GPU",
}
MEASURED_WINDOWS = 16
MEASURED_SECONDS = 1.5


def presets(
    family: Annotated[str, Option(help="gpt2 or llama")] = "gpt2",
    batch_size: Annotated[int, Option(help="windows in a step, for the memory column")] = 8,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
) -> None:
    """Show the named model sizes: shape, parameters, memory for training, speed on this machine.

    The speed is an estimate: one size is trained for a moment, and the others are taken to do as
    many floating-point operations a second.

    Examples:

      uv run run_demo.py presets

      uv run run_demo.py presets --family llama --batch-size 16
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from llm_explainer.backend import load_backend
    from llm_explainer.config import SIZES, ModelConfig
    from llm_explainer.console.tables import show_table
    from llm_explainer.console.terminal import make_console, working
    from llm_explainer.errors import ConfigError
    from llm_explainer.model_spec import ModelSpec
    from llm_explainer.training.config import TrainConfig
    from llm_explainer.training.step_timer import measure_speed

    if batch_size < 1:
        raise ConfigError(f"--batch-size is {batch_size}; it takes 1 or more")
    console = make_console()
    nn = load_backend(backend)
    configs = {size: ModelConfig.preset(size, family=family) for size in SIZES}
    with working(console, f"training {MEASURED_SIZE} for a moment to measure this machine"):
        measured, train = configs[MEASURED_SIZE], TrainConfig(batch_size=MEASURED_WINDOWS)
        speed = measure_speed(nn, ModelSpec(measured), train, MEASURED_SECONDS)
    rate = speed * measured.training_flops_per_token()  # floating-point operations a second
    workers = nn.available_cores()
    title = f"{family} family, batches of {batch_size} windows, {workers} workers"
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("size", no_wrap=True)
    for heading in ("width", "heads", "layers", "context", "vocab", "params"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    for size, config in configs.items():
        memory = nn.training_bytes(ModelSpec(config), batch_size, workers)
        table.add_row(
            size,
            f"{config.d_model:,}",
            f"{config.n_heads}",
            f"{config.n_layers}",
            f"{config.context_length:,}",
            f"{config.vocab_size:,}",
            f"{config.count_parameters() / 1e6:,.2f} M",
            f"{memory / 1e9:.2f} GB",
            f"{rate / config.training_flops_per_token():,.0f}",
        )
    show_table(console, table)
    width = max(map(len, configs))
    console.print("\ngood for")
    for size in configs:
        console.print(f"{size:{width}}  {GOOD_FOR[size]}", highlight=False)
    console.print(
        "\nMemory and tokens/s are for training; the speed is an estimate from "
        f"{rate / 1e9:,.0f} billion operations a second, just measured on {MEASURED_SIZE}."
    )
