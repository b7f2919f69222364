"""Questions about stories as records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from llm_explainer.data.records.encoding import EncodedRecord
from llm_explainer.data.records.record import Pair
from llm_explainer.data.records.templates import end_token
from llm_explainer.data.stories.questions import StoryQuestion
from llm_explainer.tokenizer.base import Tokenizer, token_dtype


def story_records(questions: Iterable[StoryQuestion]) -> list[Pair]:
    """Return questions, each with its story, as records."""
    return [
        Pair(question.prompt, question.completion, f"question {number}")
        for number, question in enumerate(questions, 1)
    ]


def encode_story(
    questions: Sequence[StoryQuestion], tokenizer: Tokenizer, context_length: int
) -> EncodedRecord | None:
    """Return one story and as many of the questions about it as a context takes.

    ::

        story  question  answer <|endoftext|>  question  answer <|endoftext|>  ...

    The story is most of the tokens, and teaches nothing by itself: so much is asked about each. The
    first question stands as it does when it is the only one, and is answered before the others are
    seen. None where not even that one fits.

    Args:
        questions: all about one story
        tokenizer: of the model
        context_length: tokens that the model takes

    Raises:
        CorpusError: the tokenizer has no token that ends a text.
    """
    end = end_token(tokenizer)
    ids: list[int] = []
    trained: list[bool] = []
    for question in questions:
        prompt = tokenizer.encode(question.question if ids else question.prompt)
        answer = [*tokenizer.encode(question.completion), end]
        if len(ids) + len(prompt) + len(answer) > context_length + 1:
            break
        ids += prompt + answer
        trained += [False] * len(prompt) + [True] * len(answer)
    if not ids:
        return None
    return EncodedRecord(np.array(ids, token_dtype(tokenizer.vocab_size)), np.array(trained))
