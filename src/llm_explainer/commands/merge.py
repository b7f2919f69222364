"""The command that makes an ordinary model of a base and its adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from llm_explainer.errors import CheckpointError
from llm_explainer.program import typed


def merge(
    adapter: Annotated[Path, typer.Argument(help="a LoRA run, or a folder of adapters")],
    out: Annotated[Path, Option(help="where the model goes: a new folder")],
    overwrite: Annotated[bool, Option("--overwrite", help="replace the model in --out")] = False,
) -> None:
    """Make an ordinary model of a base and the adapters that were trained on it.

    What the adapters add is added to the weights, so the model computes the same, a little faster,
    and transformers, mlx-lm and every command here load it like any other. The adapters and their
    base stay as they are.

    Examples:

      uv run run_demo.py merge runs/full/lora --out models/stories

      uv run run_demo.py ask models/stories
    """
    from rich.text import Text

    from llm_explainer.adapters import merge_lora
    from llm_explainer.checkpoint import load_checkpoint, save_checkpoint
    from llm_explainer.console.terminal import make_console, show

    console = make_console()
    # Sums are rounded in one way, whichever backend the model will run on.
    model, tokenizer = load_checkpoint(adapter, "numpy")
    if model.lora is None:
        raise CheckpointError(
            f"{adapter} has no adapters to merge: it is an ordinary model already; name a LoRA run"
        )
    path = save_checkpoint(out, merge_lora(model), tokenizer, overwrite=overwrite)
    show(console, f"merged      {path}")
    show(console, "talk to it  ", Text(typed("generate", path), "bold"))
