"""Records as tokens, and which of the tokens are trained: by position, never by id.

::

    text      Who lost it?   Pip          <|endoftext|>
    ids       [87 104 ..11]  [412]        [1279]
    trained    0  0  .. 0     1            1

Pieces are encoded each for itself, so that an answer's first token is the one that a model meets
when it is given the prompt alone. The token that ends a text is trained like any other: it is
known by its place behind the answer. Who masks it by its id, because padding has the same id,
trains a model that never stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llm_explainer.data.records.record import Conversation, Piece, Record
from llm_explainer.data.records.templates import conversation_pieces, end_token
from llm_explainer.errors import CorpusError, TokenizerError
from llm_explainer.tokenizer.base import TokenArray, Tokenizer, token_dtype
from llm_explainer.tokenizer.chat_template import ChatTemplate

LongRecords = Literal["cut", "refuse"]
"""What becomes of a record longer than the context: its beginning is cut off, or it is an error."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecord:
    """A record's tokens; ``trained[i]`` says whether token i counts as a target.

    The first token follows nothing, so it never counts.
    """

    ids: TokenArray  # (n,)
    trained: NDArray[np.bool_]  # (n,)


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """What became of records on their way to tokens."""

    records: int = 0  # kept
    tokens: int = 0
    trained: int = 0  # tokens
    cut: int = 0  # records that lost their beginning
    without_target: int = 0  # records left out, because nothing in them is trained

    @property
    def trained_share(self) -> float:
        """Trained tokens among all, 0 to 1."""
        return self.trained / self.tokens if self.tokens else 0.0


def count_records(records: Iterable[EncodedRecord]) -> RecordCounts:
    """Return the numbers of records that were kept as they are."""
    lengths = [(len(record.ids), int(record.trained.sum())) for record in records]
    n_tokens, n_trained = (sum(numbers) for numbers in zip(*lengths, strict=True))
    return RecordCounts(len(lengths), n_tokens, n_trained)


def encode_record(
    record: Record, tokenizer: Tokenizer, template: ChatTemplate | None = None
) -> EncodedRecord:
    """Return a record's tokens; names of special tokens in its text become those tokens.

    A prompt and a text end with the token that ends texts; a conversation ends as its template has
    it. What is trained from its first token on begins behind such a token, where generation begins
    as well.

    Args:
        record: of any kind.
        tokenizer: of the model.
        template: needed for a conversation.

    Raises:
        CorpusError: no template; a text that the template or the tokenizer cannot take; a tokenizer
            without a token that ends a text.
    """
    end = end_token(tokenizer)
    ids: list[int] = []
    trained: list[bool] = []
    for piece in _pieces(record, tokenizer, template):
        try:
            piece_ids = tokenizer.encode(piece.text)
        except TokenizerError as error:
            raise CorpusError(f"{record.source}: {error}") from None
        if piece.trained and piece_ids and not ids:
            ids, trained = [end], [False]
        ids += piece_ids
        trained += [piece.trained] * len(piece_ids)
    if not isinstance(record, Conversation) and any(trained):
        ids.append(end)
        trained.append(True)
    dtype = token_dtype(tokenizer.vocab_size)
    return EncodedRecord(np.array(ids, dtype), np.array(trained, bool))


def encode_records(
    records: Iterable[Record],
    tokenizer: Tokenizer,
    context_length: int,
    template: ChatTemplate | None = None,
    long: LongRecords = "cut",
) -> tuple[list[EncodedRecord], RecordCounts]:
    """Return the records as tokens that fit a model's context, and what became of them.

    A record that nothing can be learned from is left out. One with n tokens is n - 1 inputs and
    targets, so n may be ``context_length + 1``. Of a longer one the beginning is cut off: what is
    at the end is the answer, and what stands right before it.

    Raises:
        CorpusError: as ``encode_record``; no record with a target; a record that is too long and is
            to be refused, or that would keep nothing of its prompt.
    """
    kept: list[EncodedRecord] = []
    counts = RecordCounts()
    for record in records:
        encoded = encode_record(record, tokenizer, template)
        whole = len(encoded.ids)
        if whole > context_length + 1:
            encoded = _without_beginning(encoded, context_length + 1, long, record)
        if not encoded.trained.any():
            counts = replace(counts, without_target=counts.without_target + 1)
            continue
        kept.append(encoded)
        counts = replace(
            counts,
            records=counts.records + 1,
            tokens=counts.tokens + len(encoded.ids),
            trained=counts.trained + int(encoded.trained.sum()),
            cut=counts.cut + (len(encoded.ids) < whole),
        )
    if not kept:
        left_out = counts.without_target
        raise CorpusError(
            f"none of {left_out} records has anything to learn; it takes a completion, an "
            "assistant's message or a text"
            if left_out
            else "there are no records; it takes one or more"
        )
    return kept, counts


def _pieces(
    record: Record, tokenizer: Tokenizer, template: ChatTemplate | None
) -> tuple[Piece, ...]:
    if not isinstance(record, Conversation):
        return record.pieces
    if template is None:
        raise CorpusError(f"{record.source} is a conversation, which takes a chat template")
    return conversation_pieces(record, template, tokenizer.special_tokens)


def _without_beginning(
    encoded: EncodedRecord, n_tokens: int, long: LongRecords, record: Record
) -> EncodedRecord:
    """Return the last ``n_tokens`` of a record; an answer whose prompt is gone is not trained.

    Text that answers nothing is trained wherever it is cut.

    Raises:
        CorpusError: it is to be refused, or no other answer is left.
    """
    source, n = record.source, len(encoded.ids)
    if long == "refuse":
        raise CorpusError(
            f"{source} has {n:,} tokens, and the context takes {n_tokens:,}; shorten it, or let "
            "long records be cut"
        )
    ids, trained = encoded.ids[-n_tokens:], encoded.trained[-n_tokens:].copy()
    has_prompt = isinstance(record, Conversation) or not record.pieces[0].trained
    if trained[0] and has_prompt:
        trained[: n_tokens if trained.all() else int(np.argmin(trained))] = False
        if not trained.any():
            raise CorpusError(
                f"{source} has an answer that does not fit the context of {n_tokens:,} tokens "
                "together with its prompt; shorten it, or use a model with a longer context"
            )
    return EncodedRecord(ids, trained)
