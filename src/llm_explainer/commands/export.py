"""The command that writes a model for other software, and proves that it is the same model."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Option

from llm_explainer.commands.talking import announce
from llm_explainer.errors import CheckpointError

if TYPE_CHECKING:
    from llm_explainer.checkpoint.export.proof import Proof

Format = Literal["gguf", "ollama", "hf", "mlx", "adapter"]
Kind = Literal["F32", "F16", "Q8_0", "4bit", "8bit"]
KINDS: dict[str, tuple[str, ...]] = {
    "gguf": ("F32", "F16", "Q8_0"),
    "ollama": ("F32", "F16", "Q8_0"),
    "mlx": ("4bit", "8bit"),
    "hf": (),
    "adapter": (),
}
"""Of what kind the numbers may be in each format; without any they are float32."""

N_TEXTS = 1000


def export(
    model: Annotated[Path, typer.Argument(help="a run, a checkpoint, or adapters on their base")],
    to: Annotated[
        Format,
        Option(
            help="gguf (one file), ollama (that and a Modelfile), hf (a directory for "
            "transformers), mlx (one for mlx-lm) or adapter (for PEFT and mlx-lm)"
        ),
    ] = "gguf",
    out: Annotated[Path | None, Option(help="where it goes: a new folder")] = None,
    kind: Annotated[
        Kind | None,
        Option(
            help="of the numbers: F32, F16 (as by default) or Q8_0 in GGUF, 4bit or 8bit in mlx"
        ),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace what is in --out")] = False,
) -> None:
    """Write a model for llama.cpp, Ollama, transformers or mlx-lm, or its adapters for PEFT.

    Adapters are merged first, unless they are what is wanted. What was written is read back and
    compared: the logits of texts, and the ids of a thousand texts; where they are further apart
    than the kind of numbers explains, nothing is left behind. A card beside it says what it is,
    with the hash of its weights.

    Examples:

      uv run run_demo.py export runs/quick --out models/quick

      uv run run_demo.py export runs/chat --to ollama --kind Q8_0 --out models/chat

      uv run run_demo.py export smollm2.gguf --to mlx --kind 4bit --out models/smollm2-4bit

      uv run run_demo.py export runs/full/lora --to adapter --out models/lora
    """
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.stories.tell import iter_stories

    if kind is not None and kind not in KINDS[to]:
        takes = [name for name, kinds in KINDS.items() if kind in kinds]
        raise CheckpointError(f"--kind {kind} goes with --to {' or '.join(takes)}; leave it out")
    folder = out if out is not None else Path("models") / model.resolve().name.removesuffix(".gguf")
    if folder.exists() and not overwrite:
        raise CheckpointError(f"{folder} exists already; take another --out, or --overwrite")
    if folder.exists() and model.exists() and folder.samefile(model):
        raise CheckpointError(f"{folder} is the model itself; take another --out")
    console = make_console()
    texts = [story.text for story in islice(iter_stories(seed=1), N_TEXTS)]
    proof = _write(model, to, kind, folder, texts=texts, overwrite=overwrite)
    for label, words in proof.rows():
        show(console, f"{label:<12}{words}")
    _say_next(to, folder)


def _write(model: Path, to: Format, kind: Any, folder: Path, **common: Any) -> Proof:
    """Write a model in a format, and return the proof."""
    from llm_explainer.adapters import merge_lora
    from llm_explainer.checkpoint import export as exports
    from llm_explainer.checkpoint import load_checkpoint
    from llm_explainer.checkpoint.storage import FLOAT32

    if to == "adapter":
        exports.base_of_adapters(model)  # refused before anything is loaded
    announce(model, FLOAT32)
    loaded, tokenizer = load_checkpoint(model, "numpy")
    if to == "adapter":
        return exports.export_adapter(model, loaded, tokenizer, folder, **common)
    if loaded.lora is not None:
        loaded = merge_lora(loaded)
    common["source"] = str(model)
    if to == "hf":
        return exports.export_hf(loaded, tokenizer, folder, **common)
    if to == "mlx":
        return exports.export_mlx(loaded, tokenizer, folder, kind=kind, **common)
    if to == "ollama":
        common["sampling"] = _sampling(model)
        return exports.export_ollama(loaded, tokenizer, folder, kind=kind or "F16", **common)
    return exports.export_gguf(loaded, tokenizer, folder, kind=kind or "F16", **common)


def _sampling(model: Path) -> dict[str, int | float]:
    """Return how tokens are chosen, by Ollama's names: as the model's files have it, else as here.

    Ollama's own defaults are others, so all is said.
    """
    from llm_explainer.checkpoint.generation_settings import read_generation_settings
    from llm_explainer.generation import SamplingConfig

    sampling = SamplingConfig(**read_generation_settings(model))
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "min_p": sampling.min_p or 0.0,
        "repeat_penalty": sampling.repetition_penalty,
    }


def _say_next(to: Format, folder: Path) -> None:
    """Show what to do with what was written, where that is one command."""
    from rich.text import Text

    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.spelling import command_line

    if to == "ollama":
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-_.").lower()
        command = f"cd {command_line(folder)} && ollama create {name or 'model'} -f Modelfile"
        show(make_console(), "next        ", Text(command, "bold"))
