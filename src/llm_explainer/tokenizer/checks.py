"""Refusing bad input early, each in one line that says what would do."""

from __future__ import annotations

import os
from collections.abc import Iterable

from llm_explainer.errors import TokenizerError


def check_special_tokens(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names.

    Raises:
        TokenizerError: a bare string, or names that repeat, are empty or are not text.
    """
    if isinstance(names, (str, bytes)):
        raise TokenizerError(f"special tokens are {names!r}; they come as a list: [{names!r}]")
    checked: list[str] = []
    for name in names:
        if not isinstance(name, str) or not name:
            raise TokenizerError(f"special token {name!r} is not a name; use one as <|endoftext|>")
        if name in checked:
            raise TokenizerError(f"special token {shorten(name)} is given twice; once would do")
        check_text(name)
        checked.append(name)
    return tuple(checked)


def check_text(text: str) -> None:
    """Refuse what is not text, and lone surrogates, which no UTF-8 file can hold.

    Raises:
        TokenizerError: says which of the two, and where.
    """
    if not isinstance(text, str):
        raise TokenizerError(f"text is expected (str), received {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TokenizerError(
            f"text has a lone surrogate U+{code:04X} at character {error.start}; "
            f"replace it: text.encode('utf-8', 'replace').decode()"
        ) from None


def not_utf8(
    path: str | os.PathLike[str], error: UnicodeDecodeError, offset: int
) -> TokenizerError:
    """Return what there is to say of a file that is not UTF-8.

    Args:
        path: of the file.
        error: of decoding a part of it.
        offset: the byte of the file at which that part begins.
    """
    byte = error.object[error.start]
    return TokenizerError(
        f"{path} is not UTF-8: byte {byte:#04x} at offset {offset + error.start:,}; "
        "save the file as UTF-8 text"
    )


def require_whole(name: str, value: object, at_least: int, because: str = "") -> None:
    """Refuse what is not a whole number of ``at_least`` or more.

    Raises:
        TokenizerError: says what ``name`` takes, and because of what.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        reason = f" ({because})" if because else ""
        raise TokenizerError(
            f"{name} is {shorten(value)}; it takes a whole number of {at_least} or more{reason}"
        )


def shorten(value: object, width: int = 60) -> str:
    """Return ``repr(value)`` on one line, its middle left out when it is long: for messages."""
    text = repr(value)
    half = (width - 3) // 2
    return text if len(text) <= width else f"{text[:half]}...{text[-half:]}"
