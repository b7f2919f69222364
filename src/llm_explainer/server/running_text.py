"""One request on its way: what it has read and written so far, and the text that is certain."""

from __future__ import annotations

from typing import Any

from llm_explainer.generation.filters import Scores
from llm_explainer.generation.sampler import Sampler
from llm_explainer.generation.transcript import Transcript
from llm_explainer.server.requests import FinishReason, Piece, TokenScore
from llm_explainer.server.scoring import token_score
from llm_explainer.server.served import Served
from llm_explainer.server.ticket import Ticket


class RunningText:
    """A text between its prompt and its end, with a sampler of its own.

    Attributes:
        ticket: who asked.
        ids: the prompt and what was added.
        cache: keys and values of the tokens that the model has read; None before the first.
    """

    def __init__(self, ticket: Ticket, served: Served) -> None:
        self.ticket = ticket
        self.ids = list(ticket.completion.prompt_ids)
        self.cache: Any = None
        self._served, self._asked = served, ticket.completion
        sampling = self._asked.sampling
        self._sampler = Sampler(sampling, self._asked.index, self.ids, served.ends)
        self._transcript = Transcript(served.tokenizer, self.ids, sampling.stop)
        self._prompt_scores: list[TokenScore] = []
        self._held_ids: list[int] = []  # tokens whose text is not certain yet
        self._held_scores: list[TokenScore] = []

    @property
    def scores_prompt(self) -> bool:
        """Whether every token of the prompt is to be scored."""
        return self._asked.echo and self._asked.logprobs is not None

    def score(self, start: int, logits: Scores) -> None:
        """Score the prompt's tokens behind those from ``start`` on, by their logits (T, V)."""
        if start == 0:
            self._prompt_scores.append(TokenScore(self.ids[0], None))
        following = self.ids[start + 1 : start + 1 + len(logits)]
        for token, scores in zip(following, logits, strict=False):
            self._prompt_scores.append(self._scored(token, scores))

    def echo(self) -> None:
        """Hand the prompt over if that was asked for; end a text that nothing is to be added to."""
        if self._asked.echo:
            decoder = self._served.tokenizer.stream_decoder()
            text = "".join(map(decoder.push, self.ids))
            ends_here = self._asked.sampling.max_tokens == 0
            text += decoder.finish() if ends_here else ""
            scores = tuple(self._prompt_scores)
            self.ticket.put(Piece(text, tuple(self.ids), scores, is_prompt=True))
        if self._asked.sampling.max_tokens == 0:
            self._put("", "length")

    def choose(self, logits: Scores) -> None:
        """Add a token by logits (V,), hand over what text is certain, and end where it ends.

        Raises:
            GenerationError: logits that are not finite.
        """
        token = self._sampler.choose(logits[: self._served.vocab_size])
        if token in self._served.ends:
            self._put(self._transcript.finish(), "stop")
            return
        self.ids.append(token)
        self._held_ids.append(token)
        if self._asked.logprobs is not None:
            self._held_scores.append(self._scored(token, logits))
        text = self._transcript.push(token)
        n_most = len(self._asked.prompt_ids) + self._asked.sampling.max_tokens
        if self._transcript.stopped:
            self._put(text, "stop")
        elif len(self.ids) >= min(n_most, self._served.context_length + 1):
            self._put(text + self._transcript.finish(), "length")
        else:
            self._put(text)

    def _scored(self, token: int, logits: Scores) -> TokenScore:
        return token_score(logits, token, self._asked.logprobs or 0, self._served.vocab_size)

    def _put(self, text: str, reason: FinishReason | None = None) -> None:
        """Hand text over with all tokens since the last piece; keep back what would be empty."""
        if text or reason is not None:
            piece = Piece(text, tuple(self._held_ids), tuple(self._held_scores), reason)
            self._held_ids, self._held_scores = [], []
            self.ticket.put(piece)
