"""Text to learn from: corpora, token files, and the windows that training draws from them.

In reading order:

1. ``corpora``: what a name or a path stands for, and how its text is split for validation.
2. ``stories``, ``download``, ``documents``: where text comes from: made, fetched, read from files.
3. ``joined_corpora``, ``data_size``: several corpora as one, and a part of one.
4. ``token_files``: a text as ids on disk.
5. ``windows``: what the model reads of them, and what it should have said.
6. ``tokenizer_specs``: which tokenizer a person means; one may be learned from the stories.
"""

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
