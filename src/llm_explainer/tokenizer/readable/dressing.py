"""What tokenizers do to a text before they cut it into words: composing it, and marking spaces.

SentencePiece (Kudo and Richardson 2018) has words begin with their space, as byte-level BPE has,
and writes it as ``▁``; the first word of a text gets one too, so that "the" is the same token
wherever it stands. Here that sign is a space all the way, in texts and in tokens. There are five
ways to get to it, and they differ in what becomes of a text that begins with a space, or that
follows on a special token:

| | a space is put | by whom in a ``tokenizer.json`` |
|---|---|---|
| ``prepend`` | before every part, whatever it begins with | normalizer (Llama 2, TinyLlama) |
| ``replace`` | nowhere | normalizer |
| ``always`` | before every part that begins with none | pre-tokenizer ``Metaspace`` |
| ``first`` | before such a text, not behind a special token | the same (Mistral) |
| ``never`` | nowhere | the same |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_explainer.tokenizer.readable.normalization import nfc

SPACE_SIGN = "▁"
"""What a space is in SentencePiece's files; in a text it becomes one."""

Spaces = Literal["prepend", "replace", "always", "first", "never"]


@dataclass(frozen=True)
class Dressing:
    """What is done to a text; nothing, if not told otherwise."""

    composes: bool = False  # NFC
    spaces: Spaces | None = None

    @property
    def marks_before_special(self) -> bool:
        """Whether spaces are signs when special tokens that are ``normalized`` are looked for."""
        return self.spaces in ("prepend", "replace")

    def normalize(self, text: str) -> str:
        """Return a text as it is when special tokens that are ``normalized`` are looked for."""
        if self.composes:
            text = nfc(text)
        if self.marks_before_special:
            text = text.replace(SPACE_SIGN, " ")
        return " " + text if self.spaces == "prepend" and text else text

    def begin(self, text: str, at_start: bool) -> str:
        """Return a normalized part of a text as it is cut into words.

        Args:
            text: without special tokens.
            at_start: whether the whole text begins with it.
        """
        if self.spaces not in ("always", "first", "never"):
            return text
        text = text.replace(SPACE_SIGN, " ")
        is_marked = self.spaces == "always" or (self.spaces == "first" and at_start)
        return " " + text if is_marked and text and text[0] != " " else text
