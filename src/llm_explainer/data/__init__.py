"""Text to learn from: corpora, token files, and the batches that training draws from them."""

from llm_explainer.data.corpora import Corpus, Text, load_corpus
from llm_explainer.data.token_files import check_ids, open_tokens, write_tokens
from llm_explainer.data.windows import (
    document_starts,
    epoch_windows,
    evaluation_windows,
    random_windows,
    sliding_windows,
)

__all__ = [
    "Corpus",
    "Text",
    "check_ids",
    "document_starts",
    "epoch_windows",
    "evaluation_windows",
    "load_corpus",
    "open_tokens",
    "random_windows",
    "sliding_windows",
    "write_tokens",
]
