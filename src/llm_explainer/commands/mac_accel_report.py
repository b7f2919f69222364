"""What mac-accel shows when its run is done: a sample, the comparison, what to do next."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from llm_explainer.backend import load_backend
from llm_explainer.commands.mac_accel import RUNS
from llm_explainer.console.run_table import run_table
from llm_explainer.generation import generate
from llm_explainer.machine import available_memory
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.comparison import FinishedRun, comparable, find_runs, read_run
from llm_explainer.training.comparison_figure import draw_comparison
from llm_explainer.training.pretrain import Run
from llm_explainer.training.speed import measure_speed

PICTURE = "comparison.png"
DEVICES = {"metal": "Metal GPU", "cuda": "CUDA GPU", "cpu": "CPU"}
SAMPLE_TOKENS, TEMPERATURE, TOP_P = 200, 0.7, 0.9


def report(run: Run, nn: ModuleType, console: Console) -> None:
    """Show what the model of a finished run on ``nn`` writes, and how the run compares."""
    console.print("[bold]4.[/] What it writes:")
    show_sample(run, console)
    this = read_run(run.folder)
    assert this is not None  # it has just finished
    console.print("[bold]5.[/] The same model in NumPy, for a moment:")
    speeds = compare_speeds(run, nn, this, console)
    runs = comparable(this, find_runs(run.folder.path.parent))
    others = len(runs) - 1
    console.print(f"[bold]6.[/] This run beside {others or 'no'} other{'s' * (others != 1)}:")
    console.print(run_table(runs, this))
    picture = run.folder.path.parent / PICTURE
    draw_comparison(runs, this, speeds, picture)
    console.print(f"picture     {picture}", soft_wrap=True)
    suggest(run.folder.path, nn, console)


def show_sample(run: Run, console: Console) -> None:
    """Show a text by the model, from the beginning of one where its corpus has beginnings."""
    trainer = run.trainer
    assert trainer.tokenizer is not None  # one was trained
    with console.status("writing"):
        pieces = generate(
            trainer.model,
            trainer.tokenizer,
            "" if trainer.tokenizer.end_of_text is not None else "\n",
            max_tokens=SAMPLE_TOKENS,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            seed=trainer.config.seed,
            windowed=True,
        )
        text = "".join(pieces).strip()
    console.print(Panel(Text(text), width=min(console.width, 88)))


def compare_speeds(
    run: Run, nn: ModuleType, this: FinishedRun, console: Console
) -> dict[str, float]:
    """Measure the model in NumPy; return and show the tokens a second of each backend."""
    reference, trainer = load_backend("numpy"), run.trainer
    own = f"MLX, {DEVICES[nn.device_kind()]}"
    if nn is reference:
        console.print(f"  this run was it: {this.tokens_per_s:,.0f} tokens/s")
        return {"NumPy": this.tokens_per_s}
    speeds = {own: this.tokens_per_s}
    config, train = trainer.model.config, trainer.config
    needed = reference.training_bytes(ModelSpec.of(trainer.model), train.batch_size, train.threads)
    if needed > available_memory():
        console.print(f"  left out: it would take {needed / 1e9:.1f} GB of memory")
        return speeds
    with console.status("training in NumPy"):
        speeds["NumPy"] = measure_speed(reference, config, train)
    ratio = speeds[own] / speeds["NumPy"]
    verdict = (
        f"MLX is {ratio:.1f} times as fast"
        if ratio >= 1
        else f"NumPy is {1 / ratio:.1f} times as fast"
    )
    console.print(
        f"  {own}: {speeds[own]:,.0f} tokens/s; NumPy, {train.threads} threads: "
        f"{speeds['NumPy']:,.0f} tokens/s. [bold]{verdict}.[/]",
        highlight=False,
    )
    return speeds


def suggest(path: Path, nn: ModuleType, console: Console) -> None:
    """Say what to do next."""
    is_mlx = nn is not load_backend("numpy")
    options = "" if path.parent == RUNS else f" --out {path.parent}"
    if is_mlx and nn.device_kind() == "cpu":
        options += " --backend numpy"  # MLX's build for the CPU would take very long
    console.print("\n[bold]Next[/]")
    for command, purpose in (
        (f"mac-accel --data-size 0.5{options}", "what more data changes"),
        (f"mac-accel --model-size small{options}", "what a larger model changes"),
        (f"generate {path}", "continue a text of yours"),
        (f"generate {path} --backend {'numpy' if is_mlx else 'mlx'}", "on the other backend"),
    ):
        console.print(f"  uv run run_demo.py {command}", highlight=False, soft_wrap=True)
        console.print(f"      [dim]{purpose}[/]", highlight=False)
