"""Conversations in the templates of real models: the text and the ids that transformers makes.

By hand: ``uv run python -m tests.real_models``, then
``uv run --group peers pytest -n 0 tests/test_peer_*.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_templates import CONVERSATIONS, TOKENS, by_transformers, render
from real_models import LLAMA3, QWEN3, SMOLLM2, needs

from llm_explainer.checkpoint.chat_templates import read_chat_template
from llm_explainer.checkpoint.gguf import read_header, read_template
from llm_explainer.tokenizer import load_tokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate

transformers = pytest.importorskip("transformers")
BOTH = (False, True)  # without and with the words that ask for an answer


@pytest.mark.parametrize(
    "folder",
    [pytest.param(path, marks=needs(path), id=path.name) for path in (QWEN3, LLAMA3)],
)
def test_text_and_ids_of_conversations_are_those_of_transformers(folder: Path) -> None:
    peer = transformers.AutoTokenizer.from_pretrained(str(folder))
    tokenizer, template = load_tokenizer(folder / "tokenizer.json"), read_chat_template(folder)
    assert template is not None

    def theirs(_: str, messages: list[dict[str, str]], ask: bool) -> str:
        return peer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)  # type: ignore[no-any-return]

    _compare(template, theirs)
    for messages in CONVERSATIONS.values():
        text = render(_ours(template.tokens), template.source, messages, True)
        if text is not None:
            ids = peer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            assert tokenizer.encode(text) == ids


@needs(SMOLLM2)
def test_the_template_in_a_gguf_file_is_rendered_as_transformers_does() -> None:
    template = read_template(read_header(SMOLLM2))
    assert template is not None
    names = dict(TOKENS, **template.tokens)

    def theirs(source: str, messages: list[dict[str, str]], ask: bool) -> str:
        return by_transformers(source, messages, ask, names)

    _compare(template, theirs)


def _compare(template: ChatTemplate, theirs: Any) -> None:
    ours = _ours(template.tokens)
    n_refused = 0
    for title, messages in CONVERSATIONS.items():
        for ask in BOTH:
            expected = render(theirs, template.source, messages, ask)
            assert render(ours, template.source, messages, ask) == expected, title
            n_refused += expected is None
    assert n_refused < len(CONVERSATIONS) / 3


def _ours(tokens: Any) -> Any:
    def apply(source: str, messages: list[dict[str, str]], ask: bool) -> str:
        return ChatTemplate(source, tokens).render(messages, add_generation_prompt=ask)

    return apply
