"""``/tokenize``, ``/detokenize`` and ``/tokenizer_info``, in the shape that vLLM gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_explainer.generation.prompts import with_prefix
from llm_explainer.server.web.asking import choose_model
from llm_explainer.server.web.chats import read_messages, render
from llm_explainer.server.web.fields import Fields, refused
from llm_explainer.server.web.limits import Limits
from llm_explainer.server.web.logprobs import token_text
from llm_explainer.server.web.parameters import refuse_unknown
from llm_explainer.server.web.problems import Problem
from llm_explainer.server.web.prompts import check_ids, encode


def tokenize(values: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Return the ids of a text or a conversation, and each token as text.

    Raises:
        Problem: a parameter that is unknown or cannot be so.
    """
    refuse_unknown(values, ("model", "prompt", "messages", "add_special_tokens"))
    fields = Fields(values)
    with_special = fields.get("add_special_tokens") is None or fields.flag("add_special_tokens")
    served = choose_model(fields, limits.models, required=False)
    text = fields.text("prompt")
    if (text is None) == (fields.get("messages") is None):
        raise Problem(400, "it takes a prompt or messages, one of them", param="prompt")
    if text is None:
        if not with_special:
            raise Problem(
                400,
                "add_special_tokens goes with prompt: a conversation's are those of its template",
                param="add_special_tokens",
            )
        ids = list(render(served, read_messages(fields.get("messages")))[0].ids)
    else:
        ids = encode(text, served, "prompt")
        ids = with_prefix(served.tokenizer, ids) if with_special else ids
    return {
        "count": len(ids),
        "max_model_len": served.context_length,
        "tokens": ids,
        "token_strs": [token_text(served.tokenizer, token) for token in ids],
    }


def detokenize(values: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Return the text of ids.

    Raises:
        Problem: a parameter that is unknown or cannot be so; an id that there isn't.
    """
    refuse_unknown(values, ("model", "tokens"))
    fields = Fields(values)
    served = choose_model(fields, limits.models, required=False)
    ids = fields.get("tokens")
    whole = isinstance(ids, list) and all(type(token) is int for token in ids)
    if not whole:
        raise refused("tokens", ids, "a list of token ids")
    check_ids(ids, served, "tokens")
    return {"prompt": served.tokenizer.decode(ids)}


def tokenizer_info(query: Sequence[tuple[str, str]], limits: Limits) -> dict[str, Any]:
    """Return what clients ask of a tokenizer: its special tokens by their roles, its template.

    Raises:
        Problem: a parameter that is unknown, or there twice.
    """
    values = dict(query)
    refuse_unknown(values, ("model",))
    if len(values) < len(query):
        raise Problem(400, "model is there twice; give one", param="model")
    served = choose_model(Fields(values), limits.models, required=False)
    tokenizer = served.tokenizer
    named = tokenizer.roles.to_tokenizer_config(tokenizer.special_tokens)
    template = tokenizer.chat_template
    return {
        "tokenizer_class": type(tokenizer).__name__,
        "vocab_size": tokenizer.vocab_size,
        "model_max_length": served.context_length,
        "bos_token": named.get("bos_token"),
        "eos_token": named.get("eos_token"),
        "pad_token": named.get("pad_token"),
        "unk_token": named.get("unk_token"),
        "special_tokens": dict(tokenizer.special_tokens),
        "chat_template": None if template is None else template.source,
    }
