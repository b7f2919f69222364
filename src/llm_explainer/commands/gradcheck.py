"""The command that proves the hand-written gradients of small models, in a table."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.options import Options, with_options
from llm_explainer.config import NO_OPTIONS, ModelConfig
from llm_explainer.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from llm_explainer.gradcheck import ParameterCheck
    from llm_explainer.lora_config import LoRAConfig

SMALL = {
    "vocab_size": 7,
    "context_length": 6,
    "d_model": 8,
    "n_layers": 2,
    "n_heads": 4,
    "d_ff": 12,
}
"""Large enough that every parameter matters, small enough to nudge every number of them."""

PATIENCE = 2.0
"""Seconds without a sign of life before a progress bar appears."""

SILENT_PARAMETERS = 100_000
"""So many keep it silent for so long in any case: the bar appears at once."""

FAMILIES = ("gpt2", "llama")
VERDICTS = {"ok": ("ok", "green"), "zero": ("ok, zero", "green"), "wrong": ("wrong", "bold red")}
MODEL = Options(
    "Model: changes to the small one", ModelConfig, omit=("dropout", *NO_OPTIONS), optional=True
)


@with_options(MODEL)
def gradcheck(
    family: Annotated[str, Option(help="gpt2, llama or both")] = "both",
    lora: Annotated[bool, Option("--lora", help="check adapters on every layer")] = False,
    dora: Annotated[bool, Option("--dora", help="the same with DoRA, its lengths held")] = False,
    seed: Annotated[int, Option(help="of the weights and the text", min=0)] = 0,
    **settings: Any,
) -> None:
    """Prove the gradients: every parameter of a small model beside central differences.

    The backward passes of this project are derived by hand. Here each single number of a small
    model is nudged up and down, the change of the result is measured in float64, and the table
    shows how far the gradient is from that: right ones agree to better than one part in a million.
    Exits with 1 if one is wrong.

    Examples:

      uv run run_demo.py gradcheck

      uv run run_demo.py gradcheck --family llama --n-kv-heads 1

      uv run run_demo.py gradcheck --lora

      uv run run_demo.py gradcheck --family gpt2 --position sinusoidal --no-tie-embeddings
    """
    from llm_explainer.console.tables import show_table
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.gradcheck import TOLERANCE

    if family not in (*FAMILIES, "both"):
        raise ConfigError(f"unknown family {family!r}; choose one of {', '.join(FAMILIES)}, both")
    changes = MODEL.take(settings)
    configs = {
        name: small_model(name, changes) for name in (FAMILIES if family == "both" else (family,))
    }
    console = make_console()
    n_wrong = n_checked = 0
    for name, config in configs.items():
        adapters = small_adapters(dora) if lora or dora else None
        checks = check_with_bar(name, config, seed, adapters)
        show_table(console, make_table(name, config, checks, adapters))
        n_wrong += sum(check.verdict == "wrong" for check in checks)
        n_checked += len(checks)
    if n_wrong:
        show(console, f"{n_wrong} of {n_checked} gradients are wrong", style="bold red")
        raise typer.Exit(1)
    verdict = f"all {n_checked} gradients agree to {TOLERANCE:.0e} relative"
    show(console, verdict, style="bold green")


def small_model(family: str, changes: dict[str, Any]) -> ModelConfig:
    """Return the small model of a family; the Llama has grouped-query attention, as it is named.

    Raises:
        ConfigError: ``changes`` make a model that cannot work.
    """
    fields: dict[str, Any] = dict(SMALL)
    if family == "llama" and "n_heads" not in changes:
        fields["n_kv_heads"] = SMALL["n_heads"] // 2
    return ModelConfig.preset("tiny", family=family, **{**fields, **changes})


def small_adapters(dora: bool) -> LoRAConfig:
    """Return adapters for every layer of a small model, with a rank and a scale of its own each."""
    from llm_explainer.lora_config import ALL_LINEAR, HEAD, LoRAConfig

    return LoRAConfig(
        rank=2,
        alpha=3.0,
        targets=(ALL_LINEAR, HEAD),
        dora=dora,
        rank_pattern={"k_proj": 1, "down_proj": 1},
        alpha_pattern={"v_proj": 1.5},
    )


def check_with_bar(
    name: str, config: ModelConfig, seed: int, lora: LoRAConfig | None
) -> list[ParameterCheck]:
    """Check a model; if that takes a while, show how far it is (on stderr)."""
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import make_console
    from llm_explainer.gradcheck import check_model

    start = time.monotonic()
    with ExitStack() as stack:
        bars: list[StageProgress] = []
        if config.count_parameters() > SILENT_PARAMETERS:  # the first report is far off
            bars.append(stack.enter_context(StageProgress(make_console(stderr=True))))
            bars[0].report(f"{name}: nudging", 0, None)

        def report(done: int, total: int) -> None:
            if not bars and time.monotonic() - start > PATIENCE:
                bars.append(stack.enter_context(StageProgress(make_console(stderr=True))))
            for bar in bars:
                bar.report(f"{name}: nudging", done, total)

        return check_model(config, seed, lora=lora, on_progress=report)


def make_table(
    name: str, config: ModelConfig, checks: list[ParameterCheck], lora: LoRAConfig | None
) -> Table:
    """Return one row for every parameter that was checked."""
    from rich.table import Table
    from rich.text import Text

    switches = f"{config.norm} ({config.norm_position}), {config.position} positions"
    switches += f", {config.activation}"
    what = f"{config.count_parameters():,} parameters"
    if lora is not None:
        what = f"{lora.count_parameters(config):,} parameters of adapters, {what} frozen"
    table = Table(title=f"{name}: {what}, {switches}", title_justify="left")
    table.add_column("parameter", no_wrap=True)
    table.add_column("shape", justify="right", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for check in checks:
        shape = " × ".join(str(size) for size in check.shape)
        error = f"{check.relative_error:.1e}"
        table.add_row(check.name, shape, error, Text(*VERDICTS[check.verdict]))
    return table
