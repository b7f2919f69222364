"""The command that fetches a model from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from llm_explainer.errors import CheckpointError


def get(
    name: Annotated[
        str,
        Argument(
            help="smollm2 (0.27 GB), smollm2-360m (0.72 GB), qwen2.5-0.5b (1 GB), qwen3-0.6b "
            "(1.5 GB), llama-3.2-1b (2.5 GB) or gpt2 (0.55 GB)"
        ),
    ],
    to: Annotated[
        Path | None, Option(help="the folder; models/NAME by default", show_default=False)
    ] = None,
) -> None:
    """Fetch a model that people use, and check it; a download that broke off goes on.

    It comes from the Hugging Face Hub, by a fixed commit: weights in safetensors and settings in
    JSON, nothing that can run code. What it is licensed under is said first; Llama's licence has to
    be accepted on its page. The package huggingface_hub does it: `uv sync --extra hub`.

    Examples:

      uv run run_demo.py get smollm2

      uv run run_demo.py get qwen3-0.6b --to ~/models/qwen3
    """
    from rich.text import Text

    from llm_explainer.checkpoint.hub import MODELS, fetch, list_files
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.program import typed

    if name not in MODELS:
        raise CheckpointError(f"{name!r} is not known; choose one of {', '.join(MODELS)}")
    model, folder = MODELS[name], (to or Path("models") / name).expanduser()
    console = make_console()
    gated = f", to be accepted at {model.page}" if model.is_gated else ""
    show(console, f"model       {model.repository}, commit {model.commit[:12]}")
    show(console, f"licence     {model.licence}{gated}")
    show(console, f"size        about {model.gigabytes} GB")
    files = list_files(model, folder)
    fetch(model, files, folder)
    n_bytes = sum(file.size for file in files)
    show(console, f"checked     {folder}, {len(files)} files, {n_bytes / 1e9:.2f} GB")
    command = "generate" if name == "gpt2" else "chat"
    show(console, "talk to it  ", Text(typed(command, folder), "bold"))
