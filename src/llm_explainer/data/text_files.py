"""Which files of a folder are text to learn from, and what else is there.

A corpus is what a person means by a folder: texts, also compressed, in it and in the folders that
it links to. Not meant are the results of earlier work: runs, models, tokenizers, token files.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from llm_explainer.data.documents import JSONL, TEXT, is_compressed, kind_of, open_text
from llm_explainer.data.jsonl_texts import has_texts
from llm_explainer.errors import CorpusError
from llm_explainer.run_folders import is_run

Reason = tuple[str, str]
"""What something is that is no text: one of them, and several."""

RUNS = "run", "runs"
MODELS = "model or tokenizer", "models or tokenizers"
HIDDEN = "hidden", "hidden"
BINARY = "binary file", "binary files"
OTHER_ENCODING = "file that is not UTF-8", "files that are not UTF-8"
NO_TEXTS = "JSONL file without text", "JSONL files without text"
READ_ANYWAY = "link to what is read anyway", "links to what is read anyway"
DAMAGED = "damaged file", "damaged files"
NO_FILE = "entry that is no file", "entries that are no files"

_OF_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")  # perhaps with a name before it
_OF_MODELS = ("config.json", "generation_config.json", "adapter_config.json", "vocab.json")
_N_NAMED = 3
BLOCK_BYTES = 4096  # by which a file is judged


@dataclass
class Found:
    """The texts of a folder, sorted by their path, and what was left out of it, by reason."""

    folder: Path
    texts: list[Path] = field(default_factory=list)
    left_out: dict[Reason, list[Path]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.texts)

    def leave_out(self, path: Path, reason: Reason) -> None:
        """Note what is not read."""
        self.left_out.setdefault(reason, []).append(path)

    def describe(self) -> str:
        """Say what was left out and why, in a line; "" where that is nothing.

        ``left out: 2 runs (old, new), 1 binary file (a.png)``
        """
        parts = []
        for (one, several), paths in self.left_out.items():
            names = [str(path.relative_to(self.folder)) for path in paths[:_N_NAMED]]
            more = ", ..." if len(paths) > _N_NAMED else ""
            noun = one if len(paths) == 1 else several
            parts.append(f"{len(paths):,} {noun} ({', '.join(names)}{more})")
        return f"left out: {', '.join(parts)}" if parts else ""


def find_text_files(folder: Path) -> Found:
    """Return the text files under a folder, and what is left out.

    ``.txt`` and ``.md`` files are always taken; another file is taken if it begins like UTF-8 text.

    Raises:
        CorpusError: the folder cannot be read, holds no text, or is itself a run.
    """
    try:
        if is_run(folder):
            raise CorpusError(
                f"folder {folder} is a run, and not a text; name the text that it was trained on"
            )
        found = Found(folder)
        for path in _files(folder, found):
            reason = _reason_against(path)
            if reason is None:
                found.texts.append(path)
            else:
                found.leave_out(path, reason)
    except OSError as error:
        raise CorpusError(f"cannot read folder {folder}: {error.strerror or error}") from error
    found.texts.sort()
    if not found.texts:
        left_out = found.describe()
        raise CorpusError(
            f"folder {folder} holds no text; put UTF-8 .txt or .md files in it"
            + (f" ({left_out})" if left_out else "")
        )
    return found


def _files(folder: Path, found: Found) -> Iterator[Path]:
    """Yield the files that may be texts; linked folders are followed, each folder once."""
    root = folder.resolve()
    seen = {root}
    to_visit = [folder]
    while to_visit:
        for path in sorted(to_visit.pop().iterdir()):
            if path.name.startswith("."):
                found.leave_out(path, HIDDEN)
            elif not path.is_dir():
                yield path
            elif path.is_symlink() and _leads_back(path.resolve(), seen, root):
                found.leave_out(path, READ_ANYWAY)
            elif is_run(path):
                found.leave_out(path, RUNS)
            elif _is_model(path):
                found.leave_out(path, MODELS)
            elif path.resolve() in seen:
                found.leave_out(path, READ_ANYWAY)
            else:
                seen.add(path.resolve())
                to_visit.append(path)


def _leads_back(target: Path, seen: set[Path], root: Path) -> bool:
    """Whether a link leads into what is read anyway, or to a folder around the corpus itself."""
    return target in root.parents or any(one in (target, *target.parents) for one in seen)


def _is_model(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return "tokenizer.json" in names or bool(
        names & {"config.json", "adapter_config.json"}
        and any(name.endswith(".safetensors") for name in names)
    )


def _reason_against(path: Path) -> Reason | None:
    """Return why a file is no text to learn from; None for one that is."""
    kind = kind_of(path)
    if path.name.endswith(_OF_TOKENIZERS) or (path.name in _OF_MODELS and _is_model(path.parent)):
        return MODELS
    if not path.is_file():
        return NO_FILE
    if kind in TEXT and not is_compressed(path):
        return None
    try:
        with open_text(path) as file:
            block = file.read(BLOCK_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return DAMAGED
    if b"\0" in block:
        return BINARY
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block, final=len(block) < BLOCK_BYTES)
    except UnicodeDecodeError:
        return OTHER_ENCODING
    return NO_TEXTS if kind in JSONL and not has_texts(path) else None
