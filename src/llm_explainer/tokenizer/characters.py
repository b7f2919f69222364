"""Character-level tokens: the smallest vocabulary, the longest sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from llm_explainer.progress import Progress
from llm_explainer.tokenizer.base import END_OF_TEXT
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject
from llm_explainer.tokenizer.files.training_texts import Source, read_texts
from llm_explainer.tokenizer.lookup import LookupTokenizer
from llm_explainer.tokenizer.readable.counting import count_words
from llm_explainer.tokenizer.readable.splitting import Splitter


class CharTokenizer(LookupTokenizer):
    """One id for every character (code point) of the training text.

    Lossless, but only for characters that it knows: any other is refused by name, unless
    ``<|unk|>`` is among the special tokens.
    """

    unit: ClassVar[str] = "character"
    pattern: ClassVar[str] = r"[\s\S]"
    lossless: ClassVar[bool] = True
    decoder: ClassVar[JsonObject] = {"type": "Fuse"}

    @classmethod
    def train(
        cls,
        source: Source,
        *,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        progress: Progress | None = None,
    ) -> Self:
        """Collect the characters of a text; ids are in the order of code points, special ones last.

        Args:
            source: a path, a list of paths, or texts.
            special_tokens: names that are one token each, whatever characters they have.
            progress: called with a stage, what is done and what there is (0 where not known).

        Raises:
            TokenizerError: an empty or unreadable text; special tokens that repeat or are empty.
        """
        splitter = Splitter(cls.pattern, special_tokens)
        counts = count_words(read_texts(source), splitter, progress=progress)
        return cls._from_tokens(counts, splitter.special_tokens)

    def _joined(self, token: str) -> str:
        return token
