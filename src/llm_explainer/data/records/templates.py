"""What of a conversation's text the assistant wrote: found by position, in any template."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llm_explainer.data.records.record import Conversation, Piece
from llm_explainer.errors import CorpusError, TokenizerError
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.tokenizer.chat_template import PLAIN_WORDS, ChatTemplate, Span

_CONTROL = re.compile(r"<\|[^|<>\s]+\|>|</?s>|<(?:bos|eos|start_of_turn|end_of_turn)>")
"""What nobody writes in plain words: names of special tokens, as the known model families spell
them."""


def template_of(tokenizer: Tokenizer) -> ChatTemplate:
    """Return the template that is stored with a tokenizer, or the one in plain words.

    Raises:
        CorpusError: the template writes something that the tokenizer cannot express; a tokenizer
            without a token that ends a text.
    """
    end_token(tokenizer)
    template = tokenizer.chat_template or own_template(tokenizer)
    check_template(template, tokenizer)
    return template


def own_template(tokenizer: Tokenizer, source: str = PLAIN_WORDS) -> ChatTemplate:
    """Return a template of ours, in which turns end as the tokenizer's texts do.

    Raises:
        CorpusError: a tokenizer without a token that ends a text.
    """
    end_token(tokenizer)
    name = tokenizer.name_of_end or ""
    return ChatTemplate(source, {"bos_token": name, "eos_token": name})


def end_token(tokenizer: Tokenizer) -> int:
    """Return the id that ends a text, at which generation stops.

    Raises:
        CorpusError: the tokenizer has none.
    """
    if tokenizer.end_of_text is None:
        raise CorpusError(
            "the tokenizer has no token that ends a text, so a model could not learn where an "
            "answer ends; fine-tune a model whose tokenizer has one"
        )
    return tokenizer.end_of_text


def check_template(template: ChatTemplate, tokenizer: Tokenizer) -> None:
    """Refuse a template that writes special tokens or characters that a tokenizer lacks.

    A special token that is none for this tokenizer would come apart into letters without a word.

    Raises:
        CorpusError: naming them.
    """
    turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    try:
        text = template.render(turns) + template.render(turns[:1], add_generation_prompt=True)
        written = {name for name in template.tokens.values() if name in text}
        names = written.union(_CONTROL.findall(text))
        missing = [name for name in sorted(names) if len(tokenizer.encode(name)) != 1]
        tokenizer.encode(text)
    except TokenizerError as error:
        raise CorpusError(f"the chat template does not suit the tokenizer: {error}") from None
    if missing:
        raise CorpusError(
            f"the chat template writes {', '.join(missing)}, which the tokenizer has no "
            "token for; use the template that belongs to this tokenizer, or none"
        )


def conversation_pieces(
    conversation: Conversation, template: ChatTemplate, special_tokens: Iterable[str]
) -> tuple[Piece, ...]:
    """Return a conversation's text in pieces; what the assistant wrote is trained.

    Where the template marks it with ``{% generation %}``, that is what counts. Otherwise the text
    up to each turn is rendered, as a model meets it when it is to answer, and once more with the
    answer: what has come behind is the answer. A special token that ends the turn is part of it,
    white space behind such a token is not.

    Args:
        conversation: the turns
        template: the tokenizer's
        special_tokens: the names that are one token for the tokenizer

    Raises:
        CorpusError: the template refuses the conversation, or writes earlier turns differently when
            later ones follow, so that answers cannot be told by position.
    """
    messages = [{"role": m.role, "content": m.content} for m in conversation.messages]
    try:
        text, marked = template.render_with_spans(messages)
        spans = marked or _spans_by_prefixes(messages, text, template, conversation.source)
    except TokenizerError as error:
        raise CorpusError(f"{conversation.source}: {error}") from None
    names = tuple(special_tokens)
    pieces, at = [], 0
    for span in spans:
        start, end = span[0], _end_of_turn(text, span, bool(marked), names)
        pieces += [Piece(text[at:start], False), Piece(text[start:end], True)]
        at = end
    return tuple(piece for piece in (*pieces, Piece(text[at:], False)) if piece.text)


def _spans_by_prefixes(
    messages: list[dict[str, str]], text: str, template: ChatTemplate, source: str
) -> list[Span]:
    """Return where the assistant's turns stand, found by rendering the text up to each."""
    spans = []
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = template.render(messages[:place], add_generation_prompt=True)
        behind = template.render(messages[: place + 1])
        if not (text.startswith(behind) and behind.startswith(before)):
            raise CorpusError(
                f"{source}: the chat template writes turn {place + 1} differently when it is not "
                "the last, so what the assistant wrote cannot be told; use a template that marks "
                "it with {% generation %}"
            )
        spans.append((len(before), len(behind)))
    return spans


def _end_of_turn(text: str, span: Span, marked: bool, names: tuple[str, ...]) -> int:
    """Return where what is trained ends: behind the special token that ends the turn, if any."""
    start, end = span
    turn = text[start:end].rstrip()
    if turn.endswith(names):
        return start + len(turn)
    follows = [name for name in names if marked and text.startswith(name, end)]
    return end + len(max(follows, key=len, default=""))
