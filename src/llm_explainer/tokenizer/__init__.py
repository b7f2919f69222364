"""Text to ids and back: byte-level BPE, BPE with byte fallback, characters, words.

In reading order:

1. ``readable``: how it works, in plain Python, from naive BPE on; with a list of the words used.
2. ``base``: what every tokenizer can do. ``pattern_tokenizer``: what all do alike.
3. ``merging_tokenizer``, ``bpe``: the kind of GPT-2 and its heirs. ``byte_fallback``: Llama 2's.
   ``lookup``, ``characters``, ``words``: the simplest.
4. ``loading``: from a ``tokenizer.json`` to whichever of them it holds. ``gguf_metadata``: the same
   from a GGUF.
5. ``replay``: the merges of a word, to be watched.

Behind these stand ``fast`` and ``core``, which do what ``readable`` does in less time; ``files``,
what they are read from and written to; ``parallel_encoding``, for much text and several processes.
"""

from llm_explainer.tokenizer.base import END_OF_TEXT, UNKNOWN, StreamDecoder, Tokenizer
from llm_explainer.tokenizer.bpe import BPETokenizer
from llm_explainer.tokenizer.byte_fallback import ByteFallbackTokenizer
from llm_explainer.tokenizer.characters import CharTokenizer
from llm_explainer.tokenizer.core import core_in_use
from llm_explainer.tokenizer.gguf_metadata import tokenizer_from_gguf
from llm_explainer.tokenizer.loading import load_tokenizer
from llm_explainer.tokenizer.readable import byte_alphabet
from llm_explainer.tokenizer.words import WordTokenizer

__all__ = [
    "END_OF_TEXT",
    "UNKNOWN",
    "BPETokenizer",
    "ByteFallbackTokenizer",
    "CharTokenizer",
    "StreamDecoder",
    "Tokenizer",
    "WordTokenizer",
    "byte_alphabet",
    "core_in_use",
    "load_tokenizer",
    "tokenizer_from_gguf",
]
