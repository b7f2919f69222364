"""The command that learns a tokenizer from a corpus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from llm_explainer.commands.corpora import CORPUS_HELP, name_of, workers_or_default
from llm_explainer.errors import TokenizerError
from llm_explainer.files import names_in
from llm_explainer.program import typed

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.data import Corpus
    from llm_explainer.tokenizer import BPETokenizer

FOLDER = Path("trained-tokenizers")  # no name that Python could import
HELD_OUT_BYTES = 5_000_000  # of the held-out text, enough to measure on
SAMPLE_CHARS = 160


def train_tokenizer(
    corpus: Annotated[list[str] | None, Argument(help=CORPUS_HELP)] = None,
    vocab_size: Annotated[
        int, Option(help="tokens to learn, with the 256 bytes and the special tokens among them")
    ] = 8192,
    pattern: Annotated[
        str, Option(help="how text is cut into words: gpt2, gpt4, or a regular expression")
    ] = "gpt2",
    special_token: Annotated[
        list[str] | None,
        Option(help="a name that is one token, beside the one that ends a text; repeatable"),
    ] = None,
    end_token: Annotated[
        str | None,
        Option(help="the one that ends a text and stands between documents; <|endoftext|>"),
    ] = None,
    no_special_tokens: Annotated[
        bool,
        Option("--no-special-tokens", help="none at all; then nothing can end a text"),
    ] = False,
    min_frequency: Annotated[int, Option(help="merge no pair that occurs less often")] = 2,
    ties: Annotated[
        str,
        Option(
            help="which of equally frequent pairs goes first: greatest-bytes; lower-ids, as "
            "rustbpe does; lower-ids-hf, as Hugging Face does"
        ),
    ] = "greatest-bytes",
    max_bytes: Annotated[int | None, Option(help="take this much of each corpus")] = None,
    workers: Annotated[int | None, Option(help="processes that read; without it, up to 4")] = None,
    name: Annotated[str | None, Option(help="without it, that of the first corpus")] = None,
    out: Annotated[
        Path | None, Option(help="the folder; without it, trained-tokenizers/NAME")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace the tokenizer there")] = False,
) -> None:
    """Learn a byte-level BPE tokenizer from text: which bytes so often stand together.

    Of each corpus a tenth is held out, to measure on text that the tokenizer has not seen. The
    folder gets a tokenizer.json and what Hugging Face's AutoTokenizer needs beside it.

    Examples:

      uv run run_demo.py train-tokenizer stories --vocab-size 1280

      uv run run_demo.py train-tokenizer README.md notes/ --vocab-size 4096 --name mine

      uv run run_demo.py train-tokenizer shakespeare --pattern gpt4 --special-token "<|user|>"
    """
    from llm_explainer.checkpoint.saving import write_tokenizer
    from llm_explainer.console.terminal import make_console
    from llm_explainer.tokenizer import END_OF_TEXT
    from llm_explainer.tokenizer.roles import TokenRoles

    for option in ("--special-token" if special_token else "", "--end-token" if end_token else ""):
        if option and no_special_tokens:
            raise TokenizerError(f"{option} does not go with --no-special-tokens; leave one out")
    end = end_token or END_OF_TEXT
    names = corpus or []
    folder = out or FOLDER / name_of(names, name)
    if folder.is_dir() and names_in(folder) and not overwrite:
        raise TokenizerError(
            f"{folder} exists already; replace it with --overwrite, or choose another --out"
        )
    console = make_console()
    settings = {
        "vocab_size": vocab_size,
        "pattern": pattern,
        "special_tokens": [] if no_special_tokens else _with_end(end, special_token or []),
        "min_frequency": min_frequency,
        "ties": ties,
        "workers": workers_or_default(workers),
    }
    with _new_folder(folder, overwrite) as temporary:
        tokenizer, learned_from, seconds = _learn(names, max_bytes, settings, console)
        if not no_special_tokens:
            tokenizer.roles = TokenRoles.ending_with(tokenizer.special_tokens[end])
        write_tokenizer(temporary, tokenizer)
    _report(folder, tokenizer, learned_from, seconds, settings, console)


def _with_end(end: str, others: list[str]) -> list[str]:
    return others if end in others else [end, *others]


@contextmanager
def _new_folder(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder that becomes ``folder`` when all is in it: found now if that cannot be."""
    from llm_explainer.checkpoint.chat_templates import TOKENIZER_CONFIG
    from llm_explainer.checkpoint.directories import refuse_existing, sync_all
    from llm_explainer.checkpoint.saving import TOKENIZER
    from llm_explainer.working_folders import OLD, move_into_place, working_folder

    target = folder.resolve()
    try:
        with working_folder(target) as made:
            refuse_existing(target, (TOKENIZER, TOKENIZER_CONFIG), overwrite)
            yield made
            sync_all(made)
            move_into_place(made, target, made.with_name(OLD))
    except BrokenPipeError:  # of whoever read our output
        raise
    except OSError as error:
        raise TokenizerError(
            f"cannot write {folder}: {error.strerror or error}; choose a folder that is writable "
            "and has room"
        ) from error


def _learn(
    names: list[str], max_bytes: int | None, settings: dict[str, Any], console: Console
) -> tuple[BPETokenizer, Corpus, float]:
    """Return the tokenizer, what it was learned from, and the seconds that it took."""
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.data.joined_corpora import load_corpora
    from llm_explainer.tokenizer import BPETokenizer

    with StageProgress(console) as bars:
        corpus = load_corpora(names, max_bytes=max_bytes, progress=bars.report)
        n_bytes = corpus.train.size_bytes

        def report(stage: str, done: int, total: int) -> None:
            if stage == "merging":
                bars.report("reading", n_bytes, n_bytes)  # whatever a character took
                bars.report("merging", done, total)
            else:
                bars.report("reading", min(done, n_bytes), n_bytes)

        start = time.perf_counter()
        tokenizer = BPETokenizer.train(corpus.train, progress=report, **settings)
        seconds = time.perf_counter() - start
        n_merges = len(tokenizer.merges)
        report("merging", n_merges, n_merges)  # fewer than asked for, if there are no more
    return tokenizer, corpus, seconds


def _report(
    folder: Path,
    tokenizer: BPETokenizer,
    corpus: Corpus,
    seconds: float,
    settings: dict[str, Any],
    console: Console,
) -> None:
    """Say what came of it: how many tokens, how well they fit unseen text, and what to do next."""
    from rich.text import Text

    from llm_explainer.console.terminal import show_next
    from llm_explainer.console.tokenizer_facts import facts_table, longest_tokens
    from llm_explainer.console.tokens import TokenPainter, tokens_of
    from llm_explainer.spelling import spelled_out

    size = f"{tokenizer.vocab_size:,} tokens in {seconds:.2f} s"
    if tokenizer.vocab_size < settings["vocab_size"]:
        size += (
            f"; no more than that, because no further pair occurs {settings['min_frequency']} times"
        )
    n_bytes, n_tokens, sample = _measure(tokenizer, corpus)
    painter = TokenPainter(console)
    facts = [
        ("saved", Text(spelled_out(folder))),
        ("learned from", Text(spelled_out(corpus.description))),
        ("tokens", Text(size)),
        ("held-out text", Text(f"{n_bytes / n_tokens:.3f} bytes a token on {n_bytes:,} bytes")),
        ("longest", Text("  ").join(longest_tokens(painter, tokenizer))),
        (
            "sample",
            Text("\n").join(painter.lines(tokens_of(tokenizer, tokenizer.encode(sample)), 60)),
        ),
    ]
    console.print(facts_table(facts))
    commands = (
        typed("tokenize", "Any text", "--tokenizer", folder),
        typed("encode-corpus", "CORPUS", "--tokenizer", folder),
        typed("pretrain", "--corpus", "CORPUS", "--tokenizer", folder / "tokenizer.json"),
    )
    show_next(console, [(command, "") for command in commands])


def _measure(tokenizer: BPETokenizer, corpus: Corpus) -> tuple[int, int, str]:
    """Return the bytes and tokens of held-out text, and a little of it to look at."""
    n_bytes, n_tokens, sample = 0, 0, ""
    for block in corpus.validation:
        sample = sample or block[:SAMPLE_CHARS]
        n_bytes += len(block.encode())
        n_tokens += len(tokenizer.encode_array(block, allowed_special="none"))
        if n_bytes >= HELD_OUT_BYTES:
            break
    return n_bytes, n_tokens, sample
