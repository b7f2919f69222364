"""Text to ids and back: byte-level BPE, characters, words."""

from llm_explainer.tokenizer.base import END_OF_TEXT, UNKNOWN, StreamDecoder, Tokenizer
from llm_explainer.tokenizer.bpe import BPETokenizer
from llm_explainer.tokenizer.characters import CharTokenizer
from llm_explainer.tokenizer.core import core_in_use
from llm_explainer.tokenizer.loading import load_tokenizer
from llm_explainer.tokenizer.words import WordTokenizer

__all__ = [
    "END_OF_TEXT",
    "UNKNOWN",
    "BPETokenizer",
    "CharTokenizer",
    "StreamDecoder",
    "Tokenizer",
    "WordTokenizer",
    "core_in_use",
    "load_tokenizer",
]
