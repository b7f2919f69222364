"""What the commands that let a model write have in common: which model, and text in and out."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from llm_explainer.backend import load_backend
from llm_explainer.commands.history import typed_lines
from llm_explainer.console.streams import say
from llm_explainer.errors import GenerationError
from llm_explainer.run_folders import best_checkpoint
from llm_explainer.training.runs.names import RUNS, newest_run

Dtype = Annotated[
    str, Option(help="what the model is kept and computes in: float32, or on MLX bfloat16")
]
Quantize = Annotated[
    int | None, Option(help="keep the model's matrices in 4 or 8 bits, on MLX", show_default=False)
]
SAID_FROM = 60_000_000  # parameters: what takes longer to load than a moment

if TYPE_CHECKING:
    from llm_explainer.checkpoint.storage import Storage
    from llm_explainer.generation.session import Session
    from llm_explainer.tokenizer import Tokenizer


def load_named(
    checkpoint: Path | None,
    adapter: Path | None = None,
    *,
    best: bool = False,
    backend: str,
    dtype: str = "float32",
    quantize: int | None = None,
) -> tuple[Any, Tokenizer]:
    """Return the model that a command names, by default the newest run's, and its tokenizer.

    Args:
        checkpoint: a run, a checkpoint or a GGUF file.
        adapter: adapters to put on it; alone, they know their base.
        best: of a run the checkpoint that did best, not the newest.
        backend: as for ``load_backend``.
        dtype, quantize: in what its weights are kept.

    Raises:
        LLMExplainerError: no such model, damage, or no room for it.
    """
    from llm_explainer.checkpoint import load_checkpoint
    from llm_explainer.checkpoint.adapters import load_adapter
    from llm_explainer.checkpoint.storage import Storage, refuse_adapters

    storage = Storage(dtype, quantize)
    if checkpoint is None and adapter is not None:
        checkpoint, adapter = adapter, None
    if checkpoint is None:
        checkpoint = newest_run(RUNS)
        note(f"model: {checkpoint}")
    if best:
        checkpoint = best_checkpoint(checkpoint)
    if adapter is not None:
        refuse_adapters(storage, adapter)
    load_backend(backend).filler(dtype, quantize)  # refused before anything is said
    announce(checkpoint, storage)
    model, tokenizer = load_checkpoint(checkpoint, backend, storage)
    return (model if adapter is None else load_adapter(adapter, model)), tokenizer


def announce(checkpoint: Path, storage: Storage) -> None:
    """Say how large a model is, where loading it takes a while.

    Raises:
        LLMExplainerError: no such model, or damage.
    """
    from llm_explainer.checkpoint import load_config
    from llm_explainer.checkpoint.storage import describe_size

    config = load_config(checkpoint)
    if config.count_parameters() >= SAID_FROM:
        name = checkpoint.resolve().name.removesuffix(".gguf")
        note(f"{name}: {describe_size(config, storage)}")


def open_session(session: Session, text: str | None) -> None:
    """Let a person and a model write in turns, beginning with ``text`` if there is one."""
    first = [] if text is None else [text]
    session.run(chain(first, typed_lines()))


def read_file(path: Path) -> str:
    """Return the text of a file; a mark of the byte order is no text.

    Raises:
        GenerationError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_bytes().decode().removeprefix("\ufeff")
    except OSError as error:
        raise GenerationError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"{path} is no UTF-8 at byte {error.start}; convert it first"
        ) from None


def read_pipe() -> str:
    """Return what a pipe brings, without the line break that ``echo`` adds.

    Raises:
        GenerationError: it is no UTF-8.
    """
    data = sys.stdin.buffer.read()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"the text from the pipe is no UTF-8 (byte 0x{data[error.start]:02x} at "
            f"{error.start}); convert it first"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def write(piece: str) -> None:
    """Show a piece of a model's text, as it comes."""
    sys.stdout.write(piece)
    sys.stdout.flush()


def note(line: str) -> None:
    """Show a line about what is written, beside it."""
    say(line, dim=True)
