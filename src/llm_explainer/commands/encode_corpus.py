"""The command that turns a corpus into token files for training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from llm_explainer.commands.corpora import CORPUS_HELP, SPEC_HELP, name_of, workers_or_default
from llm_explainer.errors import CorpusError
from llm_explainer.program import typed

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.console.progress import StageProgress
    from llm_explainer.data import Text
    from llm_explainer.data.documents import TextBlock
    from llm_explainer.tokenizer import Tokenizer

SPLITS = ("train", "val")
DTYPES = ("uint16", "uint32")


@dataclass
class Encoded:
    """A token file, and how much text is in it."""

    path: Path
    n_tokens: int = 0
    n_bytes: int = 0


def encode_corpus(
    corpus: Annotated[list[str] | None, Argument(help=CORPUS_HELP)] = None,
    tokenizer: Annotated[str | None, Option(help=SPEC_HELP)] = None,
    out: Annotated[Path, Option(help="the folder for the files")] = Path("tokens"),
    name: Annotated[str | None, Option(help="without it, that of the first corpus")] = None,
    val_fraction: Annotated[
        float, Option(help="of each corpus for validation; TinyStories has text of its own for it")
    ] = 0.1,
    max_bytes: Annotated[int | None, Option(help="take this much of each corpus")] = None,
    workers: Annotated[int | None, Option(help="processes; without it, up to 4")] = None,
    dtype: Annotated[
        str | None, Option(help="uint16 or uint32; without it, the smaller one that will do")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace files of that name")] = False,
) -> None:
    """Encode a corpus once, into token files that training reads again and again.

    Writes NAME-train.npy and NAME-val.npy (ids as NumPy arrays, which training maps into memory)
    and NAME-tokenizer.json with NAME-tokenizer_config.json, all or none, and shows the command that
    trains on them. Documents are set apart by the token that ends a text for the tokenizer; where
    it has none, by an empty line.

    Examples:

      uv run run_demo.py encode-corpus stories --tokenizer runs/quick

      uv run run_demo.py encode-corpus notes/ --tokenizer trained-tokenizers/mine --name mine

      uv run run_demo.py encode-corpus shakespeare --tokenizer bytes --val-fraction 0.05
    """
    from llm_explainer.checkpoint.saving import tokenizer_settings, write_json
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.joined_corpora import load_corpora
    from llm_explainer.data.token_files import describe_border
    from llm_explainer.data.tokenizer_specs import open_tokenizer

    if tokenizer is None:
        raise CorpusError(
            "no tokenizer; name one with --tokenizer: that of a run, such as runs/quick, or one of "
            f"your own from `{typed('train-tokenizer')}`"
        )
    if dtype is not None and dtype not in DTYPES:
        raise CorpusError(f"--dtype is {dtype!r}; choose one of {', '.join(DTYPES)}")
    names = corpus or []
    files = token_files(out, name_of(names, name))
    _refuse_existing(files, overwrite)
    chosen = open_tokenizer(tokenizer).tokenizer
    console = make_console()
    with _new_files(files) as temporary, StageProgress(console) as bars:
        texts = load_corpora(
            names, max_bytes=max_bytes, val_fraction=val_fraction, progress=bars.report
        )
        start = time.perf_counter()
        encoded = [
            _encode(text, file, chosen, dtype, workers_or_default(workers), bars)
            for text, file in zip((texts.train, texts.validation), temporary, strict=False)
        ]
        seconds = time.perf_counter() - start
        write_json(temporary[-2], tokenizer_settings(chosen))
        chosen.save(temporary[-1])
    border = describe_border(chosen)
    if border and texts.train.has_borders():
        show(console, f"documents are {border}")
    _report(files, encoded, seconds, console)


def token_files(folder: Path, name: str) -> tuple[Path, Path, Path, Path]:
    """Return the paths of the two splits, of the tokenizer's settings, and of the tokenizer."""
    train, val = (folder / f"{name}-{split}.npy" for split in SPLITS)
    return train, val, folder / f"{name}-tokenizer_config.json", folder / f"{name}-tokenizer.json"


def _refuse_existing(files: tuple[Path, ...], overwrite: bool) -> None:
    for file in files:
        if file.is_dir():
            raise CorpusError(f"{file} is a folder; choose another --name")
        if file.exists() and not overwrite:
            raise CorpusError(
                f"{file} exists already; replace it with --overwrite, or choose another --name"
            )


@contextmanager
def _new_files(files: tuple[Path, ...]) -> Iterator[list[Path]]:
    """Give paths to write to; at the end of the block their files take the names ``files``.

    Raises:
        CorpusError: the folder cannot be written.
    """
    from llm_explainer.working_folders import working_folder

    folder = files[0].parent
    with ExitStack() as stack:
        try:
            made = stack.enter_context(working_folder(files[0]))
        except OSError as error:
            raise CorpusError(
                f"cannot write folder {folder}: {error.strerror or error}; choose one that is "
                "writable"
            ) from error
        written = [made / file.name for file in files]
        yield written
        # Without a tokenizer, should it end here: half new and half old, nobody trains on it.
        files[-1].unlink(missing_ok=True)
        for path, file in zip(written, files, strict=True):
            path.replace(file)


def _encode(
    text: Text,
    path: Path,
    tokenizer: Tokenizer,
    dtype: Any,
    workers: int,
    bars: StageProgress,
) -> Encoded:
    """Write one split, with a progress bar."""
    from llm_explainer.data import Text as CountedText
    from llm_explainer.data import write_tokens

    encoded = Encoded(path)

    def blocks() -> Iterator[TextBlock]:
        for block in text.blocks():
            encoded.n_bytes += len(block.text.encode())
            yield block

    stage = f"encoding {path.stem}"
    encoded.n_tokens = write_tokens(
        path,
        CountedText(blocks, text.size_bytes),
        tokenizer,
        dtype=dtype,
        workers=workers,
        progress=lambda done: bars.report(stage, done, max(done, text.size_bytes)),
    )
    bars.report(stage, encoded.n_bytes, encoded.n_bytes)
    return encoded


def _report(
    files: tuple[Path, ...], encoded: list[Encoded], seconds: float, console: Console
) -> None:
    """Say what was written, and how to train on it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from llm_explainer.console.tables import show_table
    from llm_explainer.console.terminal import show
    from llm_explainer.spelling import spelled_out

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    for heading in ("tokens", "text, bytes", "bytes a token", "file, bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for file, split in zip(files, encoded, strict=False):
        table.add_row(
            spelled_out(file),
            f"{split.n_tokens:,}",
            f"{split.n_bytes:,}",
            f"{split.n_bytes / split.n_tokens:.3f}",
            f"{file.stat().st_size:,}",
        )
    show_table(console, table)
    n_bytes = sum(split.n_bytes for split in encoded)
    show(console, f"encoded in {seconds:.2f} s, {n_bytes / seconds / 1e6:.1f} MB/s; train on it:")
    train, val, _, tokenizer = files
    command = typed("pretrain", "--train-data", train, "--val-data", val, "--tokenizer", tokenizer)
    show(console, f"  {command}", style="bold")
