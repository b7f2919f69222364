"""What earlier prompts left: keys and values of whole chunks, for prompts that begin alike.

Every turn of a chat begins with all turns before it. A chunk is taken over only where it and all
before it hold the very same tokens: then it was worked out by the same products, so a text that
takes it over is the same to the last bit. That is why what a model wrote itself is not kept: it was
worked out token by token, which rounds otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

CHUNK = 32
"""Tokens of a prompt that are read at a time: others wait no longer than that for their next."""


class PrefixCache:
    """Chunks of prompts, the latest used, up to a number of bytes.

    Args:
        n_bytes: the most that the chunks take together; 0 keeps none.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_most, self.n_bytes = n_bytes, 0
        self._chunks: OrderedDict[bytes, Any] = OrderedDict()  # the latest used at the end

    def __len__(self) -> int:
        return len(self._chunks)

    def fill(self, cache: Any, model_name: str, prompt: Sequence[int]) -> int:
        """Put the beginning of a prompt into an empty cache, as far as it is known.

        The last token is never known, since someone has to say what comes after it. Returns the
        number of tokens.
        """
        found = []
        for key in _keys(model_name, prompt[:-1]):
            if key not in self._chunks:
                break
            found.append(key)
        for key in found:
            cache.extend(self._chunks[key])
        self._use(found)
        return len(found) * CHUNK

    def keep(self, cache: Any, model_name: str, prompt: Sequence[int]) -> None:
        """Keep the whole chunks of a prompt that a cache has read, and make room for them."""
        keys: list[bytes] = []
        for index, key in enumerate(_keys(model_name, prompt)):
            if key not in self._chunks:
                chunk = cache.copy_of(index * CHUNK, (index + 1) * CHUNK)
                size = _size(chunk)
                if (len(keys) + 1) * size > self._n_most:  # its beginning is of more use
                    break
                self._chunks[key] = chunk
                self.n_bytes += size
            keys.append(key)
        self._use(keys)
        while self.n_bytes > self._n_most:
            _, chunk = self._chunks.popitem(last=False)
            self.n_bytes -= _size(chunk)

    def _use(self, keys: list[bytes]) -> None:
        """Note that chunks were used: a prompt's first ones last, as no later one goes without."""
        for key in reversed(keys):
            self._chunks.move_to_end(key)


def _keys(model_name: str, prompt: Sequence[int]) -> Iterator[bytes]:
    """Yield for each whole chunk what stands for it and for all before it."""
    key = model_name.encode()
    for start in range(0, len(prompt) - CHUNK + 1, CHUNK):
        ids = np.array(prompt[start : start + CHUNK], np.int64)
        key = blake2b(key + ids.tobytes(), digest_size=32).digest()
        yield key


def _size(chunk: Any) -> int:
    return sum(int(array.nbytes) for layer in chunk for array in layer)
