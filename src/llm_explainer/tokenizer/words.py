"""Word-level tokens: what one would try first, and why subwords were invented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from llm_explainer.progress import Progress
from llm_explainer.tokenizer.base import END_OF_TEXT, UNKNOWN
from llm_explainer.tokenizer.checks import require_whole
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject
from llm_explainer.tokenizer.files.training_texts import Source, read_texts
from llm_explainer.tokenizer.lookup import LookupTokenizer
from llm_explainer.tokenizer.readable.counting import count_words
from llm_explainer.tokenizer.readable.splitting import Splitter

_NO_SPACE_BEFORE = ",.?!\"()'"


class WordTokenizer(LookupTokenizer):
    """One id for every word and sign of the training text; white space is not kept.

    Tokens are the signs ``, . ? _ ! " ( ) '``, a double dash, and what stands between those and
    white space. ``"Well, good-night!"`` -> ``Well`` ``,`` ``good-night`` ``!``. Decoding puts one
    space between tokens and none before most signs, so it gives readable text, not the same text.
    (The split and the joining of Raschka 2024, "Build a Large Language Model (From Scratch)",
    section 2.2.)
    """

    unit: ClassVar[str] = "word"
    pattern: ClassVar[str] = r"""--|[,.?_!"()']|(?:(?!--)[^\s,.?_!"()'])+"""
    lossless: ClassVar[bool] = False
    decoder: ClassVar[JsonObject] = {
        "type": "Sequence",
        "decoders": [
            # A space before each token that is not one of those signs, except at the beginning.
            {
                "type": "Replace",
                "pattern": {"Regex": f"^(?![{_NO_SPACE_BEFORE}])"},
                "content": " ",
            },
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }

    @classmethod
    def train(
        cls,
        source: Source,
        vocab_size: int | None = None,
        *,
        special_tokens: Sequence[str] = (END_OF_TEXT, UNKNOWN),
        progress: Progress | None = None,
    ) -> Self:
        """Collect the words of a text; ids are in the order of code points, special ones last.

        Args:
            source: a path, a list of paths, or texts.
            vocab_size: keep the most frequent words only, so that there are at most this many
                tokens with the special ones; None keeps all.
            special_tokens: names that are one token each; with ``<|unk|>`` among them any word can
                be encoded.
            progress: called with a stage, what is done and what there is (0 where not known).

        Raises:
            TokenizerError: an empty or unreadable text; special tokens that repeat or are empty; a
                size that has no room for a word.
        """
        splitter = Splitter(cls.pattern, special_tokens, lossless=False)
        n_special = len(splitter.special_tokens)
        if vocab_size is not None:
            require_whole("vocab_size", vocab_size, n_special + 1, f"{n_special} special + 1 word")
        counts = count_words(read_texts(source), splitter, progress=progress)
        by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
        n_words = len(counts) if vocab_size is None else vocab_size - n_special
        return cls._from_tokens(by_frequency[:n_words], splitter.special_tokens)

    def _joined(self, token: str) -> str:
        return token if token in _NO_SPACE_BEFORE else " " + token
