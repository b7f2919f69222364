"""Encoding a large file with two processes beside tiktoken, and the memory that it takes.

``uv run --with tiktoken python -m benchmarks.tokenizer_files TEXT --gpt2 VOCAB_JSON MERGES_TXT``.
Contestants take turns, a whole file each; processor time says nothing about several processes, so
this is time by the clock, and the fastest of each one's turns counts. ``--memory`` encodes the
text, repeated to 200 MB, in a fresh process, and prints the peaks of it and of its workers.
``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.data import open_tokens
from llm_explainer.tokenizer import BPETokenizer, core_in_use

MEMORY_BYTES = 200_000_000
TURNS = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Race, or measure memory, and print a line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="a UTF-8 file of 20 MB or more")
    parser.add_argument("--gpt2", nargs=2, required=True, help="vocab.json and merges.txt")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(argv)
    print(f"{options.text.stat().st_size / 1e6:.1f} MB; ours is {_kind()}")
    with tempfile.TemporaryDirectory() as folder:
        if options.memory:
            rows = _measure_memory(options.text, options.gpt2, Path(folder))
        else:
            rows = _race(options.text, options.gpt2, Path(folder), options.turns)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _kind() -> str:
    return "compiled" if core_in_use() else "NumPy"


def _race(text: Path, gpt2: list[str], folder: Path, turns: int) -> list[dict[str, Any]]:
    tokenizer, target = BPETokenizer.from_gpt2(*gpt2), folder / "ids.npy"
    content = text.read_bytes().decode()
    documents = content.split("<|endoftext|>")

    def to_file(workers: int) -> None:
        tokenizer._fast_encoder.forget()
        tokenizer.encode_file(text, target, workers=workers)

    contestants: dict[str, Callable[[], object]] = {
        "ours to a file, two processes": lambda: to_file(2),
        "ours to a file, one process": lambda: to_file(1),
        "ours, lists of documents, two": lambda: tokenizer.encode_batch(documents, workers=2),
    }
    if importlib.util.find_spec("tiktoken"):
        from benchmarks.tokenizer_contestants import tiktoken_of

        peer = tiktoken_of(tokenizer)
        contestants["tiktoken"] = lambda: peer.encode(content, allowed_special="all")
        contestants["tiktoken, lists of documents, two"] = lambda: peer.encode_batch(
            documents, num_threads=2
        )
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, step in contestants.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    fastest = min(seconds["ours to a file, two processes"])
    for name, times in seconds.items():
        print(
            f"{name:36}{min(times):8.2f} s {len(content.encode()) / min(times) / 1e6:8.1f} MB/s"
            f"   two processes of ours are {min(times) / fastest:5.2f} x as fast"
        )
    assert np.array_equal(open_tokens(target), tokenizer.encode_array(content))
    return [
        {"contestant": name, "ours": _kind(), "seconds": min(times), "turns": turns}
        for name, times in seconds.items()
    ]


def _measure_memory(text: Path, gpt2: list[str], folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    large = folder / "large.txt"
    content = text.read_bytes()
    with large.open("wb") as file:
        for _ in range(-(-MEMORY_BYTES // len(content))):
            file.write(content)
    script = (
        "import resource, sys\n"
        "from llm_explainer.tokenizer import BPETokenizer\n"
        "tokenizer = BPETokenizer.from_gpt2(*sys.argv[1:3])\n"
        "tokenizer.encode_file(sys.argv[3], sys.argv[4], workers=int(sys.argv[5]))\n"
        "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):\n"
        "    print(resource.getrusage(who).ru_maxrss)\n"
    )
    for workers in ("1", "2"):
        arguments = [*gpt2, str(large), str(folder / f"{workers}.npy"), workers]
        start = time.perf_counter()
        output = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        seconds = time.perf_counter() - start
        unit = 1 if sys.platform == "darwin" else 1024
        parent, worker = (int(line) * unit / 1e6 for line in output.split())
        print(
            f"{large.stat().st_size / 1e6:.0f} MB with workers={workers}: {seconds:.1f} s, at most "
            f"{parent:.0f} MB in the parent, {worker:.0f} MB in a worker"
        )
        peaks = {"parent_mb": parent, "worker_mb": worker}
        rows.append({"workers": int(workers), "ours": _kind(), "seconds": seconds, **peaks})
    whole = BPETokenizer.from_gpt2(*gpt2).encode_array(large.read_bytes().decode())
    equal = all(np.array_equal(open_tokens(folder / f"{n}.npy"), whole) for n in (1, 2))
    print(f"ids equal one call: {equal}")
    return rows


if __name__ == "__main__":
    main()
