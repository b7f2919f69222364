"""All benchmarks from one command: ``uv run python -m benchmarks``.

Without arguments it lists them. ``python -m benchmarks train generate`` runs some, each with quick
settings and in a process of its own; JSON and pictures go to a folder. Their own options are those
of each module: ``python -m benchmarks.train --help``.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Benchmark:
    """A module of this package, and what it takes to run it for a first impression."""

    purpose: str
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # packages without which it has nothing to measure
    corpus: bool = False  # takes a text as its first argument
    picture: bool = False  # draws one
    json: bool = True  # writes its figures


BENCHMARKS = {
    "train": Benchmark("training steps beside PyTorch", ("--seconds", "20")),
    "memory": Benchmark("training memory beside PyTorch"),
    "contention": Benchmark("training beside a busy program", ("--seconds", "20")),
    "generate": Benchmark("generation beside transformers", ("--seconds", "20")),
    "serve": Benchmark("texts side by side, and a text alone", ("--rounds", "3")),
    "serve_leavers": Benchmark("what leaving clients cost the others", ("--seconds", "30")),
    "soak": Benchmark("a service's memory under mixed load", ("--minutes", "1")),
    "train_mlx": Benchmark("MLX steps beside plain mlx.nn", needs=("mlx",), json=False),
    "tokenizer": Benchmark("the tokenizer beside the Rust ones", ("--seconds", "5"), corpus=True),
    "ladder": Benchmark("a layer: from loops to threads", ("--seconds", "10")),
    "scaling": Benchmark("cost against batch, width, depth", picture=True),
    "speedrun": Benchmark("seconds to nanoGPT's CPU headline", ("--runs", "1"), corpus=True),
    "check_against_torch": Benchmark("gradients beside autograd", needs=("torch",), json=False),
}
"""In the order in which ``all`` runs them. What others compare with is left out where missing."""


def command(name: str, folder: Path, corpus: Path | None) -> list[str]:
    """Return the command line of a benchmark that writes into ``folder``."""
    benchmark = BENCHMARKS[name]
    arguments = [str(corpus)] if benchmark.corpus else []
    arguments += benchmark.arguments
    if benchmark.json:
        arguments += ["--json", str(folder / f"{name}.json")]
    if benchmark.picture:
        arguments += ["--picture", str(folder / f"{name}.png")]
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def reason_to_skip(name: str, corpus: Path | None) -> str:
    """Return why a benchmark cannot run here, or nothing."""
    missing = [p for p in BENCHMARKS[name].needs if importlib.util.find_spec(p) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if BENCHMARKS[name].corpus and corpus is None:
        return "needs --corpus TEXT"
    return ""


def make_list(corpus: Path | None) -> Table:
    """Return what there is, one line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    for name, benchmark in BENCHMARKS.items():
        table.add_row(name, benchmark.purpose, reason_to_skip(name, corpus))
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """List or run; return the number of benchmarks that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run, or: all")
    parser.add_argument("--corpus", type=Path, metavar="TEXT", help="a UTF-8 text for some of them")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), metavar="FOLDER")
    options = parser.parse_args(argv)
    console = Console(highlight=False)
    if not options.names:
        console.print(make_list(options.corpus))
        console.print("\npython -m benchmarks NAME ... runs them; all runs all.")
        return 0
    names = list(BENCHMARKS) if options.names == ["all"] else options.names
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark {name!r}; choose from {', '.join(BENCHMARKS)}, all")
    if options.corpus is not None and not options.corpus.is_file():
        parser.error(f"--corpus {options.corpus} is no file")
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in names:
        reason = reason_to_skip(name, options.corpus)
        console.rule(f"{name}: skipped, {reason}" if reason else name, align="left")
        if not reason:
            failed += subprocess.call(command(name, options.out, options.corpus)) != 0
    console.print(f"\nfigures and pictures are in {options.out}")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
