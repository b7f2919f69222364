"""A large mixed text from this machine's files: ``python -m benchmarks.tokenizer_text OUT``.

Prose, code, tables and many languages: the sources and documents of the Python installation, and
the system's documentation where there is some. Each file is a document, with <|endoftext|> between
two.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm_explainer.files import write_atomically

SUFFIXES = {".py", ".md", ".rst", ".txt", ".html", ".pod", ".po"}
SIZES = range(300, 1_500_000)  # bytes of a document


def main(argv: Sequence[str] | None = None) -> None:
    """Write the text, and print how large it became."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=60.0)
    options = parser.parse_args(argv)
    documents: list[bytes] = []
    n_bytes = 0
    for document in _documents():
        documents.append(document)
        n_bytes += len(document)
        if n_bytes > options.megabytes * 1e6:
            break
    write_atomically(options.out, b"<|endoftext|>".join(documents))
    print(f"{len(documents):,} documents, {n_bytes / 1e6:.1f} MB")


def _documents() -> Iterator[bytes]:
    """Yield what is UTF-8, each once, in an order that depends on the names alone."""
    folders = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "data")]
    roots = [*map(Path, folders[:2]), Path(folders[2]) / "share", Path("/usr/share/doc")]
    paths = sorted({path for root in roots for path in root.rglob("*") if path.suffix in SUFFIXES})
    random.Random(0).shuffle(paths)
    seen: set[bytes] = set()
    for path in paths:
        try:
            content = path.read_bytes()
            content.decode()
        except (OSError, UnicodeDecodeError):
            continue
        digest = hashlib.sha256(content).digest()
        if len(content) in SIZES and digest not in seen:
            seen.add(digest)
            yield content


if __name__ == "__main__":
    main()
