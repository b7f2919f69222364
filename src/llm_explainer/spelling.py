"""Names from outside as people can read them, and commands as a shell can read them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

# Control characters, which a terminal obeys, and a byte of a file's name that is no UTF-8: Python
# has it as U+DC80 to U+DCFF (PEP 383).
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NEEDS_SPELLING = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def spelled_out(text: object) -> str:
    r"""Return text in which nothing moves the cursor or fails to print: ``\x1b``, ``\xff``.

    Line breaks stay, for whoever prints lines.
    """
    return _UNSEEN.sub(lambda found: _escape(found[0]) if found[0] != "\n" else "\n", str(text))


def command_line(*words: str | Path) -> str:
    r"""Return a command that a shell takes apart into these words, on one line.

    >>> command_line("run_demo.py", "generate", Path("my runs/first"))
    "run_demo.py generate 'my runs/first'"

    A path that looks like an option gets a ``./``. A name with control characters or bytes that are
    no UTF-8 is written as ``$'a\nb'``, which bash, zsh and POSIX of 2024 read.
    """
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str | Path) -> str:
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if not _NEEDS_SPELLING.search(text):
        return shlex.quote(text)
    text = re.sub(r"['\\]", r"\\\g<0>", text)
    return "$'" + _NEEDS_SPELLING.sub(lambda found: _octal(found[0]), text) + "'"


def _octal(character: str) -> str:
    """Return a byte as three octal digits, which end by themselves whatever follows."""
    return _ESCAPES.get(character, f"\\{ord(character) & 0xFF:03o}")


def _escape(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\x{code & 0xFF:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
