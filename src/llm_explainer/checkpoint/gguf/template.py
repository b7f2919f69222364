"""The chat template in a GGUF file."""

from __future__ import annotations

from llm_explainer.checkpoint.gguf.header import Header
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer.chat_template import ChatTemplate

_TOKENS = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}


def read_template(header: Header) -> ChatTemplate | None:
    """Return the chat template, with the names of the tokens that it may write; None without one.

    Raises:
        CheckpointError: it is no text.
    """
    source = header.values.get("tokenizer.chat_template")
    if source is None:
        return None
    if not isinstance(source, str):
        raise CheckpointError("tokenizer.chat_template is no text; the file is damaged")
    names = header.values["tokenizer.ggml.tokens"]  # read with the tokenizer, and so a list
    ids = {role: header.values.get(key) for role, key in _TOKENS.items()}
    return ChatTemplate(source, {role: names[i] for role, i in ids.items() if i is not None})
