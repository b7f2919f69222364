"""Refusing bad input early, each in one line that says what would do."""

from __future__ import annotations

import os

from llm_explainer.errors import TokenizerError


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


def cannot_read(path: str | os.PathLike[str], error: OSError | ValueError) -> TokenizerError:
    """Return what there is to say of a file that is missing or unreadable."""
    reason = getattr(error, "strerror", None) or error
    return TokenizerError(f"cannot read {shorten(str(path))}: {reason}")


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
