"""Lines that a person types, with the arrow keys' memory of earlier ones."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from llm_explainer.files import write_atomically

try:
    import readline
except ImportError:  # Windows has none; its console brings its own line editing
    readline = None  # type: ignore[assignment]

MAX_LINES = 1000


def history_file() -> Path:
    """Return where the lines are kept: in the system's place for a user's state."""
    xdg = os.environ.get("XDG_STATE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and to be ignored.
    base = Path(xdg) if Path(xdg).is_absolute() else Path("~/.local/state").expanduser()
    return base / "llm-explainer" / "history"


def typed_lines(prompt: str = "> ") -> Iterator[str]:
    """Yield the lines of standard input up to its end (Ctrl-D); Ctrl-C drops a half-typed one.

    On a terminal there is a prompt, and a history that outlives the session.
    """
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    _load_history()
    try:
        while True:
            try:
                yield input(prompt)
            except KeyboardInterrupt:
                sys.stdout.write("\n")
            except EOFError:
                sys.stdout.write("\n")
                return
    finally:
        _save_history()


def _load_history() -> None:
    if readline is None:
        return
    # A history that cannot be read is an empty one: nothing in it is worth an error.
    with contextlib.suppress(OSError, RuntimeError):
        lines = history_file().read_text(encoding="utf-8", errors="replace").splitlines()
        readline.clear_history()
        for line in lines[-MAX_LINES:]:
            readline.add_history(line)


def _save_history() -> None:
    if readline is None:
        return
    length = readline.get_current_history_length()
    first = max(1, length - MAX_LINES + 1)  # readline counts from 1
    lines = [readline.get_history_item(place) for place in range(first, length + 1)]
    with contextlib.suppress(OSError, RuntimeError):  # a read-only home, or none
        file = history_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line}\n" for line in lines)
        write_atomically(file, text.encode("utf-8", errors="replace"))
