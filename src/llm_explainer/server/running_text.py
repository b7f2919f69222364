"""One request on its way: what it has read and written so far, and the text that is certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_explainer.backend import backend_of
from llm_explainer.errors import GenerationError
from llm_explainer.generation.filters import Scores
from llm_explainer.generation.prompts import check_prompt, fit_context
from llm_explainer.generation.sampler import Sampler
from llm_explainer.generation.transcript import Transcript
from llm_explainer.server.requests import FinishReason, Piece, TokenScore
from llm_explainer.server.scoring import token_score
from llm_explainer.server.ticket import Ticket
from llm_explainer.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class Served:
    """A model that texts are asked of, and its tokenizer."""

    name: str
    model: Any  # a GPT of any backend
    tokenizer: Tokenizer

    @property
    def vocab_size(self) -> int:
        """How many ids both know: a model's table may be padded to a round size."""
        return int(min(self.model.config.vocab_size, self.tokenizer.vocab_size))

    @property
    def context_length(self) -> int:
        """The most tokens that the model reads."""
        return int(self.model.config.context_length)

    @property
    def backend(self) -> Any:
        """The model's backend, a module."""
        return backend_of(self.model)

    def check(self, prompt_ids: tuple[int, ...]) -> None:
        """Refuse what the model cannot read.

        Raises:
            GenerationError: an id that it does not know, or more of them than its context.
        """
        fit_context(check_prompt(prompt_ids, self.vocab_size), self.context_length, windowed=False)


class RunningText:
    """A text between its prompt and its end.

    Attributes:
        ticket: who asked.
        ids: the prompt and what was added.
        cache: keys and values of those that the model has read; None before the first and after
            the end.
    """

    def __init__(self, ticket: Ticket, served: Served) -> None:
        self.ticket, self.served = ticket, served
        self.ids = list(ticket.completion.prompt_ids)
        self.cache: Any = None
        tokenizer, sampling = served.tokenizer, ticket.completion.sampling
        self._ends = frozenset(tokenizer.roles.ends)
        self._sampler = Sampler(sampling, ticket.completion.index, self.ids, self._ends)
        self._transcript = Transcript(tokenizer, self.ids, sampling.stop)
        self._n_new = 0
        self._held_ids: list[int] = []  # tokens whose text is not certain yet
        self._held_scores: list[TokenScore] = []

    @property
    def scores_prompt(self) -> bool:
        """Whether every token of the prompt is to be scored."""
        asked = self.ticket.completion
        return asked.echo and asked.logprobs is not None

    def begin(self, scores: list[TokenScore]) -> None:
        """Hand the prompt back, if that was asked for, with the ``scores`` of its tokens.

        Ends the text where nothing is to be added.
        """
        asked = self.ticket.completion
        if asked.echo:
            decoder = self.served.tokenizer.stream_decoder()
            text = "".join(map(decoder.push, asked.prompt_ids))
            self.ticket.put(Piece(text, asked.prompt_ids, tuple(scores), None, True))
        if asked.sampling.max_tokens == 0:
            self._put("", "length")

    def choose(self, logits: Scores) -> FinishReason | None:
        """Add a token by logits (V,), hand over what text is certain; return why it ends here.

        Raises:
            GenerationError: logits that are not finite.
        """
        token = self._sampler.choose(logits[: self.served.vocab_size])
        if token in self._ends:
            return self._put(self._transcript.finish(), "stop")
        asked = self.ticket.completion
        self.ids.append(token)
        self._held_ids.append(token)
        if asked.logprobs is not None:
            vocab_size = self.served.vocab_size
            self._held_scores.append(token_score(logits, token, asked.logprobs, vocab_size))
        self._n_new += 1
        text = self._transcript.push(token)
        if self._transcript.stopped:
            return self._put(text, "stop")
        is_full = len(self.ids) > self.served.context_length
        if is_full or self._n_new >= asked.sampling.max_tokens:
            return self._put(text + self._transcript.finish(), "length")
        return self._put(text, None)

    def _put(self, text: str, reason: FinishReason | None) -> FinishReason | None:
        """Hand text over with all tokens since the last piece; keep back what would be empty."""
        if text or reason is not None:
            piece = Piece(text, tuple(self._held_ids), tuple(self._held_scores), reason)
            self._held_ids, self._held_scores = [], []
            self.ticket.put(piece)
        return reason


def require_model(served: dict[str, Served], name: str) -> Served:
    """Return the model of a name.

    Raises:
        GenerationError: there is none.
    """
    if name not in served:
        raise GenerationError(f"there is no model {name!r}; there is {', '.join(served)}")
    return served[name]
