"""The bytes of files in blocks that can be encoded one by one: each begins with a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from llm_explainer.errors import TokenizerError
from llm_explainer.text_files import NotUtf8Error
from llm_explainer.tokenizer.checks import cannot_read

BLOCK_BYTES = 1 << 18
"""That are read at a time; a block is about as large, or as far as it is to the next cut.

With a mebibyte the allocator kept ever more of what was freed: 120 MB after 200 MB of text.
"""


class FileBlock(NamedTuple):
    """A stretch of a file, and where it stands there."""

    data: bytes  # UTF-8, if the file is
    path: Path
    offset: int  # bytes

    def text(self) -> str:
        """Return the block as text.

        Raises:
            TokenizerError: it is not UTF-8; says at which byte of the file.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{self.path} {NotUtf8Error(error, self.offset)}") from None


def read_file_blocks(path: Path, last_cut: Callable[[bytes], int]) -> Iterator[FileBlock]:
    """Yield a file in blocks.

    Args:
        path: of a text file.
        last_cut: returns the last place where bytes that begin with a word can be cut, 0 if none.

    Raises:
        TokenizerError: the file is missing or unreadable.
    """
    held, offset = b"", 0
    try:
        with path.open("rb") as file:
            # At least doubling what is held keeps a word of n bytes from costing n * n.
            while chunk := file.read(max(BLOCK_BYTES, len(held))):
                held += chunk
                if cut := last_cut(held):
                    yield FileBlock(held[:cut], path, offset)
                    held, offset = held[cut:], offset + cut
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from None
    if held:
        yield FileBlock(held, path, offset)
