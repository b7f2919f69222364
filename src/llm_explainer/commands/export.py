"""The command that writes a model for other software, and proves that it is the same model."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option

from llm_explainer.errors import CheckpointError

Format = Literal["gguf", "hf"]
Kind = Literal["F32", "F16", "Q8_0"]
N_TEXTS = 1000


def export(
    model: Annotated[Path, typer.Argument(help="a run, a checkpoint, or adapters on their base")],
    to: Annotated[
        Format, Option(help="gguf (one file) or hf (a directory for transformers)")
    ] = "gguf",
    out: Annotated[Path | None, Option(help="where it goes: a new folder")] = None,
    kind: Annotated[Kind | None, Option(help="of the numbers in a GGUF; F16 by default")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace what is in --out")] = False,
) -> None:
    """Write a model for llama.cpp and what builds on it, for transformers or for mlx-lm.

    Adapters are merged first. What was written is read back and compared: the logits of texts, and
    the ids of a thousand texts; where they are further apart than the kind of numbers explains,
    nothing is left behind. A card beside it says what it is, with the hash of its weights.

    Examples:

      uv run run_demo.py export runs/quick --out models/quick

      uv run run_demo.py export runs/chat --kind Q8_0 --out models/chat
    """
    from llm_explainer.adapters import merge_lora
    from llm_explainer.checkpoint import load_checkpoint
    from llm_explainer.checkpoint.export import export_gguf, export_hf
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.stories.tell import iter_stories

    is_directory = to == "hf"
    if is_directory and kind is not None:
        raise CheckpointError(f"--kind {kind} is of a GGUF; leave it out, or take --to gguf")
    console = make_console()
    loaded, tokenizer = load_checkpoint(model, "numpy")
    if loaded.lora is not None:
        loaded = merge_lora(loaded)
    folder = out if out is not None else Path("models") / model.resolve().name
    if folder.exists() and not overwrite:
        raise CheckpointError(f"{folder} exists already; take another --out, or --overwrite")
    texts = [story.text for story in islice(iter_stories(seed=1), N_TEXTS)]
    common: dict[str, Any] = {"texts": texts, "source": str(model), "overwrite": overwrite}
    if is_directory:
        proof = export_hf(loaded, tokenizer, folder, **common)
    else:
        proof = export_gguf(loaded, tokenizer, folder, kind=kind or "F16", **common)
    for label, words in proof.rows():
        show(console, f"{label:<12}{words}")
