"""From ids to text as they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from llm_explainer.tokenizer.base import Tokenizer


class Transcript:
    """The text of one generation, piece by piece.

    Args:
        tokenizer: decodes the ids.
        prompt: ids before the first one: a character may have begun there, and word-level
            tokenizers put no space before the first word of a text.
        stop: texts that end the generation.
        skip: characters that the first ids write once more, and that are no new text.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt: Sequence[int], stop: Sequence[str], skip: int = 0
    ) -> None:
        self._decoder, self._skip = tokenizer.stream_decoder(), skip
        for token in prompt:
            self._decoder.push(token)
        self._stop = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._stop.found

    def push(self, token: int) -> str:
        """Take the next id; return the text that is certain now, perhaps none."""
        return self._stop.push(self._new(self._decoder.push(token)))

    def finish(self) -> str:
        """Return what was kept back."""
        return self._stop.push(self._new(self._decoder.finish())) + self._stop.finish()

    def _new(self, text: str) -> str:
        """Return what of a text is new."""
        n_skipped = min(self._skip, len(text))
        self._skip -= n_skipped
        return text[n_skipped:]


class StopStrings:
    """Passes text on up to the first stop string, however the text is cut into pieces.

    The end of the text is kept back as long as it may turn out to be the beginning of a stop
    string. With the stop string "END": ``push("the E")`` is "the ", ``push("gg")`` "Egg".
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._kept = ""
        self.found = False

    def push(self, piece: str) -> str:
        """Take a piece of text; return the text that is certain now, nothing once one was found."""
        if self.found:
            return ""
        text = self._kept + piece
        places = [(text.find(stop), stop) for stop in self._stop]
        # The one that is complete first wins, as if characters came one by one; of two that end
        # together, the longer.
        ends = [(start + len(stop), start) for start, stop in places if start >= 0]
        if ends:
            self.found = True
            self._kept = ""
            return text[: min(ends)[1]]
        n_kept = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._kept = text[len(text) - n_kept :]
        return text[: len(text) - n_kept]

    def finish(self) -> str:
        """Return what was kept back: no more text comes, so it is no stop string."""
        kept, self._kept = self._kept, ""
        return kept


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` with which ``stop`` begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
