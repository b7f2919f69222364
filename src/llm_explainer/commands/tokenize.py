"""The command that shows a text as tokens, compares tokenizers, and replays merges."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from llm_explainer.commands.corpora import SPEC_HELP
from llm_explainer.errors import TokenizerError

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.console.comparison import Cut
    from llm_explainer.data.tokenizer_specs import NamedTokenizer

STORIES = "stories"
MOST_TOKENS = 100_000
"""Of a long text, so many tokens are shown at most, and looked through for differences."""


def tokenize(
    text: Annotated[str | None, Argument(help="the text; without it, --file or a pipe")] = None,
    file: Annotated[Path | None, Option(help="a UTF-8 file to read the text from")] = None,
    tokenizer: Annotated[str, Option(help=SPEC_HELP)] = STORIES,
    compare: Annotated[str | None, Option(help="another tokenizer, to show beside it")] = None,
    info: Annotated[bool, Option("--info", help="say all about the tokenizer")] = False,
    replay: Annotated[
        list[str] | None, Option(help="show how this word was merged; repeatable")
    ] = None,
    step: Annotated[
        bool, Option("--step", help="replay at your pace: Enter goes on, q ends")
    ] = False,
    tokens: Annotated[int, Option(help="tokens of a long text to show", min=0)] = 1000,
    rows: Annotated[int, Option(help="rows of a table to show", min=0)] = 24,
    special: Annotated[
        bool, Option(help="special tokens in the text count as such, not as ordinary text")
    ] = True,
) -> None:
    """Show a text as the tokens that a model sees, with their ids and bytes.

    Each token has a colour of its own; where there are no colours, a border. White space is drawn
    (· a space, ↵ the end of a line, → a tab), and of a token that is only a part of a character
    the bytes. Without --tokenizer one is learned on the spot from the built-in stories.

    Examples:

      uv run run_demo.py tokenize "Once upon a time, 12345 foxes said: naïve!"

      uv run run_demo.py tokenize --file README.md --tokenizer runs/quick --rows 0

      uv run run_demo.py tokenize "It's here." --tokenizer stories:600 --compare bytes

      uv run run_demo.py tokenize --replay " together" --step

      cat notes.txt | uv run run_demo.py tokenize --tokenizer path/to/tokenizer.json --info
    """
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.tokenizer_specs import open_tokenizer

    words = replay or []
    wanted = text is not None or file is not None or compare is not None
    shown = _read_text(text, file) if wanted or not (info or words) else None
    first = open_tokenizer(tokenizer)
    others = [] if compare is None else [open_tokenizer(compare)]
    console = make_console()
    if info:
        for named in (first, *others):
            _show_info(console, named)
    elif tokenizer == STORIES:
        show(console, f"tokenizer: {first.origin}; --tokenizer takes another", style="dim")
    if shown is not None:
        cut, *other_cuts = (_cut(shown, named, special) for named in (first, *others))
        if other_cuts:
            _show_comparison(console, shown, (cut, other_cuts[0]), tokens, rows)
        else:
            _show_text(console, shown, cut, tokens, rows)
    if words:
        _replay(console, words, first, step=step)


def _read_text(text: str | None, file: Path | None) -> str:
    """Return the text from the argument, the file or the pipe.

    Raises:
        TokenizerError: none of them, or two; a file that cannot be read; no UTF-8; no text at all.
    """
    if text is not None and file is not None:
        raise TokenizerError(f"a text and --file {file} are given; leave one of them out")
    source = "the text" if file is None else str(file)
    if file is not None:
        try:
            data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")  # editors' mark is no text
        except OSError as error:
            raise TokenizerError(
                f"cannot read {file}: {error.strerror or error}; --file takes a text file"
            ) from None
    elif text is not None:
        data = text.encode("utf-8", "surrogatepass")  # to be refused below, with all the rest
    elif sys.stdin.isatty():
        raise TokenizerError(
            "no text; give one in quotes, with --file, or through a pipe, or ask for --info or "
            "--replay"
        )
    else:
        data, source = sys.stdin.buffer.read(), "the text from the pipe"
    if not data:
        raise TokenizerError(f"{source} is empty; give at least one character")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{source} is not UTF-8 (byte 0x{data[error.start]:02x} at {error.start:,}); "
            "convert it first"
        ) from None


def _cut(text: str, named: NamedTokenizer, special: bool) -> Cut:
    """Return the tokens of a text; of a long one the first that are worked with, and the count."""
    from llm_explainer.console.comparison import Cut
    from llm_explainer.console.tokens import tokens_of
    from llm_explainer.spelling import spelled_out

    tokenizer = named.tokenizer
    ids = tokenizer.encode_array(text, allowed_special="all" if special else "none")
    first = tokens_of(tokenizer, ids[:MOST_TOKENS].tolist())
    return Cut(spelled_out(named.name), tokenizer.vocab_size, len(ids), first)


def _show_text(console: Console, text: str, cut: Cut, n_shown: int, n_rows: int) -> None:
    from llm_explainer.console.comparison import counts_line, show_tokens
    from llm_explainer.console.tables import show_table
    from llm_explainer.console.tokens import TokenPainter, token_table

    show_tokens(console, cut, n_shown)
    console.print(counts_line(text, cut), style="bold")
    if n_rows:
        show_table(console, token_table(TokenPainter(console), cut.tokens[:n_rows]))
        if cut.n_tokens > n_rows:
            console.print(f"{n_rows:,} rows of {cut.n_tokens:,}; --rows N shows more")


def _show_comparison(
    console: Console, text: str, cuts: tuple[Cut, Cut], n_shown: int, n_rows: int
) -> None:
    from llm_explainer.console.comparison import counts_table, show_differences, show_texts
    from llm_explainer.console.tables import show_table

    show_texts(console, cuts, n_shown)
    show_table(console, counts_table(text, cuts))
    if n_rows:
        show_differences(console, cuts, n_rows)


def _show_info(console: Console, named: NamedTokenizer) -> None:
    from rich.text import Text

    from llm_explainer.console.terminal import show
    from llm_explainer.console.tokenizer_facts import facts_table, tokenizer_facts
    from llm_explainer.console.tokens import TokenPainter
    from llm_explainer.spelling import spelled_out

    show(console, named.name, style="bold")
    facts = [("where from", Text(spelled_out(named.origin)))]
    facts += [
        ("file", Text(f"{spelled_out(path)}\nSHA-256 {digest}")) for path, digest in named.digests()
    ]
    facts += tokenizer_facts(TokenPainter(console), named.tokenizer)
    console.print(facts_table(facts))


def _replay(console: Console, words: list[str], named: NamedTokenizer, *, step: bool) -> None:
    from llm_explainer.console.merges import MOST_BYTES, MergeView
    from llm_explainer.console.terminal import show
    from llm_explainer.tokenizer import BPETokenizer

    if not isinstance(named.tokenizer, BPETokenizer):
        raise TokenizerError(
            f"{named.name} has no merges of bytes to replay; it takes a byte-level BPE tokenizer"
        )
    for word in words:
        n_bytes = len(word.encode("utf-8", "surrogatepass"))
        if not 0 < n_bytes <= MOST_BYTES:
            raise TokenizerError(
                f"--replay has a word of {n_bytes:,} bytes; it takes 1 to {MOST_BYTES}"
            )
    stepwise = step and sys.stdin.isatty() and console.is_terminal
    view = MergeView(console, named.tokenizer, _wait_for_enter if stepwise else lambda: True)
    show(
        console,
        f"merges of {named.name}: of all that are possible, the one learned first goes first",
    )
    for word in words:
        if not view.show(word):
            return


def _wait_for_enter() -> bool:
    """Return whether the viewer goes on: Enter does, q and Ctrl-D do not."""
    try:
        return input().strip().lower() != "q"
    except EOFError:
        return False
