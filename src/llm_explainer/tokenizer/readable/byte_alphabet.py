"""Bytes as printable characters: how GPT-2's files, and all that followed, write tokens as text.

A token is bytes, often not valid UTF-8 on its own, yet JSON holds only text. So each byte is
written as one character: itself where Latin-1 prints it, otherwise one from U+0100 on, in order.
A space (byte 32) becomes ``Ġ``, a line feed ``Ċ``. (Released with Radford et al. 2019.)
"""

from __future__ import annotations


def _printable_bytes() -> list[int]:
    return [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


def _alphabet() -> str:
    printable = set(_printable_bytes())
    others = [byte for byte in range(256) if byte not in printable]
    return "".join(
        chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)
    )


ALPHABET = _alphabet()
"""The character of every byte, by its value."""

_BYTE_OF = {character: byte for byte, character in enumerate(ALPHABET)}


def to_text(token: bytes) -> str:
    """Write a token's bytes as text: ``b" the"`` -> ``"Ġthe"``."""
    return "".join(ALPHABET[byte] for byte in token)


def from_text(text: str) -> bytes:
    """Read back what ``to_text`` wrote.

    Raises:
        KeyError: a character outside of the alphabet.
    """
    return bytes(_BYTE_OF[character] for character in text)
